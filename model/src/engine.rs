//! The seam between deciding and running: targets and observations of releases,
//! never process steps.
//!
//! ```text
//! control ── AppTarget ──▶ engine (the local runner, a fake, later Kubernetes)
//! control ◀─ AppObserved ──
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::author::CheckKind;
use crate::{
    AppName, AppNumber, ConfigVars, ExitStatus, FlightRecord, Formation, Hostname, InstanceId, KeptPath, Leavings, PortHint, ProcessType,
    ReleaseVersion, RunId, SlugId, SlugManifest, StopReason,
};

/// What one release of an app should be doing. The modes of a switch, in order:
///
/// | step | old | new |
/// |---|---|---|
/// | new web starts beside the old | `Serve` | `Prepare` |
/// | old non-web stops, new non-web starts | `Yield` | `Handover` |
/// | traffic flips, old web drains | `Retire` | `Serve` |
///
/// Backwards at any failure: new → `Retire`, old → `Serve`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReleaseMode {
    /// Overlapping types up, unrouted; the others down.
    Prepare,
    /// Everything up, web unrouted.
    Handover,
    /// Everything up, web routed.
    Serve,
    /// Overlapping types up and routed; the others down.
    Yield,
    /// Everything down, web drained first.
    Retire,
}

impl ReleaseMode {
    /// Whether types that overlap (web) are up.
    pub fn runs_overlapping(self) -> bool {
        self != Self::Retire
    }

    /// Whether types that must never run twice are up.
    pub fn runs_exclusive(self) -> bool {
        matches!(self, Self::Handover | Self::Serve)
    }

    /// Whether traffic goes to it.
    pub fn is_routed(self) -> bool {
        matches!(self, Self::Serve | Self::Yield)
    }

    /// Whether it is still on trial: a crash fails the deploy instead of backing off.
    pub fn is_candidate(self) -> bool {
        matches!(self, Self::Prepare | Self::Handover)
    }
}

/// One release as the engine needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseTarget {
    /// What it should be doing.
    pub mode: ReleaseMode,
    /// The slug to unpack.
    pub slug: SlugId,
    /// What the slug says of itself: commands, env, paths.
    pub manifest: SlugManifest,
    /// Config vars; they win over everything below them.
    pub config: ConfigVars,
    /// Values of add-ons, looked up at each start, never frozen into a release.
    pub addon_env: ConfigVars,
    /// How many of each.
    pub formation: Formation,
    /// What of `/app` lasts; the app's, looked up at each start.
    pub kept: Vec<KeptPath>,
}

/// What people have set for a process type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TypeLimits {
    /// How long a start may take until it answers, in seconds.
    pub boot_timeout_s: Option<u32>,
    /// From SIGTERM to SIGKILL, in seconds.
    pub stop_timeout_s: Option<u32>,
}

/// What should be true of an app. The engine makes it so and keeps it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppTarget {
    /// The app.
    pub app: AppName,
    /// Its number: folders, users.
    pub number: AppNumber,
    /// The releases that matter; one that is absent has nothing running.
    pub releases: BTreeMap<ReleaseVersion, ReleaseTarget>,
    /// Types that may run in two releases at once: `web`, unless it is handed over.
    pub overlap: BTreeSet<ProcessType>,
    /// What people have set for a type; others have the defaults.
    pub limits: BTreeMap<ProcessType, TypeLimits>,
    /// Restart counters: raising one restarts that instance once (`ps:restart`).
    pub restarts: BTreeMap<InstanceId, u64>,
    /// The host name that probes send.
    pub probe_host: Hostname,
}

/// Where an instance is in its life, as seen from above the seam.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstancePhase {
    /// Not running and not wanted, or not yet started.
    Down,
    /// Started, its startup check has not passed yet.
    Starting,
    /// Passed its check (web), or stayed up for 10 s (others); may be routed.
    Ready,
    /// Healthy once, silent now: route around it if another one is there.
    Unready,
    /// About to be stopped: take it out of the routes, then call `released`.
    Draining,
    /// Signalled, not gone yet.
    Stopping,
    /// Waits for its next start after a crash.
    Backoff,
    /// Would not die.
    Stuck,
    /// Given up: a candidate that crashed or missed its boot timeout.
    Failed,
    /// A non-web process that ended with 0 three times at once.
    Finished,
}

impl InstancePhase {
    /// The word that people see in `ps`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Starting => "starting",
            Self::Ready => "up",
            Self::Unready => "unready",
            Self::Draining | Self::Stopping => "stopping",
            Self::Backoff => "crashed",
            Self::Stuck => "stuck",
            Self::Failed => "failed",
            Self::Finished => "finished",
        }
    }
}

/// Where a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckState {
    /// It has neither passed nor failed yet.
    Waiting,
    /// Its last word is that all is well.
    Passing,
    /// It failed as often in a row as counts.
    Failing,
}

impl CheckState {
    /// The word that people see in `checks`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Passing => "passing",
            Self::Failing => "failing",
        }
    }
}

/// One check of one instance as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckObserved {
    /// For people: its name, else what it does, such as `GET /healthz`.
    pub check: String,
    /// What its failure leads to; `None`: the default check.
    pub kind: Option<CheckKind>,
    /// How it is counted, for people.
    pub rule: String,
    /// Its failure is only told.
    pub warn: bool,
    /// Where it is.
    pub state: CheckState,
    /// Since when, in milliseconds since 1970 UTC.
    pub since_unix_ms: i64,
    /// What came of its last try, for people.
    pub answer: Option<String>,
    /// How long that took, in milliseconds.
    pub took_ms: Option<u64>,
    /// Failures in a row.
    pub failures: u32,
}

