//! The world as the task of an app needs it: one small trait, so that tests can stand in
//! with a fake under a clock of their own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use model::author::HealthCheck;
use model::engine::{LastEnd, ReleaseTarget};
use model::{AppNumber, ExitStatus, Hostname, Leavings, RunId};

use crate::checks::ProbeOutcome;
use crate::checks::tries::Tried;
use crate::record::RunRecord;
use crate::run_look::RunLook;
use crate::runs::{Over, RunEnd};

/// A boxed future, so that the traits can be used behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// When the router last saw a byte from a run.
pub trait TrafficSource: Send + Sync {
    /// The age of the last byte; `None`: never, or nobody knows.
    fn last_byte(&self, run: &RunId) -> BoxFuture<'_, Option<Duration>>;
}

/// A run that is alive, or was.
pub(crate) trait Execution: Send + Sync {
    /// `None`: which process it is cannot be told.
    fn shim_pid(&self) -> Option<u32>;
    fn started_unix_ms(&self) -> i64;
    /// Resolves once nothing of it is alive.
    fn gone(&self) -> BoxFuture<'static, RunEnd>;
    fn stop(&self, grace: Duration) -> BoxFuture<'static, std::io::Result<()>>;
    fn kill(&self) -> BoxFuture<'static, std::io::Result<()>>;
    /// Passes a signal to its child.
    fn signal(&self, signal: i32) -> BoxFuture<'static, std::io::Result<()>>;
}

/// A live run as tasks pass it around.
pub(crate) type Live = Arc<dyn Execution>;

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct StartOrder {
    pub(crate) number: AppNumber,
    pub(crate) run: RunId,
    pub(crate) port: Option<u16>,
    pub(crate) release: Arc<ReleaseTarget>,
}

/// Why there is no run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StartFailure {
    /// launch is away; nothing of the run exists.
    Later,
    /// For people.
    Failed(String),
}

/// What came of a command that was run inside a live run's sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CheckRun {
    /// It ended by itself.
    #[allow(dead_code, reason = "launch joins no live run yet")]
    Ended {
        /// How; 126 and 127 as in a shell: it could not be executed, or is not there.
        status: ExitStatus,
        /// The first lines of both its outputs, bounded; whatever an app wrote.
        output: String,
    },
    /// It did not end in time and was killed with everything that it had started.
    #[allow(dead_code, reason = "launch joins no live run yet")]
    TimedOut {
        /// As above.
        output: String,
    },
    /// It says nothing about the app: launch is away, or the run is ending. For people.
    NotMade(String),
}

/// What a process of a run said on its `NOTIFY_SOCKET`, the newest of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Notified {
    /// Grows with each change; repeated pings of the watchdog are none. Never 0.
    pub(crate) change: u64,
    /// `READY=1`
    pub(crate) ready: bool,
    /// `STOPPING=1`
    pub(crate) stopping: bool,
    /// Since the first `WATCHDOG=1` or `WATCHDOG=trigger`.
    pub(crate) watchdog: Option<Watchdog>,
    /// `STATUS=…`, one line, bounded; whatever an app wrote.
    pub(crate) status: Option<String>,
}

/// A process that pings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watchdog {
    /// The age of the last ping, at the moment of the answer.
    pub(crate) age: Duration,
    /// How often it wants to ping: `WATCHDOG_USEC=…`.
    pub(crate) interval: Option<Duration>,
    /// `WATCHDOG=trigger`: it asks to be ended as if a ping were missing.
    pub(crate) triggered: bool,
}

impl From<&shim::notify::Notified> for Notified {
    fn from(said: &shim::notify::Notified) -> Self {
        let watchdog = |age| Watchdog {
            age: Duration::from_millis(age),
            interval: said.interval_us.filter(|interval| *interval > 0).map(Duration::from_micros),
            triggered: said.triggered,
        };
        // Whoever asks to be ended pinged just now, in a way.
        let age = said.ping_age_ms.or(said.triggered.then_some(0));
        Self { change: said.change, ready: said.ready, stopping: said.stopping, watchdog: age.map(watchdog), status: said.status.clone() }
    }
}

/// A run folder that an earlier server left.
pub(crate) struct Found {
    pub(crate) folder: String,
    pub(crate) record: Option<RunRecord>,
    pub(crate) state: FoundState,
}

pub(crate) enum FoundState {
    Live(Live),
    Ended(RunEnd),
}

/// The world.
pub(crate) trait Host: Send + Sync {
    /// Starts a process of an app; unpacks its slug first if needed.
    fn start(&self, order: StartOrder) -> BoxFuture<'static, Result<Live, StartFailure>>;
    /// Probes an instance once.
    fn probe(&self, number: AppNumber, port: u16, host: Hostname, first_byte_within: Duration) -> BoxFuture<'static, ProbeOutcome>;
    /// Tries an author's check once over the network.
    fn try_network(&self, number: AppNumber, port: u16, host: Hostname, check: Arc<HealthCheck>) -> BoxFuture<'static, Tried>;
    /// Asks the router for the age of the last byte.
    fn last_byte(&self, run: RunId) -> BoxFuture<'static, Option<Duration>>;
    /// The last lines that a run said since a moment.
    fn last_lines(&self, number: AppNumber, run: RunId, since_unix_ms: i64) -> BoxFuture<'static, Vec<String>>;
    /// Runs a command once inside the sandbox of the live run that `order` started, as its
    /// user and with its environment; kills it with everything it started after `timeout`.
    fn exec_check(&self, order: StartOrder, words: Vec<String>, timeout: Duration) -> BoxFuture<'static, CheckRun>;
    /// What a run said on its `NOTIFY_SOCKET`, as soon as that is something else than the
    /// change that was `seen`; 0 for whatever it is now, or for the first word if it said
    /// nothing yet. Nothing is polled. `None`: the run is gone, or its shim is too old.
    fn notified(&self, number: AppNumber, run: RunId, seen: u64) -> BoxFuture<'static, Option<Notified>>;
    /// Looks at the processes of a live run.
    fn look(&self, number: AppNumber, shim_pid: u32) -> BoxFuture<'static, RunLook>;
    /// Who listens on a port, for people: one of these runs, or somebody else.
    fn holder(&self, number: AppNumber, port: u16, runs: Vec<(RunId, u32)>) -> BoxFuture<'static, Option<String>>;
    /// How often the kernel killed for want of memory since it started.
    fn oom_kills(&self) -> Option<u64>;
    /// Keeps the end of a run with those before it.
    fn keep_end(&self, number: AppNumber, end: LastEnd) -> BoxFuture<'static, ()>;
    /// Removes what a run that is gone left behind; what lasts of it is saved first. Tells what
    /// else was in `/app` that its programs may miss.
    fn tidy(&self, number: AppNumber, folder: String, over: Option<Over>) -> BoxFuture<'static, Leavings>;
    /// Notes something about a run in its folder.
    fn remember(&self, number: AppNumber, folder: &str, record: &RunRecord);
    /// A run number that was never used.
    fn next_run_number(&self, number: AppNumber) -> u64;
    /// Whether nobody listens on a port.
    fn port_is_free(&self, port: u16) -> bool;
    /// Milliseconds since 1970 UTC.
    fn unix_ms(&self) -> i64;
    /// Any number.
    fn random(&self) -> u64;
}
