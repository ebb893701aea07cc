//! Writing: records gather in a small buffer and go into the newest segment of a folder
//! in few writes. Nothing here waits for a reader, and a full disk loses lines, counted,
//! not the process.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::Stream;
use crate::folder::{list, name, scan, whole_records, write_counted};
use crate::limits::{BATCH_BYTES, CREATE_TRIES_MAX, SEGMENT_BYTES_MAX, SEGMENT_FILES_MAX, SEGMENTS_MAX, TEXT_BYTES_MAX};
use crate::record::{self, HEADER_BYTES, Stamp};

/// How much a folder keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Full segments; the oldest is removed when there would be one more. Segments that
    /// were left before they were full count by their bytes.
    pub segments: usize,
    /// Bytes at which a segment is full.
    pub segment_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { segments: SEGMENTS_MAX, segment_bytes: SEGMENT_BYTES_MAX }
    }
}

/// Appends records to a folder. Several writers may share one: each holds a lock on the
/// segment that it writes, and another writer begins a segment of its own.
#[derive(Debug)]
pub struct Writer {
    directory: OwnedFd,
    limits: Limits,
    current: Option<Current>,
    /// Known once the folder was looked at.
    next_sequence: Option<u64>,
    buffer: Vec<u8>,
    /// Lines in the buffer.
    buffered: u64,
    /// Lines whose loss is told by a marker in the buffer.
    marked: u64,
    /// Lines that are gone and not yet told of.
    lost: u64,
}

#[derive(Debug)]
struct Current {
    file: Flock<File>,
    /// Bytes of whole records, header included.
    bytes: u64,
}

impl Writer {
    /// A writer for the folder. Nothing is read or made before the first line.
    pub fn open(directory: OwnedFd, limits: Limits) -> io::Result<Self> {
        if fstat(&directory)?.st_mode & nix::libc::S_IFMT != nix::libc::S_IFDIR {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { directory, limits, current: None, next_sequence: None, buffer: Vec::new(), buffered: 0, marked: 0, lost: 0 })
    }

    /// Adds a line; see [`Writer::append_for`].
    pub fn append(&mut self, stream: Stream, time_unix_us: i64, bytes: &[u8], partial: bool) -> io::Result<()> {
        self.append_for("", stream, time_unix_us, bytes, partial)
    }

    /// Adds a line about `subject`. It reaches readers with the next [`Writer::flush`], or
    /// when the batch is full. After an error the writer goes on: what was lost is counted
    /// and told by a marker as soon as writing works again.
    pub fn append_for(&mut self, subject: &str, stream: Stream, time_unix_us: i64, bytes: &[u8], partial: bool) -> io::Result<()> {
        let mut result = Ok(());
        let mut rest = bytes;
        while let Some((piece, more)) = rest.split_at_checked(TEXT_BYTES_MAX)
            && !more.is_empty()
        {
            result = result.and(self.append_piece(subject, stream, time_unix_us, piece, true));
            rest = more;
        }
        result.and(self.append_piece(subject, stream, time_unix_us, rest, partial))
    }

    /// Whether lines wait for a [`Writer::flush`].
    pub fn is_dirty(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Lines that were lost and not yet told of.
    pub fn lost(&self) -> u64 {
        self.lost + self.marked
    }

    /// Hands everything to the kernel, where readers see it.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let result = self.write_buffer();
        self.buffer.clear();
        self.buffer.shrink_to(BATCH_BYTES);
        self.buffered = 0;
        self.marked = 0;
        result
    }

    fn append_piece(&mut self, subject: &str, stream: Stream, time_unix_us: i64, text: &[u8], partial: bool) -> io::Result<()> {
        if self.next_sequence.is_none()
            && let Err(error) = self.begin()
        {
            self.lost += 1;
            return Err(error);
        }
        let mut result = Ok(());
        if self.is_dirty() && self.buffer.len() + record::encoded_bytes(subject, text) > BATCH_BYTES {
            result = self.flush();
        }
        if !self.is_dirty() && self.lost > 0 {
            self.push_marker(time_unix_us);
        }
        self.push(Stamp { sequence: 0, time_unix_us, stream, partial, lost: false }, subject, text);
        self.buffered += 1;
        if self.buffer.len() >= BATCH_BYTES {
            result = result.and(self.flush());
        }
        result
    }

    fn push_marker(&mut self, time_unix_us: i64) {
        self.marked = std::mem::take(&mut self.lost);
        let text = match self.marked {
            1 => "1 line was lost: the log could not be written".to_owned(),
            lines => format!("{lines} lines were lost: the log could not be written"),
        };
        let stamp = Stamp { sequence: 0, time_unix_us, stream: Stream::Platform, partial: false, lost: true };
        self.push(stamp, "", text.as_bytes());
    }