/// One try of one check, made because a person asked; it does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckTried {
    /// Whose.
    pub instance: InstanceId,
    /// In which release.
    pub version: ReleaseVersion,
    /// For people: its name, else what it does.
    pub check: String,
    /// What its failure leads to; `None`: the default check.
    pub kind: Option<CheckKind>,
    /// What was done, for people: `GET http://127.0.0.1:20017/healthz, Host: hello.box`.
    pub request: String,
    /// What came of it, for people.
    pub answer: String,
    /// Whether it passed; `None`: it could not be made.
    pub passed: Option<bool>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// The end of a run, for `ps:why`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastEnd {
    /// The run that ended.
    pub run: RunId,
    /// How the process ended.
    pub status: ExitStatus,
    /// Why it was stopped, or `Exited`.
    pub reason: StopReason,
    /// When, in milliseconds since 1970 UTC.
    pub at_unix_ms: i64,
    /// How long it had run, in milliseconds.
    pub ran_ms: u64,
    /// Its last lines of output, bounded.
    pub last_lines: Vec<String>,
    /// What else was kept of it.
    pub flight: FlightRecord,
}

/// An end that the engine has kept, as it was told: newest servers may know other reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEnd {
    /// `web.1`.
    pub instance: String,
    /// `v7`.
    pub release: String,
    /// The number of the run.
    pub run: u64,
    /// `exited 1`, `killed by SIGKILL`.
    pub status: String,
    /// Why it was stopped or lost.
    pub reason: String,
    /// Heroku's code, `R10`.
    pub code: Option<String>,
    /// When, in milliseconds since 1970 UTC.
    pub at_unix_ms: i64,
    /// How long it had run, in milliseconds.
    pub ran_ms: u64,
    /// Its last lines of output, bounded.
    pub last_lines: Vec<String>,
    /// What else was kept of it.
    pub flight: FlightRecord,
}

/// One instance as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceObserved {
    /// Which.
    pub instance: InstanceId,
    /// In which release.
    pub version: ReleaseVersion,
    /// Its phase.
    pub phase: InstancePhase,
    /// The live run, if any.
    pub run: Option<RunId>,
    /// The live run's port on 127.0.0.1 (web only).
    pub port: Option<u16>,
    /// The process id of the live run's shim, as the host sees it.
    pub shim_pid: Option<u32>,
    /// Since when it is in this phase, in milliseconds since 1970 UTC.
    pub since_unix_ms: i64,
    /// How long the live run took to become ready, in milliseconds.
    pub ready_after_ms: Option<u64>,
    /// The check that passed last, for people: `GET / -> 200`.
    pub check: Option<String>,
    /// Status code of the last probe that was answered.
    pub probe_status: Option<u16>,
    /// Its checks, as they are now.
    pub checks: Vec<CheckObserved>,
    /// What it says of itself (`STATUS=` on `NOTIFY_SOCKET`); whatever an app wrote.
    pub status: Option<String>,
    /// Why nothing answers on the live run's `PORT`, if the port doctor found that.
    pub hint: Option<PortHint>,
    /// Restarts since its release started, not counting those that were asked for.
    pub restarts: u32,
    /// How its last run ended.
    pub last_end: Option<LastEnd>,
    /// In `Backoff`: when it starts again, in milliseconds since 1970 UTC.
    pub next_start_unix_ms: Option<i64>,
}

impl InstanceObserved {
    /// A readiness check of its author that keeps visitors away from it while it is unready.
    pub fn keeps_out(&self) -> Option<&CheckObserved> {
        self.checks.iter().find(|check| check.kind == Some(CheckKind::Readiness) && !check.warn && check.state != CheckState::Passing)
    }
}

/// What a run left in `/app` and what is gone with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftBehind {
    /// Whose run.
    pub instance: InstanceId,
    /// Of which release.
    pub version: ReleaseVersion,
    /// What.
    pub leavings: Leavings,
}

/// Everything the engine knows of an app, sent whole at each change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppObserved {
    /// Every instance of every release that has one or should.
    pub instances: Vec<Arc<InstanceObserved>>,
    /// What runs that ended left in `/app`, the last one of each instance that left something.
    pub left: Vec<LeftBehind>,
}

impl AppObserved {
    /// The instances of one release.
    pub fn of(&self, version: ReleaseVersion) -> impl Iterator<Item = &InstanceObserved> {
        self.instances.iter().map(Arc::as_ref).filter(move |i| i.version == version)
    }
}

/// A command that runs once beside the app: a release phase, `run CMD`, `psql`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOff {
    /// The app.
    pub app: AppName,
    /// Its number.
    pub number: AppNumber,
    /// The release whose slug and config it sees.
    pub version: ReleaseVersion,
    /// The release itself; its mode is not used.
    pub release: ReleaseTarget,
    /// Its name among the instances: `release.1`, `run.17`.
    pub instance: InstanceId,
    /// What to run.
    pub command: OneOffCommand,
    /// More environment, below config vars (`PG…` for psql).
    pub env: BTreeMap<String, String>,
    /// Killed after this many seconds; `None` for a person's session.
    pub timeout_s: Option<u64>,
}

/// How a one-off's words are understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OneOffCommand {
    /// A Procfile command, through the shell.
    Shell(String),
    /// Words, executed as they are.
    Words(Vec<String>),
}
