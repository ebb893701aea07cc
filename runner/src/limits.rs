//! Every number of the run plane, with its unit.

use std::time::Duration;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Boot: a web instance answers on `PORT` within this, or within three times its last boot.
pub const BOOT_TIMEOUT: Duration = s(60);
/// How many times its last boot an instance may take.
pub const BOOT_TIMEOUT_OF_LAST: u32 = 3;
/// First startup probe after the start.
pub const STARTUP_PROBE_FIRST: Duration = Duration::from_millis(50);
/// Startup probes grow apart to this.
pub const STARTUP_PROBE_APART_MAX: Duration = s(1);
/// A process without a port is ready once it stayed up this long.
pub const STAY_UP: Duration = s(10);
/// A process without a port that exits 0 within this counts as done.
pub const FINISHED_WITHIN: Duration = s(10);
/// So many quick exits 0 in a row make it finished.
pub const FINISHED_AFTER_EXITS: u32 = 3;

/// A probe waits this long for the first byte.
pub const PROBE_TIMEOUT: Duration = s(5);
/// After the first byte, for the rest of the status line.
pub const PROBE_STATUS_LINE_TIMEOUT: Duration = s(1);
/// After the status line the answer is read on for this long, so that the app's write
/// does not fail.
pub const PROBE_DRAIN: Duration = Duration::from_millis(250);
/// Bytes of an answer that a probe reads at most.
pub const PROBE_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest status line.
pub const PROBE_STATUS_LINE_BYTES_MAX: usize = 1024;
/// Longest head of an answer to an author's check.
pub const CHECK_HEAD_BYTES_MAX: usize = 32 * 1024;
/// How much of an answer is read at a time.
pub const CHECK_READ_BYTES: usize = 4 * 1024;
/// How much people see of what a check said or wanted.
pub const CHECK_ANSWER_SHOWN_CHARS_MAX: usize = 120;
/// A probe when nothing came for this long.
pub const PROBE_EVERY_WHEN_IDLE: Duration = s(30);
/// Probes after a silence, and after trouble at the router, are at least this far apart.
pub const PROBE_EVERY_AFTER_SILENCE: Duration = s(5);
/// A last probe with less time than this left in its window is not sent.
pub const PROBE_TIME_LEFT_MIN: Duration = s(1);
/// How long the router may take to say when it last saw a byte.
pub const TRAFFIC_ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// A timer that fires this late says more about the machine than about the app.
pub const TIMER_LATE: Duration = s(1);
/// Silent for this long while a probe is failing: unready.
pub const UNREADY_AFTER: Duration = s(15);
/// Silent for at least this long since the first failed probe was sent: restart.
pub const RESTART_AFTER_MIN: Duration = s(60);
/// The router's limit for the first byte of an answer.
pub const REQUEST_TIMEOUT: Duration = s(30);
/// The restart window is at least this many request timeouts.
pub const RESTART_AFTER_REQUEST_TIMEOUTS: u32 = 2;
/// A restart that did not cure doubles the window up to this.
pub const RESTART_AFTER_MAX: Duration = s(600);

/// How often a watchdog is taken to be fed if its app does not say (`WATCHDOG_USEC=`).
pub const WATCHDOG_INTERVAL: Duration = s(30);
/// So many intervals without `WATCHDOG=1`: restart.
pub const WATCHDOG_MISSED_INTERVALS: u32 = 2;
/// Between two looks at a watchdog, whatever its interval.
pub const WATCHDOG_SOON: Duration = s(1);
/// How much people see of an app's `STATUS=`.
pub const STATUS_SHOWN_CHARS_MAX: usize = 200;

/// How long a drained instance keeps its requests.
pub const DRAIN_TIMEOUT: Duration = s(10);
/// SIGTERM to SIGKILL.
pub const STOP_GRACE: Duration = s(30);
/// How long a silent instance is drained: what it had in flight timed out long ago.
pub const SILENT_DRAIN_TIMEOUT: Duration = s(2);
/// SIGTERM to SIGKILL of a silent instance: it did not react for a minute, and an idle
/// hang is to be over within 95 s.
pub const SILENT_STOP_GRACE: Duration = s(2);
/// The shim kills at the end of the grace period and notes that it had to; only a shim
/// that did not is overtaken after this much more.
pub const SHIM_KILL_MARGIN: Duration = s(1);
/// SIGKILL to `stuck`.
pub const STUCK_AFTER: Duration = s(10);

/// Restarts after a crash without a wait.
pub const BACKOFF_FREE_RESTARTS: u32 = 3;
/// First wait after those.
pub const BACKOFF_FIRST: Duration = s(1);
/// Longest wait.
pub const BACKOFF_MAX: Duration = s(300);
/// Part of a wait that chance takes away at most, in percent.
pub const BACKOFF_JITTER_PERCENT: u64 = 25;
/// So much health forgets earlier crashes.
pub const HEALTH_RESETS_AFTER: Duration = s(600);

/// Restarts of silent instances at the same time on the box.
pub const LIVENESS_RESTARTS_PER_BOX: usize = 2;
/// How long an instance that does not come up after a restart for its health keeps the
/// others of its app from theirs.
pub const HEALING_MAX: Duration = s(600);
/// Instances starting at the same time, per core.
pub const STARTS_PER_CORE: usize = 2;
/// A start that takes longer lets the next one begin: it may never bind its port. A
/// process without one has started once its command runs.
pub const START_PERMIT_HELD: Duration = s(15);
/// How long a start waits for a free port lease.
pub const PORT_WAIT: Duration = s(60);
/// Between two looks for a free port, when all are taken.
pub const PORT_RETRY: Duration = Duration::from_millis(500);
/// How long a start waits for launch to come back.
pub const LAUNCH_WAIT: Duration = s(60);
/// Between two tries while launch is away.
pub const LAUNCH_RETRY: Duration = Duration::from_millis(500);
/// Port leases of one instance.
pub const LEASES_PER_INSTANCE: usize = 2;

