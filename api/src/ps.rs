//! `ps` and its like.

use serde::{Deserialize, Serialize};

use crate::operation::operation;

/// `ps`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct List {
    /// The app.
    pub app: String,
}
operation!(List, "ps", Viewer, Reads, ListReply);

/// The processes of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListReply {
    /// The app.
    pub app: String,
    /// The release that serves.
    pub release: Option<String>,
    /// `ps:stop` was asked.
    pub stopped: bool,
    /// One per process type.
    pub types: Vec<TypeRow>,
}

/// A process type: `=== web: gunicorn app:app (2)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TypeRow {
    /// Its name.
    pub process_type: String,
    /// Its command.
    pub command: String,
    /// How many should run.
    pub count: u32,
    /// The instances.
    pub instances: Vec<InstanceRow>,
}

/// An instance: `web.1: up 2026/01/02 15:04:05 +0000 (~ 1h ago)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceRow {
    /// `web.1`.
    pub name: String,
    /// `v7`.
    pub release: String,
    /// `up`, `starting`, `crashed` …
    pub state: String,
    /// Since when, in milliseconds since 1970 UTC.
    pub since_unix_ms: i64,
    /// The port on 127.0.0.1.
    pub port: Option<u16>,
    /// The process id of its supervisor (shim) on this box.
    pub shim_pid: Option<u32>,
    /// Restarts since its release started.
    pub restarts: u32,
    /// The check that passed last.
    pub check: Option<String>,
    /// What the port doctor found, and the fix.
    pub hint: Option<String>,
    /// Why its last run ended, one line.
    pub last_end: Option<String>,
    /// When it starts again, in milliseconds since 1970 UTC.
    pub next_start_unix_ms: Option<i64>,
}

/// `ps:scale web=2 worker+1`; without words it shows the scale.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scale {
    /// The app.
    pub app: String,
    /// The words.
    pub changes: Vec<String>,
}
operation!(Scale, "ps:scale", Deployer, Changes, ScaleReply);

/// The scale after the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleReply {
    /// Process type → count, in order.
    pub formation: Vec<(String, u32)>,
    /// The types that were changed.
    pub changed: Vec<String>,
}

/// `ps:restart [web.1|web]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Restart {
    /// The app.
    pub app: String,
    /// An instance or a process type; none means all.
    pub what: Option<String>,
}
operation!(Restart, "ps:restart", Deployer, Changes, RestartReply);

/// What is being restarted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartReply {
    /// Their names.
    pub instances: Vec<String>,
}

/// `ps:stop`: all processes of the app, until `ps:start`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stop {
    /// The app.
    pub app: String,
}
operation!(Stop, "ps:stop", Deployer, Changes, RestartReply);

/// `ps:start`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Start {
    /// The app.
    pub app: String,
}
operation!(Start, "ps:start", Deployer, Changes, RestartReply);

/// `ps:why [web.1]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Why {
    /// The app.
    pub app: String,
    /// The instance; none tells of all of them.
    pub instance: Option<String>,
}
operation!(Why, "ps:why", Viewer, Reads, WhyReply);

/// The stories of instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhyReply {
    /// The app.
    pub app: String,
    /// One per instance, by name; during a switch one per release of it.
    pub instances: Vec<InstanceStory>,
}

/// The story of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceStory {
    /// `web.1`.
    pub name: String,
    /// As it is now; nothing if only ends are kept of it.
    pub now: Option<InstanceRow>,
    /// What a run of it left in `/app` and lost.
    #[serde(default)]
    pub left: Option<LeftRow>,
    /// The ends of its runs, the last one first.
    pub ends: Vec<EndStory>,
}

/// What a run left in `/app` and lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftRow {
    /// The release of the run.
    pub release: String,
    /// `app.db (12.3 KB), uploads/ (3 files, 1.2 MB)`
    pub what: String,
    /// The command that keeps it from now on.
    pub fix: Option<String>,
}

/// The end of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EndStory {
    /// `v7`.
    pub release: String,
    /// The number of the run.
    pub run: u64,
    /// Why it was stopped or lost.
    pub reason: String,
    /// `exited 1`, `killed by SIGKILL`.
    pub status: String,
    /// Heroku's code, `R10`.
    pub code: Option<String>,
    /// When, in milliseconds since 1970 UTC.
    pub at_unix_ms: i64,
    /// How long it had run, in milliseconds.
    pub ran_ms: u64,
    /// Its last lines.
    pub last_lines: Vec<String>,
    /// What the port doctor found: `listens on 127.0.0.1:5000, not on $PORT=20017`.
    pub hint: Option<String>,
    /// What to do about that.
    pub fix: Option<String>,
    /// It was killed while the machine was out of memory.
    #[serde(default)]
    pub out_of_memory: bool,
    /// Its last probes, oldest first.
    #[serde(default)]
    pub probes: Vec<ProbeRow>,
    /// Its processes before it was stopped; nothing if it ended by itself.
    pub look: Option<LookRow>,
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeRow {
    /// When it was sent, in milliseconds since 1970 UTC.
    pub at_unix_ms: i64,
    /// `GET / -> 200`.
    pub text: String,
    /// How long the answer took, in milliseconds.
    pub took_ms: u64,
}

/// Processes of a run, as they were seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LookRow {
    /// When, in milliseconds since 1970 UTC.
    pub at_unix_ms: i64,
    /// How many.
    pub processes: u32,
    /// Their memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Shared memory is counted in part (PSS), not in full for each (RSS).
    #[serde(default)]
    pub memory_is_share: bool,
    /// The most memory that each had, added up, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Open files; nothing if the server may not see them.
    pub open_files: Option<u64>,
    /// `python3: 2 threads waiting in futex_wait_queue`.
    pub threads: Vec<String>,
    /// The other ends of their connections.
    pub peers: Vec<String>,
}

/// `ps:overlap TYPE on|off`: whether it runs in both releases while they are switched.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Overlap {
    /// The app.
    pub app: String,
    /// The process type.
    pub process_type: String,
    /// On, off.
    pub on: bool,
}
operation!(Overlap, "ps:overlap", Deployer, Changes, SettingsReply);

/// `ps:limits [TYPE --boot-timeout 120 --stop-timeout 60]`; without a change it shows them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Limits {
    /// The app.
    pub app: String,
    /// The process type; none shows all.
    pub process_type: Option<String>,
    /// Seconds, or `default`.
    pub boot_timeout: Option<String>,
    /// Seconds, or `default`.
    pub stop_timeout: Option<String>,
}
operation!(Limits, "ps:limits", Deployer, Changes, SettingsReply);

/// What is set for process types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsReply {
    /// One per process type, in order.
    pub types: Vec<SettingsRow>,
}

/// What is set for a process type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsRow {
    /// Its name.
    pub process_type: String,
    /// Whether it runs in both releases while they are switched.
    pub overlap: bool,
    /// How long a start may take, in seconds; none is the default.
    pub boot_timeout_s: Option<u32>,
    /// From SIGTERM to SIGKILL, in seconds; none is the default.
    pub stop_timeout_s: Option<u32>,
}

/// `ps:wait`: until all that is wanted is up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wait {
    /// The app.
    pub app: String,
    /// How long to wait, in seconds; none is two minutes.
    pub timeout_s: Option<u64>,
}
operation!(Wait, "ps:wait", Viewer, Reads, WaitReply);

/// Everything that is wanted is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitReply {
    /// The release that serves.
    pub release: String,
    /// The instances.
    pub instances: Vec<String>,
}
