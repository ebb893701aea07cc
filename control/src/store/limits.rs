//! Every number of the store, with its unit in its name.

/// Requests that wait for a thread of the store; whoever comes next waits to be let in.
pub const WAITING_REQUESTS_MAX: usize = 64;
/// How long the store waits for somebody else's lock on the file (an operator's
/// `sqlite3`), in milliseconds.
pub const FOREIGN_LOCK_WAIT_MS: u64 = 5_000;
/// The write-ahead log is cut back to this after a checkpoint, in bytes.
pub const WRITE_AHEAD_LOG_BYTES_KEPT: i64 = 16 * 1024 * 1024;
/// Prepared statements that a connection keeps.
pub const PREPARED_STATEMENTS_MAX: usize = 128;

/// Releases of an app whose slugs are kept, besides the current one's and candidates'.
pub const SLUGS_KEPT_RELEASES: u32 = 10;
/// Lines of a build's output that are kept.
pub const BUILD_LINES_MAX: i64 = 20_000;
/// Longest line of a build's output, in bytes; the rest of the line is dropped.
pub const BUILD_LINE_BYTES_MAX: usize = 4 * 1024;
/// Output kept of one build, in bytes.
pub const BUILD_OUTPUT_BYTES_MAX: i64 = 4 * 1024 * 1024;
/// Output kept of all builds of an app, in bytes; the oldest goes first.
pub const APP_BUILD_OUTPUT_BYTES_MAX: i64 = 32 * 1024 * 1024;
/// Longest manifest of a slug, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 1024 * 1024;

/// Longest sentence of an event, in bytes; the rest is dropped.
pub const EVENT_TEXT_BYTES_MAX: usize = 4 * 1024;
/// Rows that a listing returns at most.
pub const LISTED_ROWS_MAX: usize = 10_000;
/// Longest reason of a failed release or build, in bytes; the rest is dropped.
pub const REASON_BYTES_MAX: usize = 4 * 1024;
/// Run numbers that are handed out at once.
pub const RUN_NUMBERS_BLOCK_MAX: u32 = 10_000;
/// Longest name of a person, in bytes.
pub const PERSON_BYTES_MAX: usize = 64;

/// Length of the key file, in bytes: AES-256.
pub const KEY_BYTES: usize = 32;