    fn push(&mut self, stamp: Stamp, subject: &str, text: &[u8]) {
        let sequence = self.next_sequence.unwrap_or(1);
        self.next_sequence = Some(sequence.saturating_add(1));
        record::encode(&mut self.buffer, Stamp { sequence, ..stamp }, subject, text);
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        let mut written = 0;
        let result = self.usable_segment().and_then(|mut current| {
            let result = write_counted(&current.file, &self.buffer, &mut written);
            let (whole_bytes, _) = whole_records(&self.buffer[..written]);
            current.bytes += whole_bytes as u64;
            // A torn record is cut off, or its segment is left. What readers may have
            // seen whole stays where it is.
            if written == whole_bytes || current.file.set_len(current.bytes).is_ok() {
                self.current = Some(current);
            }
            result
        });
        if result.is_err() {
            let (_, whole) = whole_records(&self.buffer[..written]);
            self.lost += match (self.marked, whole) {
                (0, whole) => self.buffered - whole,
                (marked, 0) => self.buffered + marked,
                (_, whole) => self.buffered - (whole - 1),
            };
        }
        result
    }

    fn usable_segment(&mut self) -> io::Result<Current> {
        match self.current.take() {
            Some(current) if self.is_usable(&current)? => Ok(current),
            _ => self.create(),
        }
    }

    /// Whether the segment has room and a name: one that somebody removed is left.
    fn is_usable(&self, current: &Current) -> io::Result<bool> {
        let full = current.bytes > HEADER_BYTES as u64 && current.bytes + self.buffer.len() as u64 > self.limits.segment_bytes;
        Ok(!full && fstat(&*current.file)?.st_nlink > 0)
    }

    /// Looks at what earlier writers left: the number of the next record, and the last
    /// segment if it can be continued.
    fn begin(&mut self) -> io::Result<()> {
        let mut sequence = 1;
        for (age, number) in list(&self.directory)?.into_iter().rev().enumerate() {
            if age == 0
                && let Ok(file) = self.open_segment(number, OFlag::O_RDWR | OFlag::O_APPEND)
                && let Ok(mut file) = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            {
                let found = scan(&mut file)?;
                if found.whole {
                    sequence = found.next_sequence;
                    self.current = Some(Current { file, bytes: found.bytes });
                    break;
                }
            }
            let found = scan(&mut self.open_segment(number, OFlag::O_RDONLY)?)?;
            if found.next_sequence > 0 {
                sequence = found.next_sequence;
                break;
            }
        }
        self.next_sequence = Some(sequence);
        Ok(())
    }

    fn open_segment(&self, number: u32, flags: OFlag) -> io::Result<File> {
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        Ok(openat(&self.directory, name(number).as_str(), flags, Mode::empty())?.into())
    }

    /// Begins a segment after removing the ones that are too many. The buffer holds the
    /// records that will come first.
    fn create(&self) -> io::Result<Current> {
        let mut number = self.prune()?;
        let first = self.next_sequence.unwrap_or(1).saturating_sub(self.buffered + u64::from(self.marked > 0));
        for _ in 0..CREATE_TRIES_MAX {
            number = number.saturating_add(1);
            match self.create_numbered(number, first) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result,
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn create_numbered(&self, number: u32, first_sequence: u64) -> io::Result<Current> {
        let name = name(number);
        let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.directory, name.as_str(), flags, Mode::from_bits_truncate(0o640))?);
        let begun = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, error)| io::Error::from(error))
            .and_then(|mut file| file.write_all(&record::header(first_sequence)).map(|()| file));
        match begun {
            Ok(file) => Ok(Current { file, bytes: HEADER_BYTES as u64 }),
            Err(error) => {
                let _ = unlinkat(&self.directory, name.as_str(), UnlinkatFlags::NoRemoveDir);
                Err(error)
            }
        }
    }

    /// How many of these segments go before there is one more. A writer whose segment is
    /// torn or still held by another one begins a new one early: then there are more of
    /// them, and none goes as long as all together hold less than full ones might.
    fn surplus(&self, numbers: &[u32]) -> usize {
        let (most, mut kept) = (self.limits.segments.max(1), 0_usize);
        let mut room = (most as u64 - 1).saturating_mul(self.limits.segment_bytes);
        for number in numbers.iter().rev() {
            let found = fstatat(&self.directory, name(*number).as_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
            let bytes = found.map_or(0, |found| found.st_size.cast_unsigned());
            let left = room.checked_sub(bytes);
            if (left.is_none() && kept + 1 >= most) || kept + 1 >= SEGMENT_FILES_MAX.max(most) {
                break;
            }
            room = left.unwrap_or(0);
            kept += 1;
        }
        numbers.len() - kept
    }

    /// Makes room for one more segment, before it is made: a folder that nothing can be
    /// removed from must not grow, and a full disk gains space. Returns the newest number.
    fn prune(&self) -> io::Result<u32> {
        let numbers = list(&self.directory)?;
        for number in &numbers[..self.surplus(&numbers)] {
            match unlinkat(&self.directory, name(*number).as_str(), UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(numbers.last().copied().unwrap_or(0))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}
