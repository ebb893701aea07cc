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
/// A killed release phase is gone within this, or is stuck.
pub const RELEASE_PHASE_KILL_MAX: Duration = Duration::from_secs(30);
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
pub const SWITCH_MAX: Duration = Duration::from_mins(30);
/// Releases and builds that a listing shows.
pub const SHOWN_RELEASES_MAX: usize = 50;
/// The last lines of a request reach its client within this, or are lost.
pub const LINES_FLUSH_MAX: Duration = Duration::from_secs(10);
/// Between two signs of life while a switch has nothing to tell.
pub const QUIET_MAX: Duration = Duration::from_secs(10);
/// An app that is destroyed or renamed waits this long for its processes: drain, SIGTERM,
/// SIGKILL and room. What is alive then is stuck and left to the engine.
pub const CLOSE_MAX: Duration = Duration::from_secs(90);
/// While a destroy waits for its turn, whoever has it is cancelled this often.
pub const CANCEL_AGAIN: Duration = Duration::from_secs(1);
/// Sessions that were told to end are gone within this, or are stuck.
pub const SESSIONS_END_MAX: Duration = Duration::from_secs(30);
/// Removing what is left of one destroyed app; tried again at the next start.
pub const WIPE_MAX: Duration = Duration::from_mins(2);
/// Longest line of an app that a refusal repeats, in characters.
pub const REFUSAL_LINE_CHARS_MAX: usize = 400;
/// How much of a wrong word a failure repeats, in characters.
pub const SHOWN_WORD_CHARS_MAX: usize = 60;

/// A release that went live is watched for this long.
pub const WATCH_MAX: Duration = Duration::from_mins(1);
/// When the router is asked how its requests ended, in seconds after the switch.
pub const WATCH_READS_S: [u64; 9] = [2, 5, 10, 15, 20, 30, 40, 50, 60];
/// Fewer requests than these say nothing about a release.
pub const WATCH_REQUESTS_MIN: u64 = 20;
/// So many of them answered with 5xx undo it, in percent, …
pub const WATCH_ERRORS_PERCENT_MIN: u64 = 25;
/// … if of the release before it was less than this, in percent.
pub const WATCH_ERRORS_BEFORE_PERCENT_MAX: u64 = 5;
/// So many restarts that nobody asked for are a crash loop.
pub const CRASH_LOOP_RESTARTS: u32 = 3;
/// Releases among which the last one is looked for that people made.
pub const UNDONE_AMONG_RELEASES_MAX: usize = 20;
/// More than the peak of the last release that a second copy is thought to need, in percent.
pub const MEMORY_MARGIN_PERCENT: u64 = 10;
/// The longest that requests are held while one web stops and another starts.
pub const SWAP_HOLD_MS_MAX: u64 = 60_000;
/// The longest boot timeout that can be set: a switch takes 30 min at most.
pub const BOOT_TIMEOUT_S_MAX: u32 = 1_200;
/// The longest stop timeout that can be set.
pub const STOP_TIMEOUT_S_MAX: u32 = 600;
/// From SIGTERM to SIGKILL unless people set it; CLOSE_MAX has room for it.
pub const STOP_TIMEOUT_S: u32 = 30;
/// How long `ps:wait` waits unless it is told.
pub const WAIT_S: u64 = 120;
/// The longest that it can be told.
pub const WAIT_S_MAX: u64 = 3_600;
/// Paths of one app that are remembered as told to be lost; the next ones are not told.
pub const LEFT_PATHS_MAX: usize = 256;
