//! The segments of a folder: their names, and what a writer finds in them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::limits::{BATCH_BYTES, LISTED_FILES_MAX};
use crate::record::{self, HEADER_BYTES, PREFIX_BYTES};

/// The file name of a segment.
pub(crate) fn name(number: u32) -> String {
    format!("{number:08}.seg")
}

/// The numbers of a folder's segments, oldest first.
pub(crate) fn list(directory: &impl AsFd) -> io::Result<Vec<u32>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut numbers = Vec::new();
    for entry in Dir::openat(directory.as_fd(), ".", flags, Mode::empty())?.iter() {
        let entry = entry?;
        let number = entry.file_name().to_str().ok().and_then(|name| name.strip_suffix(".seg"));
        if let Some(number) = number.filter(|number| number.len() >= 8).and_then(|number| number.parse().ok()) {
            numbers.push(number);
        }
        if numbers.len() >= LISTED_FILES_MAX {
            break;
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Writes all of it; `written` tells how far it came if that fails.
pub(crate) fn write_counted(mut file: &File, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    while *written < bytes.len() {
        match file.write(&bytes[*written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Bytes and number of the whole records at the beginning of `bytes`.
pub(crate) fn whole_records(bytes: &[u8]) -> (usize, u64) {
    let (mut end, mut count) = (0, 0);
    while let Some((body, _)) = bytes[end..].first_chunk().and_then(|prefix| record::read_prefix(*prefix).ok()) {
        if end + PREFIX_BYTES + body > bytes.len() {
            break;
        }
        end += PREFIX_BYTES + body;
        count += 1;
    }
    (end, count)
}

pub(crate) struct Scan {
    /// The number after the last whole record; 0 if not even the header can be read.
    pub(crate) next_sequence: u64,
    /// Bytes of header and whole records.
    pub(crate) bytes: u64,
    /// Whether nothing follows them.
    pub(crate) whole: bool,
}

/// Walks over the records of a segment to its end. Only lengths are followed: they show a
/// torn end, and reading ten megabytes at each start of a process must stay cheap.
pub(crate) fn scan(file: &mut File) -> io::Result<Scan> {
    let length = file.metadata()?.len();
    let mut reader = io::BufReader::with_capacity(BATCH_BYTES, file);
    let mut found = Scan { next_sequence: 0, bytes: 0, whole: false };
    let mut header = [0; HEADER_BYTES];
    if length < HEADER_BYTES as u64 || reader.read_exact(&mut header).is_err() {
        return Ok(found);
    }
    let Ok(first) = record::read_header(&header) else { return Ok(found) };
    found.next_sequence = first;
    found.bytes = HEADER_BYTES as u64;
    let mut prefix = [0; PREFIX_BYTES];
    let mut sequence = [0; 8];
    while found.bytes + PREFIX_BYTES as u64 <= length {
        reader.read_exact(&mut prefix)?;
        let Ok((body, _)) = record::read_prefix(prefix) else { return Ok(found) };
        let end = found.bytes + (PREFIX_BYTES + body) as u64;
        if end > length {
            return Ok(found);
        }
        reader.read_exact(&mut sequence)?;
        reader.seek_relative(i64::try_from(body - sequence.len()).unwrap_or(0))?;
        found.next_sequence = u64::from_le_bytes(sequence).saturating_add(1);
        found.bytes = end;
    }
    found.whole = found.bytes == length;
    Ok(found)
}
