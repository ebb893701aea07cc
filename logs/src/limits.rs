//! Every limit of this crate.

/// Full segments that one folder keeps.
pub const SEGMENTS_MAX: usize = 5;
/// Segments that one folder keeps when they were left before they were full: by a killed
/// writer, or because an earlier one still held the last.
pub const SEGMENT_FILES_MAX: usize = 100;
/// Bytes at which a segment is full.
pub const SEGMENT_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Bytes that gather before they are written without being asked.
pub const BATCH_BYTES: usize = 16 * 1024;
/// Longest text of one record, in bytes; what is longer becomes several, all but the
/// last of them marked as partial.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Longest subject of a record, in bytes; what is longer is cut.
pub const SUBJECT_BYTES_MAX: usize = 128;
/// File numbers tried in a row when another writer takes them first.
pub const CREATE_TRIES_MAX: u32 = 64;
/// Files of a folder that a reader or writer looks at.
pub const LISTED_FILES_MAX: usize = 1_000;
/// Records that a follower hands out at once; it goes on where it stopped.
pub const FOLLOW_RECORDS_MAX: usize = 1_000;
/// Bytes of records that a follower hands out at once, roughly.
pub const FOLLOW_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Newest records that can be asked for at once.
pub const TAIL_RECORDS_MAX: usize = 10_000;
/// Bytes of text that the newest records of one question may hold together, roughly.
pub const TAIL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes read from a segment at once.
pub const READ_BYTES: usize = 64 * 1024;
/// Folders that one follower watches.
pub const FOLDERS_MAX: usize = 1_000;
