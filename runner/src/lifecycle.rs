//! The life of one instance of one release, as a table. Pure: time, chance and what
//! happened are arguments; what to do is the result.
//!
//! ```text
//! Down ─ Up ─▶ Starting ─ passed ─▶ Ready ◀─▶ Unready
//!                 │ gone               │ unhealthy, Down, Restart
//!                 ▼                    ▼
//!  Failed ◀── Backoff ◀─ gone ── Draining ─▶ Stopping ─▶ Stuck
//! ```
//! Ready covers the unrouted and the routed instance alike: whether traffic may come is
//! known by the release's mode. A run that was routed once is drained before its SIGTERM.

use std::time::Duration;

use model::engine::InstancePhase;

use crate::backoff::Backoff;
use crate::limits::{
    DRAIN_TIMEOUT, FINISHED_AFTER_EXITS, FINISHED_WITHIN, SHIM_KILL_MARGIN, SILENT_DRAIN_TIMEOUT, SILENT_STOP_GRACE, STAY_UP, STOP_GRACE,
    STUCK_AFTER,
};
use crate::silence::Mono;

mod words;

pub use words::{AdoptedPhase, After, Cause, Effects, InstanceEvent, State, Stopping};

/// One instance of one release.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub struct Lifecycle {
    state: State,
    web: bool,
    candidate: bool,
    was_routed: bool,
    running: bool,
    /// Its startup is decided by checks, not by staying up.
    checked: bool,
    boot_timeout: Duration,
    ready_timeout: Duration,
    stop_grace: Duration,
    started_at: Mono,
    ready_at: Option<Mono>,
    backoff: Backoff,
    quick_exits: u32,
    restarts: u32,
    uncured: u32,
}

