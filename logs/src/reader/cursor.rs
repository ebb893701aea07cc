//! A place in one segment that moves forward.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

use crate::folder;
use crate::limits::READ_BYTES;
use crate::record::{self, Damage, HEADER_BYTES, PREFIX_BYTES, Record};

/// What stands at a place.
#[derive(Debug)]
pub(super) enum Step<T> {
    /// A record.
    Record(T),
    /// The end of the segment.
    End,
    /// Not all of a record yet.
    Torn,
    /// No record.
    Damaged(Damage),
}

#[derive(Debug)]
pub(super) struct Cursor {
    file: File,
    /// Where the next record starts.
    offset: u64,
    window: Vec<u8>,
    window_start: u64,
}

impl Cursor {
    /// Opens a segment at its start; `None` if it was removed.
    pub(super) fn open(folder: &Path, number: u32) -> io::Result<Option<Self>> {
        // Whoever writes a folder must not choose what its readers open or wait for.
        let opened = fs::OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(folder.join(folder::name(number)));
        match opened {
            Ok(file) if !file.metadata()?.is_file() => Err(io::ErrorKind::InvalidInput.into()),
            Ok(file) => Ok(Some(Self { file, offset: 0, window: Vec::new(), window_start: 0 })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    pub(super) fn metadata(&self) -> io::Result<fs::Metadata> {
        self.file.metadata()
    }

    /// Reads the record here and moves behind it.
    pub(super) fn read(&mut self) -> io::Result<Step<Record>> {
        let (body_bytes, checksum) = match self.prefix()? {
            Step::Record(prefix) => prefix,
            other => return Ok(other.empty()),
        };
        let start = self.offset + PREFIX_BYTES as u64;
        let Some(body) = self.bytes(start, body_bytes)? else { return Ok(Step::Torn) };
        match record::decode(body, checksum) {
            Ok(record) => {
                self.offset = start + body_bytes as u64;
                Ok(Step::Record(record))
            }
            Err(damage) => Ok(Step::Damaged(damage)),
        }
    }

    /// Moves behind the record here without looking at its content.
    pub(super) fn skip(&mut self) -> io::Result<Step<()>> {
        let body_bytes = match self.prefix()? {
            Step::Record((body_bytes, _)) => body_bytes,
            other => return Ok(other.empty()),
        };
        let end = self.offset + (PREFIX_BYTES + body_bytes) as u64;
        if self.bytes(end - 1, 1)?.is_none() {
            return Ok(Step::Torn);
        }
        self.offset = end;
        Ok(Step::Record(()))
    }

    /// Body length and checksum of the record here; steps over the header first.
    fn prefix(&mut self) -> io::Result<Step<(usize, u32)>> {
        if self.offset < HEADER_BYTES as u64 {
            let Some(header) = self.bytes(0, HEADER_BYTES)?.and_then(|bytes| bytes.first_chunk().copied()) else {
                return Ok(Step::Torn);
            };
            if let Err(damage) = record::read_header(&header) {
                return Ok(Step::Damaged(damage));
            }
            self.offset = HEADER_BYTES as u64;
        }
        let Some(prefix) = self.bytes(self.offset, PREFIX_BYTES)?.and_then(|bytes| bytes.first_chunk().copied()) else {
            return Ok(if self.bytes(self.offset, 1)?.is_some() { Step::Torn } else { Step::End });
        };
        Ok(match record::read_prefix(prefix) {
            Ok(prefix) => Step::Record(prefix),
            Err(damage) => Step::Damaged(damage),
        })
    }

    /// Bytes of the segment; `None` if it does not hold all of them.
    fn bytes(&mut self, start: u64, length: usize) -> io::Result<Option<&[u8]>> {
        let in_window = |window_start: u64, window: &[u8]| {
            let skipped = usize::try_from(start.checked_sub(window_start)?).ok()?;
            (skipped + length <= window.len()).then_some(skipped)
        };
        if in_window(self.window_start, &self.window).is_none() {
            self.fill(start, length.max(READ_BYTES))?;
        }
        Ok(in_window(self.window_start, &self.window).map(|skipped| &self.window[skipped..skipped + length]))
    }

    fn fill(&mut self, start: u64, length: usize) -> io::Result<()> {
        self.window.resize(length, 0);
        self.window_start = start;
        let mut filled = 0;
        while filled < length {
            match self.file.read_at(&mut self.window[filled..], start + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.window.truncate(filled);
        Ok(())
    }
}

impl<T> Step<T> {
    /// The same step with another kind of record, for all but a record.
    fn empty<U>(self) -> Step<U> {
        match self {
            Self::Record(_) | Self::End => Step::End,
            Self::Torn => Step::Torn,
            Self::Damaged(damage) => Step::Damaged(damage),
        }
    }
}
