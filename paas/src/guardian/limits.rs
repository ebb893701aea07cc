//! Limits of the guardian, each with its unit.

use std::time::Duration;

/// A launch that lived shorter than this is started again only after a pause.
pub const LAUNCH_LIVES_MIN: Duration = Duration::from_secs(5);
/// That pause.
pub const LAUNCH_PAUSE: Duration = Duration::from_secs(1);
/// How long launch may take to end once the server has.
pub const LAUNCH_END_MAX: Duration = Duration::from_secs(25);
/// Bytes of a file that are copied at once.
pub const COPY_BYTES: usize = 256 * 1024;
/// How much of the lock file is read.
pub const LOCK_TEXT_BYTES_MAX: u64 = 64;
/// Largest core dump of the platform's own processes, in bytes.
pub const CORE_BYTES_MAX: u64 = 1;
/// Copies of each program that stay in `libexec/` beside the current one: what a key's
/// forced command names until the new server has written the keys anew.
pub const OLD_COPIES_KEPT: usize = 1;
