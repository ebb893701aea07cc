//! Limits of control, each with its unit.

use std::time::Duration;

/// How long the router holds a request while an app's only instance restarts.
pub const HOLD_MAX_MS: u64 = 10_000;
/// A draining instance is signalled after this even if a router did not say "idle".
pub const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Commands that wait for an app's task; a full queue answers "busy".
pub const APP_MAILBOX_COMMANDS_MAX: usize = 64;
/// Lines of a build or push that wait for a client that does not read.
pub const PUSH_LINES_QUEUED_MAX: usize = 1_000;
/// A release phase is killed after this.
pub const RELEASE_PHASE_SECONDS_MAX: u64 = 600;
/// Free space that a build must find: source, build, slug and unpacked slug side by side.
pub const BUILD_FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// Lines that `logs` and `events` show at most.
pub const SHOWN_LINES_MAX: usize = 10_000;
/// A slug younger than this is not removed: a build may be about to release it.
pub const GARBAGE_AGE_MIN_MS: i64 = 60 * 60 * 1_000;
/// How long a one-off of a person may run; Heroku's limit is a day.
pub const RUN_SECONDS_MAX: u64 = 24 * 60 * 60;
/// Lines of a crashed candidate that its refusal repeats.
pub const REFUSAL_LINES_MAX: usize = 20;
/// A switch is given up after this, if nothing else has ended it.
pub const SWITCH_MAX: std::time::Duration = std::time::Duration::from_secs(30 * 60);
/// Releases and builds that a listing shows.
pub const SHOWN_RELEASES_MAX: usize = 50;
