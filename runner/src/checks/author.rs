//! One check of an app's author, counted as Kubernetes counts: so many failures in a row
//! are a failed check, one success is a passed one, and in between nothing changes. Pure:
//! time and what came of a try are arguments.
//!
//! ```text
//! start ─ initialDelay ─▶ try ─ end ─ wait ─▶ try ─ …
//! waiting ── passed ──▶ passing ◀── passed ─┐
//!     └───── attempts failures in a row ──▶ failing
//! ```

use std::sync::Arc;
use std::time::Duration;

use model::author::{CheckAction, CheckKind, HealthCheck};
use model::engine::CheckState;

use crate::limits::{RESTART_AFTER_MAX, TIMER_LATE};
use crate::silence::Mono;

/// What came of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryOutcome {
    /// As the author wants it.
    Passed,
    /// Not so.
    Failed,
    /// It could not be made, through no fault of the app: thrown away.
    NotMade,
}

/// A check and what it has seen so far in one run.
#[derive(Debug, Clone)]
pub struct AuthorCheck {
    check: Arc<HealthCheck>,
    state: CheckState,
    since: Mono,
    failures: u32,
    failing_since: Option<Mono>,
    next: Mono,
    in_flight: Option<Mono>,
}

impl AuthorCheck {
    /// A check of a run that started at `started` (its delay counts from there) and is
    /// looked at from `now` on.
    pub fn new(check: Arc<HealthCheck>, started: Mono, now: Mono) -> Self {
        let next = now.max(started + first_try_after(&check));
        Self { check, state: CheckState::Waiting, since: now, failures: 0, failing_since: None, next, in_flight: None }
    }

    /// What the author wrote.
    pub fn check(&self) -> &Arc<HealthCheck> {
        &self.check
    }

    /// Where it is.
    pub fn state(&self) -> CheckState {
        self.state
    }

    /// Since when.
    pub fn since(&self) -> Mono {
        self.since
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// It was failing when an earlier server looked: it has to pass before it is well.
    pub fn resume_failing(&mut self, now: Mono) {
        self.state = CheckState::Failing;
        self.since = now;
    }

    /// A startup check says its word once; the others go on for as long as the run lives.
    pub fn is_over(&self) -> bool {
        self.check.kind == CheckKind::Startup && self.state != CheckState::Waiting
    }

    /// When [`Self::begin`] wants to be called; `None` while a try is under way.
    pub fn next_due(&self) -> Option<Mono> {
        (self.in_flight.is_none() && !self.is_over()).then_some(self.next)
    }

    /// Whether a try is to be made now; its outcome is told with [`Self::tried`].
    pub fn begin(&mut self, now: Mono) -> bool {
        if self.in_flight.is_some() || self.is_over() || now < self.next {
            return false;
        }
        if now > self.next + TIMER_LATE {
            // The machine slept or swapped: what would be seen now says little of the app.
            self.start_afresh();
            self.next = now + seconds(self.check.wait_s);
            return false;
        }
        self.in_flight = Some(now);
        true
    }

    /// Nobody looked for a while, on purpose: its timer is not late.
    pub fn postpone(&mut self, now: Mono) {
        self.next = self.next.max(now);
    }

    /// What came of the try that was under way; true if the state is another one now.
    pub fn tried(&mut self, now: Mono, outcome: TryOutcome) -> bool {
        let Some(sent) = self.in_flight.take() else { return false };
        self.next = now + seconds(self.check.wait_s);
        let before = self.state;
        match outcome {
            TryOutcome::Passed => {
                self.start_afresh();
                self.enter(now, CheckState::Passing);
            }
            TryOutcome::Failed if now > sent + self.timeout() + TIMER_LATE => self.start_afresh(),
            TryOutcome::Failed => {
                self.failures = self.failures.saturating_add(1);
                self.failing_since.get_or_insert(sent);
                if self.failures >= self.check.attempts {
                    self.enter(now, CheckState::Failing);
                }
            }
            TryOutcome::NotMade => {}
        }
        self.state != before
    }

    /// Time for one try.
    pub fn timeout(&self) -> Duration {
        seconds(self.check.timeout_s)
    }

    /// Whether it has failed for long enough to restart its instance: `uncured` restarts
    /// that did not help double the time, up to ten minutes.
    pub fn is_restart_due(&self, now: Mono, uncured: u32) -> bool {
        self.restart_due_at(uncured).is_some_and(|at| now >= at)
    }

    /// When it will have failed for long enough, if it goes on failing.
    pub fn restart_due_at(&self, uncured: u32) -> Option<Mono> {
        if self.check.kind != CheckKind::Liveness || self.check.warn || self.state != CheckState::Failing {
            return None;
        }
        Some(self.failing_since? + restart_window(&self.check, uncured))
    }

    fn enter(&mut self, now: Mono, state: CheckState) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
    }

    fn start_afresh(&mut self) {
        self.failures = 0;
        self.failing_since = None;
    }
}

/// The longest that a check may take until it has passed or failed, from the moment that
/// its delay counts from.
pub fn worst_case(check: &HealthCheck) -> Duration {
    first_try_after(check) + (seconds(check.timeout_s) + seconds(check.wait_s)).saturating_mul(check.attempts)
}

/// An uptime is looked at when it can be there: before, it would only fail.
fn first_try_after(check: &HealthCheck) -> Duration {
    let delay = seconds(check.initial_delay_s);
    match check.action {
        CheckAction::Uptime(uptime_s) => delay.max(seconds(uptime_s)),
        _ => delay,
    }
}

/// How long a check must have been failing. The first time its own attempts decide; a
/// restart that did not cure doubles what they take.
fn restart_window(check: &HealthCheck, uncured: u32) -> Duration {
    if uncured == 0 {
        return Duration::ZERO;
    }
    let own = (seconds(check.timeout_s) + seconds(check.wait_s)).saturating_mul(check.attempts);
    let factor = 2_u32.checked_pow(uncured).unwrap_or(u32::MAX);
    own.saturating_mul(factor).min(RESTART_AFTER_MAX.max(own))
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

#[cfg(test)]
#[path = "author_tests.rs"]
mod tests;
