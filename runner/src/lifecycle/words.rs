//! The words of the table: states, events, effects.

use std::time::Duration;

use model::engine::InstancePhase;

use crate::silence::Mono;

/// What comes after a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum After {
    /// Nothing: it is not wanted.
    Down,
    /// A new start.
    Restart,
    /// A new start at once, since bad health has a brake of its own (windows that grow, a
    /// ration): a wait on top would only be one more instance that is down. The end of a
    /// candidate.
    Cure,
    /// A new start as after a crash: with back-off, or the end of a candidate.
    Crash,
}

/// Why a stop began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A person, a deploy or a scale.
    Asked,
    /// It missed its boot timeout.
    BootTimeout,
    /// A startup check of its author failed.
    StartupFailed,
    /// A candidate that started and did not become ready for visitors in time.
    NeverReady,
    /// It was silent for too long: it cannot be expected to react to anything.
    Silent,
    /// It answers, and not as its author's liveness check wants.
    Unwell,
    /// It missed the watchdog that it had promised to feed.
    Watchdog,
}

impl Cause {
    /// Whether nothing came from it any more: what it has in flight timed out long ago.
    pub fn is_silence(self) -> bool {
        matches!(self, Self::Silent | Self::Watchdog)
    }
}

/// Where it is. Every wait has its end in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not running.
    Down,
    /// Being started, or started and not yet ready; the deadline counts from the start.
    Starting(Option<Mono>),
    /// Passed its check.
    Ready,
    /// Started, and not for visitors: silent, or its readiness check does not pass.
    Unready,
    /// Kept until its requests are done.
    Draining(Mono, After, Cause),
    /// Told to stop (once it runs).
    Stopping(Stopping),
    /// Outlived SIGKILL.
    Stuck(After, Cause),
    /// Waits for its next start.
    Backoff(Mono),
    /// Given up as a candidate.
    Failed,
    /// Done for good.
    Finished,
}

impl State {
    /// As seen from above.
    pub fn phase(self) -> InstancePhase {
        match self {
            Self::Down => InstancePhase::Down,
            Self::Starting(_) => InstancePhase::Starting,
            Self::Ready => InstancePhase::Ready,
            Self::Unready => InstancePhase::Unready,
            Self::Draining(..) => InstancePhase::Draining,
            Self::Stopping(_) => InstancePhase::Stopping,
            Self::Stuck(..) => InstancePhase::Stuck,
            Self::Backoff(_) => InstancePhase::Backoff,
            Self::Failed => InstancePhase::Failed,
            Self::Finished => InstancePhase::Finished,
        }
    }
}

/// A stop under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopping {
    /// When the next, harder step comes; `None` while the run is not there yet.
    pub until: Option<Mono>,
    /// SIGKILL was sent.
    pub killed: bool,
    /// What comes then.
    pub after: After,
    /// Why.
    pub cause: Cause,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceEvent {
    /// It should run.
    Up,
    /// It should not run.
    Down,
    /// A person asked for a restart.
    Restart,
    /// A new server found its run alive.
    Adopted {
        /// In which phase.
        phase: AdoptedPhase,
        /// How long it has been running.
        age: Duration,
    },
    /// The run is there.
    Started,
    /// There will be no run.
    StartFailed {
        /// Any number, for the back-off.
        random: u64,
    },
    /// Its startup checks passed, or it is well again: visitors may come.
    Passed,
    /// Its startup checks passed, and its readiness checks not yet.
    PassedNotReady,
    /// One of its author's startup checks failed.
    StartupFailed,
    /// It should be routed around.
    NotReady,
    /// It should be restarted, and the ration allows it.
    Unhealthy(Cause),
    /// Out of every route and idle.
    Released,
    /// Nothing of the run is alive.
    Gone {
        /// It ended by itself with code 0.
        exit_zero: bool,
        /// Any number, for the back-off.
        random: u64,
    },
    /// Time passed.
    Tick,
}

/// The phases in which a run can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdoptedPhase {
    /// It had not passed its check.
    Starting,
    /// It had.
    Ready,
    /// It had, and was out of the routes because a readiness check failed.
    Unready,
    /// It had been told to stop.
    Stopping,
}

/// What to do, at most one of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effects {
    /// Start a run.
    pub start: bool,
    /// SIGABRT before anything else, so that it can leave a trace of where it hangs.
    pub abort: bool,
    /// SIGTERM, and SIGKILL after this grace.
    pub stop: Option<Duration>,
    /// SIGKILL now.
    pub kill: bool,
}

impl Effects {
    pub(super) const NONE: Self = Self { start: false, abort: false, stop: None, kill: false };
    pub(super) const START: Self = Self { start: true, ..Self::NONE };
    pub(super) const KILL: Self = Self { kill: true, ..Self::NONE };

    pub(super) const fn stop(grace: Duration) -> Self {
        Self { stop: Some(grace), ..Self::NONE }
    }
}