impl Lifecycle {
    /// An instance that is down.
    pub fn new(web: bool, boot_timeout: Duration) -> Self {
        Self {
            state: State::Down,
            web,
            candidate: false,
            was_routed: false,
            running: false,
            checked: web,
            boot_timeout,
            ready_timeout: boot_timeout,
            stop_grace: STOP_GRACE,
            started_at: Mono::ZERO,
            ready_at: None,
            backoff: Backoff::default(),
            quick_exits: 0,
            restarts: 0,
            uncured: 0,
        }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Where it is, as seen from above.
    pub fn phase(&self) -> InstancePhase {
        self.state.phase()
    }

    /// A run may exist: being started, alive, or not gone yet.
    pub fn is_occupied(&self) -> bool {
        !matches!(self.state, State::Down | State::Backoff(_) | State::Failed | State::Finished)
    }

    /// Why it is being stopped, while it is.
    pub fn cause(&self) -> Option<Cause> {
        match self.state {
            State::Draining(_, _, cause) | State::Stuck(_, cause) => Some(cause),
            State::Stopping(stopping) => Some(stopping.cause),
            _ => None,
        }
    }

    /// When [`InstanceEvent::Tick`] is wanted.
    pub fn next_timer(&self) -> Option<Mono> {
        match self.state {
            State::Starting(deadline) => deadline,
            State::Unready => self.ready_deadline(),
            State::Draining(until, ..) | State::Backoff(until) => Some(until),
            State::Stopping(stopping) => stopping.until,
            _ => None,
        }
    }

    /// Restarts that nobody asked for.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Takes over the counter of an adopted run.
    pub fn set_restarts(&mut self, restarts: u32) {
        self.restarts = restarts;
    }

    /// Restarts for bad health that did not help.
    pub fn uncured(&self) -> u32 {
        self.uncured
    }

    /// How long it has been ready.
    pub fn ready_for(&self, now: Mono) -> Duration {
        self.ready_at.map_or(Duration::ZERO, |at| now.saturating_sub(at))
    }

    /// What the release's mode means for it.
    pub fn set_mode(&mut self, candidate: bool, routed: bool) {
        self.candidate = candidate;
        self.was_routed |= routed;
    }

    /// How its next start is judged: by checks or by staying up, how long they may take,
    /// and how long a candidate may take until visitors may come.
    pub fn set_boot(&mut self, checked: bool, boot_timeout: Duration, ready_timeout: Duration) {
        self.checked = checked;
        self.boot_timeout = boot_timeout;
        self.ready_timeout = ready_timeout;
    }

    /// How long a stop that was asked for may take before SIGKILL.
    pub fn stop_grace(&self) -> Duration {
        self.stop_grace
    }

    /// How long its stop may take before SIGKILL.
    pub fn set_stop_grace(&mut self, stop_grace: Duration) {
        self.stop_grace = stop_grace;
    }

    /// The table: each pair of state and event has its answer; what is not listed is
    /// ignored on purpose.
    pub fn on_event(&mut self, now: Mono, event: InstanceEvent) -> Effects {
        use InstanceEvent as E;
        match (self.state, event) {
            (State::Down, E::Adopted { phase, age }) => self.adopt(now, phase, age),
            (State::Down | State::Failed | State::Finished, E::Up) => self.start(),
            (State::Failed | State::Finished, E::Restart) => self.start_as_asked(),
            (State::Failed | State::Finished | State::Backoff(_), E::Down) => self.settle(State::Down),

            (State::Starting(_), E::Started) => self.started(now),
            (State::Starting(_), E::Passed) if self.running => self.ready(now),
            (State::Starting(_), E::PassedNotReady) if self.running => self.settle(State::Unready),
            (State::Starting(_), E::StartupFailed) if self.running => self.kill(now, Cause::StartupFailed),
            (State::Starting(Some(at)), E::Tick) if now >= at => self.boot_deadline(now),
            (State::Starting(_), E::Down) => self.stop(now, After::Down, Cause::Asked),
            (State::Starting(_), E::Restart) if self.running => self.stop(now, After::Restart, Cause::Asked),
            (State::Starting(_), E::StartFailed { random }) => self.crashed(now, random),
            (State::Starting(_) | State::Ready | State::Unready, E::Gone { exit_zero, random }) => {
                self.ended_by_itself(now, exit_zero, random)
            }

            (State::Ready, E::NotReady) => self.settle(State::Unready),
            (State::Unready, E::Passed) => self.ready(now),
            (State::Unready, E::Tick) if self.ready_deadline().is_some_and(|at| now >= at) => self.kill(now, Cause::NeverReady),
            (State::Ready | State::Unready, E::Unhealthy(cause)) => self.unhealthy(now, cause),
            (State::Ready | State::Unready, E::Down) => self.drain(now, After::Down, Cause::Asked),
            (State::Ready | State::Unready, E::Restart) => self.drain(now, After::Restart, Cause::Asked),

            (State::Draining(_, after, cause), E::Released) => self.stop(now, after, cause),
            (State::Draining(until, after, cause), E::Tick) if now >= until => self.stop(now, after, cause),
            (State::Draining(_, after, _), E::Gone { random, .. }) => self.gone(now, after, random),

            (State::Stopping(stopping), E::Started) => self.started_too_late(now, stopping),
            (State::Stopping(stopping), E::Tick) if stopping.until.is_some_and(|at| now >= at) => self.harder(now, stopping),
            (State::Stopping(stopping), E::Gone { random, .. } | E::StartFailed { random }) => self.gone(now, stopping.after, random),
            (State::Stuck(after, _), E::Gone { random, .. }) => self.gone(now, after, random),
            (State::Draining(..) | State::Stopping(_) | State::Stuck(..), E::Up | E::Down | E::Restart) => self.change_after(event),

            (State::Backoff(due), E::Tick) if now >= due => self.start_again(),
            (State::Backoff(_), E::Restart) => self.start_as_asked(),
            _ => Effects::NONE,
        }
    }

    fn settle(&mut self, state: State) -> Effects {
        self.state = state;
        Effects::NONE
    }

    fn start(&mut self) -> Effects {
        self.state = State::Starting(None);
        self.running = false;
        self.ready_at = None;
        self.was_routed = false;
        Effects::START
    }

    fn start_again(&mut self) -> Effects {
        self.restarts = self.restarts.saturating_add(1);
        self.start()
    }

    fn start_as_asked(&mut self) -> Effects {
        self.backoff.reset();
        self.quick_exits = 0;
        self.uncured = 0;
        self.start()
    }

    fn adopt(&mut self, now: Mono, phase: AdoptedPhase, age: Duration) -> Effects {
        self.running = true;
        self.started_at = now.saturating_sub(age);
        match phase {
            AdoptedPhase::Starting if self.checked => self.settle(State::Starting(Some(now + self.boot_timeout))),
            AdoptedPhase::Starting => self.settle(State::Starting(Some(now + STAY_UP.saturating_sub(age)))),
            AdoptedPhase::Ready => {
                self.ready_at = Some(now);
                self.was_routed = self.web;
                self.settle(State::Ready)
            }
            AdoptedPhase::Unready => {
                self.ready_at = Some(now);
                self.was_routed = self.web;
                self.settle(State::Unready)
            }
            // Its shim kills it; an order that was lost is given again.
            AdoptedPhase::Stopping => self.stop(now, After::Restart, Cause::Asked),
        }
    }

    fn started(&mut self, now: Mono) -> Effects {
        self.running = true;
        self.started_at = now;
        let deadline = now + if self.checked { self.boot_timeout } else { STAY_UP };
        self.settle(State::Starting(Some(deadline)))
    }

    fn ready(&mut self, now: Mono) -> Effects {
        self.ready_at.get_or_insert(now);
        self.settle(State::Ready)
    }

    /// By when a candidate must have been ready for visitors. One that serves already may
    /// wait for ever: readiness restarts nothing.
    fn ready_deadline(&self) -> Option<Mono> {
        (self.candidate && self.ready_at.is_none()).then(|| self.started_at + self.ready_timeout)
    }

    fn boot_deadline(&mut self, now: Mono) -> Effects {
        if self.checked { self.kill(now, Cause::BootTimeout) } else { self.ready(now) }
    }

    fn kill(&mut self, now: Mono, cause: Cause) -> Effects {
        self.state = State::Stopping(Stopping { until: Some(now + STUCK_AFTER), killed: true, after: After::Crash, cause });
        Effects::KILL
    }

    fn unhealthy(&mut self, now: Mono, cause: Cause) -> Effects {
        self.uncured = self.uncured.saturating_add(1);
        self.drain(now, After::Cure, cause)
    }

    /// Forgets restarts that did not help: it has been well for ten minutes.
    pub fn cured(&mut self) {
        self.uncured = 0;
    }

    fn drain(&mut self, now: Mono, after: After, cause: Cause) -> Effects {
        if !(self.web && self.was_routed) {
            return self.stop(now, after, cause);
        }
        let timeout = if cause.is_silence() { SILENT_DRAIN_TIMEOUT } else { DRAIN_TIMEOUT };
        self.settle(State::Draining(now + timeout, after, cause))
    }

    fn stop(&mut self, now: Mono, after: After, cause: Cause) -> Effects {
        let grace = if cause.is_silence() { SILENT_STOP_GRACE } else { self.stop_grace };
        let until = self.running.then_some(now + grace + SHIM_KILL_MARGIN);
        self.state = State::Stopping(Stopping { until, killed: false, after, cause });
        if self.running { Effects { abort: cause == Cause::Watchdog, ..Effects::stop(grace) } } else { Effects::NONE }
    }

    fn started_too_late(&mut self, now: Mono, stopping: Stopping) -> Effects {
        if self.running {
            return Effects::NONE;
        }
        self.running = true;
        self.started_at = now;
        self.stop(now, stopping.after, stopping.cause)
    }

    fn harder(&mut self, now: Mono, stopping: Stopping) -> Effects {
        if stopping.killed {
            return self.settle(State::Stuck(stopping.after, stopping.cause));
        }
        self.state = State::Stopping(Stopping { until: Some(now + STUCK_AFTER), killed: true, ..stopping });
        Effects::KILL
    }

    fn change_after(&mut self, event: InstanceEvent) -> Effects {
        let (State::Draining(_, after, _) | State::Stopping(Stopping { after, .. }) | State::Stuck(after, _)) = &mut self.state else {
            return Effects::NONE;
        };
        *after = match event {
            InstanceEvent::Down => After::Down,
            InstanceEvent::Restart => After::Restart,
            // It was not wanted for a moment; what it is stopped for otherwise, stays.
            _ if *after == After::Down => After::Restart,
            _ => *after,
        };
        if matches!(self.state, State::Stuck(..)) { Effects::KILL } else { Effects::NONE }
    }

    fn gone(&mut self, now: Mono, after: After, random: u64) -> Effects {
        self.running = false;
        match after {
            After::Down => self.settle(State::Down),
            After::Restart => self.start_as_asked(),
            After::Cure if !self.candidate => self.start_again(),
            After::Cure | After::Crash => self.crashed(now, random),
        }
    }

    fn ended_by_itself(&mut self, now: Mono, exit_zero: bool, random: u64) -> Effects {
        let quick = exit_zero && !self.web && now.saturating_sub(self.started_at) <= FINISHED_WITHIN;
        self.quick_exits = if quick { self.quick_exits + 1 } else { 0 };
        self.running = false;
        if self.quick_exits >= FINISHED_AFTER_EXITS {
            return self.settle(State::Finished);
        }
        if quick && self.candidate {
            // Not a crash: it may be a job that has nothing to do, as three exits will show.
            return self.start_again();
        }
        self.crashed(now, random)
    }

    fn crashed(&mut self, now: Mono, random: u64) -> Effects {
        self.running = false;
        if self.candidate {
            return self.settle(State::Failed);
        }
        let wait = self.backoff.after_crash(self.ready_for(now), random);
        if wait.is_zero() {
            return self.start_again();
        }
        self.settle(State::Backoff(now + wait))
    }
}

#[cfg(test)]
mod table_tests;

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
