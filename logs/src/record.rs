//! The bytes of a segment. Durable: what is written today must be readable for ever.
//!
//! ```text
//! header  "paaslog\n"  version u32  reserved u32  first sequence number u64
//! record  length u32   CRC-32 u32   body of that length
//! body    sequence u64  time i64 (µs since 1970 UTC)  stream u8  flags u8  n u8  subject of n bytes  text
//! ```
//! All numbers are little-endian; the checksum is of the body.

use crate::Stream;
use crate::checksum::crc32;
use crate::limits::{SUBJECT_BYTES_MAX, TEXT_BYTES_MAX};

/// The first bytes of every segment.
pub const MAGIC: [u8; 8] = *b"paaslog\n";
/// The version of the format that is written.
pub const VERSION: u32 = 1;
/// Bytes of a segment's header.
pub const HEADER_BYTES: usize = 24;
/// Bytes before a record's body.
pub const PREFIX_BYTES: usize = 8;
/// Bytes of a body before its subject.
pub const FIXED_BYTES: usize = 19;
/// The longest body that is valid.
pub const BODY_BYTES_MAX: usize = FIXED_BYTES + 255 + TEXT_BYTES_MAX;

/// The line goes on in the next record of the same stream.
const PARTIAL: u8 = 1;
/// The text tells of records that could not be written; it starts with their number.
const LOST: u8 = 2;

/// What a record says beside its text and subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Counts the records of a folder; a gap means that some were lost.
    pub sequence: u64,
    /// When the line was read, in microseconds since 1970 UTC.
    pub time_unix_us: i64,
    /// Who said it.
    pub stream: Stream,
    /// The line goes on in the next record of the same stream.
    pub partial: bool,
    /// The text tells of records that could not be written; it starts with their number.
    pub lost: bool,
}

/// One line, or a piece of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Number, time, stream and flags.
    pub stamp: Stamp,
    /// What a shared folder's line is about: an app's number, a process; mostly empty.
    pub subject: String,
    /// The bytes as they were said, without the newline.
    pub text: Vec<u8>,
}

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// They are not a segment of a version that this reader knows.
    Header,
    /// The length is impossible.
    Length,
    /// The checksum says otherwise.
    Checksum,
    /// The checksum is right, the content is of no known kind.
    Content,
    /// The segment ends in the middle of it: its writer was killed.
    Torn,
    /// The system refuses to read the segment, or it is no plain file.
    Unreadable,
}

/// The header of a segment whose first record will have this number.
pub fn header(first_sequence: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&first_sequence.to_le_bytes());
    bytes
}

/// The number that a header promises for the first record.
pub fn read_header(bytes: &[u8; HEADER_BYTES]) -> Result<u64, Damage> {
    if bytes[..8] != MAGIC || bytes[8..12] != VERSION.to_le_bytes() {
        return Err(Damage::Header);
    }
    Ok(u64_at(bytes, 16))
}

/// The bytes that a record takes in its segment.
pub fn encoded_bytes(subject: &str, text: &[u8]) -> usize {
    PREFIX_BYTES + FIXED_BYTES + cut(subject).len() + text.len()
}

/// Adds a record to `target`. The text is at most [`TEXT_BYTES_MAX`] long.
pub fn encode(target: &mut Vec<u8>, stamp: Stamp, subject: &str, text: &[u8]) {
    let subject = cut(subject).as_bytes();
    let text = &text[..text.len().min(TEXT_BYTES_MAX)];
    let mut fixed = [0; FIXED_BYTES];
    fixed[..8].copy_from_slice(&stamp.sequence.to_le_bytes());
    fixed[8..16].copy_from_slice(&stamp.time_unix_us.to_le_bytes());
    fixed[16] = stamp.stream.to_byte();
    fixed[17] = if stamp.partial { PARTIAL } else { 0 } | if stamp.lost { LOST } else { 0 };
    fixed[18] = u8::try_from(subject.len()).unwrap_or(0);
    let length = u32::try_from(FIXED_BYTES + subject.len() + text.len()).unwrap_or(0);
    target.extend_from_slice(&length.to_le_bytes());
    target.extend_from_slice(&crc32(&[&fixed, subject, text]).to_le_bytes());
    target.extend_from_slice(&fixed);
    target.extend_from_slice(subject);
    target.extend_from_slice(text);
}

/// The length of the body and its checksum.
pub fn read_prefix(bytes: [u8; PREFIX_BYTES]) -> Result<(usize, u32), Damage> {
    let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    if !(FIXED_BYTES..=BODY_BYTES_MAX).contains(&length) {
        return Err(Damage::Length);
    }
    Ok((length, u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]])))
}

/// Number, time, stream and flags of a body, and where its text starts.
pub fn read_body(body: &[u8], checksum: u32) -> Result<(Stamp, usize), Damage> {
    if crc32(&[body]) != checksum {
        return Err(Damage::Checksum);
    }
    let fixed: &[u8; FIXED_BYTES] = body.first_chunk().ok_or(Damage::Length)?;
    let text_start = FIXED_BYTES + usize::from(fixed[18]);
    if text_start > body.len() {
        return Err(Damage::Content);
    }
    let stamp = Stamp {
        sequence: u64_at(fixed, 0),
        time_unix_us: u64_at(fixed, 8).cast_signed(),
        stream: Stream::from_byte(fixed[16]).ok_or(Damage::Content)?,
        partial: fixed[17] & PARTIAL != 0,
        lost: fixed[17] & LOST != 0,
    };
    Ok((stamp, text_start))
}

/// A whole record from its body.
pub fn decode(body: &[u8], checksum: u32) -> Result<Record, Damage> {
    let (stamp, text_start) = read_body(body, checksum)?;
    Ok(Record { stamp, subject: String::from_utf8_lossy(&body[FIXED_BYTES..text_start]).into_owned(), text: body[text_start..].to_vec() })
}

fn cut(subject: &str) -> &str {
    &subject[..subject.floor_char_boundary(SUBJECT_BYTES_MAX)]
}

fn u64_at(bytes: &[u8], start: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[start..start + 8]);
    u64::from_le_bytes(number)
}
