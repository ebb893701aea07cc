//! What the child writes, line by line. Reading never stops while somebody can write.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::log::Log;
use logs::Stream;
use shim::limits::{LINE_BYTES_MAX, PARTIAL_LINE_IDLE_MS};

use crate::supervisor::now_unix_us;

/// One output of the child.
pub(crate) struct Capture {
    pipe: Option<OwnedFd>,
    stream: Stream,
    lines: Lines,
    last_byte: Option<Instant>,
}

impl Capture {
    pub(crate) fn new(pipe: OwnedFd, stream: Stream) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Self { pipe: Some(pipe), stream, lines: Lines::default(), last_byte: None })
    }

    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// When the line that has begun is to be handed on without its end.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.last_byte.map(|at| at + Duration::from_millis(PARTIAL_LINE_IDLE_MS))
    }

    /// Reads once. A full disk loses lines, counted by the writer, never the reading.
    pub(crate) fn read(&mut self, now: Instant, buffer: &mut [u8], log: &mut Log) {
        let Some(pipe) = &self.pipe else { return };
        match rustix::io::read(pipe, &mut *buffer) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Ok(0) | Err(_) => self.finish(log),
            Ok(count) => {
                let (stream, time) = (self.stream, now_unix_us());
                self.lines.feed(&buffer[..count], |text, partial| {
                    log.append(stream, time, text, partial);
                });
                self.last_byte = self.lines.has_begun().then_some(now);
            }
        }
    }

    /// Hands on a line that has been waiting for its end.
    pub(crate) fn flush_if_idle(&mut self, now: Instant, log: &mut Log) {
        if self.due().is_some_and(|due| due <= now) {
            self.flush(log, true);
        }
    }

    /// No more comes: what has begun is a line.
    pub(crate) fn finish(&mut self, log: &mut Log) {
        self.pipe = None;
        self.flush(log, false);
    }

    fn flush(&mut self, log: &mut Log, partial: bool) {
        self.last_byte = None;
        let stream = self.stream;
        self.lines.flush(|text| {
            log.append(stream, now_unix_us(), text, partial);
        });
    }
}

/// Splits bytes at LF and at the longest length that is kept whole.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn has_begun(&self) -> bool {
        !self.begun.is_empty()
    }

    fn feed(&mut self, mut bytes: &[u8], mut emit: impl FnMut(&[u8], bool)) {
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.begun.len();
            let end = bytes.iter().take(room + 1).position(|byte| *byte == b'\n');
            match end {
                Some(end) if self.begun.is_empty() => {
                    emit(&bytes[..end], false);
                    bytes = &bytes[end + 1..];
                }
                Some(end) => {
                    self.begun.extend_from_slice(&bytes[..end]);
                    emit(&self.begun, false);
                    self.begun.clear();
                    bytes = &bytes[end + 1..];
                }
                None if bytes.len() > room => {
                    self.begun.extend_from_slice(&bytes[..room]);
                    emit(&self.begun, true);
                    self.begun.clear();
                    bytes = &bytes[room..];
                }
                None => {
                    self.begun.extend_from_slice(bytes);
                    bytes = &[];
                }
            }
        }
        if self.begun.is_empty() {
            self.begun.shrink_to(0);
        }
    }

    fn flush(&mut self, emit: impl FnOnce(&[u8])) {
        if !self.begun.is_empty() {
            emit(&std::mem::take(&mut self.begun));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for chunk in chunks {
            lines.feed(chunk, |text, partial| found.push((text.to_vec(), partial)));
        }
        lines.flush(|text| found.push((text.to_vec(), true)));
        found
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let whole = split(&[b"one\ntwo\n\nthree"]);
        let bytes: Vec<&[u8]> = b"one\ntwo\n\nthree".chunks(1).collect();
        assert_eq!(split(&bytes), whole);
        assert_eq!(whole[0], (b"one".to_vec(), false));
        assert_eq!(whole[2], (Vec::new(), false));
        assert_eq!(whole[3], (b"three".to_vec(), true));
    }

    #[test]
    fn a_long_line_becomes_several_and_only_the_last_is_not_partial() {
        let mut long = vec![b'x'; LINE_BYTES_MAX * 2 + 5];
        long.push(b'\n');
        let found = split(&[&long]);
        let lengths: Vec<_> = found.iter().map(|(text, partial)| (text.len(), *partial)).collect();
        assert_eq!(lengths, [(LINE_BYTES_MAX, true), (LINE_BYTES_MAX, true), (5, false)]);
    }

    #[test]
    fn a_line_of_exactly_the_longest_length_is_whole() {
        let mut line = vec![b'x'; LINE_BYTES_MAX];
        line.push(b'\n');
        assert_eq!(split(&[&line]), [(line[..LINE_BYTES_MAX].to_vec(), false)]);
    }
}