/// Lines of output kept with the end of a run.
pub const LAST_LINES: usize = 50;
/// Longest such line in bytes.
pub const LAST_LINE_BYTES_MAX: usize = 2 * 1024;
/// Largest record file of a run that is read.
pub const RUN_RECORD_BYTES_MAX: u64 = 64 * 1024;
/// Messages to the task of an app that wait at most.
pub const APP_MESSAGES_MAX: usize = 256;
/// Lines of `/proc/net/tcp` that are looked at; listeners come first there.
pub const LISTENER_LINES_MAX: usize = 20_000;
/// Characters of a Unix socket's path that are shown; the kernel takes 108 bytes.
pub const UNIX_PATH_CHARS_MAX: usize = 120;
/// A web instance that has not bound `PORT` after this is looked at by the port doctor.
pub const PORT_DOCTOR_AFTER: Duration = s(5);
/// How long a look at a run's processes may hold up its stop. A busy machine, where it
/// takes longest, is where it is needed most.
pub const LOOK_MAX: Duration = s(2);
/// Processes of a run that are looked at.
pub const PROCESSES_LOOKED_AT_MAX: usize = 256;
/// Threads of a process that are looked at.
pub const THREADS_LOOKED_AT_MAX: usize = 256;
/// Open files of a process that are looked at.
pub const DESCRIPTORS_LOOKED_AT_MAX: usize = 20_000;
/// Lines of `/proc/net/tcp` that are searched for the connections of a run.
pub const SOCKETS_LOOKED_AT_MAX: usize = 50_000;
/// Bytes of a file of `/proc` that are read.
pub const PROC_FILE_BYTES_MAX: u64 = 64 * 1024;
/// Groups of threads that are kept with the end of a run.
pub const THREAD_GROUPS_KEPT: usize = 12;
/// Other ends of connections that are kept with the end of a run.
pub const PEERS_KEPT: usize = 20;
/// Probes that are kept with the end of a run.
pub const PROBES_KEPT: usize = 5;
/// Ends of runs that are kept of an instance.
pub const ENDS_KEPT: usize = 5;
/// Largest file of ends that is read, in bytes.
pub const ENDS_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// What is kept of the complaints of a helper, in bytes.
pub const HELPER_COMPLAINT_BYTES_MAX: u64 = 4 * 1024;
/// What is read of the answer of a helper, in bytes.
pub const HELPER_ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// Soft limit of open files in a helper.
pub const HELPER_OPEN_FILES: u64 = 1_024;
/// How long unpacking a slug may take.
pub const UNPACK_TIMEOUT: Duration = s(600);

/// Soft limit of open files in a run.
pub const OPEN_FILES: u64 = 10_000;
/// Memory that one worker process of a web server is thought to need, in MiB.
pub const WEB_WORKER_MIB: u64 = 512;
/// Longest host name label (RFC 1035).
pub const HOST_LABEL_CHARS_MAX: usize = 63;

/// How long a frame waits for launch to be started again.
pub const LAUNCH_SOCKET_WAIT: Duration = s(5);
/// How long launch may take for what is not a run; runs before it are waited for too.
pub const LAUNCH_ANSWER_MAX: Duration = s(60);
/// How long a run may take to become ready, those before it in launch's queue included.
pub const START_REPORTS_MAX: Duration = s(90);
/// How long a shim may take to answer.
pub const SHIM_ANSWER_MAX: Duration = s(5);
/// How long a command inside a live run may take to be gone once it is killed; its keeper
/// gives up after 2 s.
pub const JOINED_KILL_MAX: Duration = s(4);
/// How long its output is read once it is gone.
pub const JOINED_DRAIN: Duration = s(1);
/// Bytes of its output that are read at once.
pub const JOINED_READ_BYTES: usize = 4 * 1024;
/// Output of a `command` check that is kept, in bytes.
pub const CHECK_OUTPUT_BYTES_MAX: usize = 2 * 1024;
/// Lines of it.
pub const CHECK_OUTPUT_LINES_MAX: usize = 5;
/// Between two tries to connect to a shim whose queue is full.
pub const CONNECT_RETRY: Duration = Duration::from_millis(20);
/// How long the lock of a run that is gone may be held by somebody who looks at it.
pub const GONE_LOCK_WAIT: Duration = s(10);
/// Between two tries for it.
pub const GONE_LOCK_RETRY: Duration = Duration::from_millis(5);
/// How long a run folder may stand between its lock and its process; longer, and it is
/// judged later.
pub const ADOPT_MAX: Duration = s(5);
/// How long a shim whose process is known may take to listen.
pub const ADOPT_SOCKET_MAX: Duration = s(2);
/// Between the first two looks at it; doubles up to the next.
pub const ADOPT_RETRY: Duration = Duration::from_millis(10);
/// Longest pause between two looks.
pub const ADOPT_RETRY_MAX: Duration = s(1);
/// Between two tries to judge a run that could not be judged.
pub const UNCLEAR_RETRY: Duration = s(5);
/// How long emptying a folder may take.
pub const WIPE_MAX: Duration = s(1_800);
/// How long a candidate whose check is answered with 5xx is asked again before that
/// answer counts.
pub const CANDIDATE_5XX_PATIENCE: Duration = Duration::from_secs(10);
/// How long measuring `DATA_DIR` may take.
pub const MEASURE_MAX: Duration = s(30);
