//! The silence clock of one instance: any byte from it, to a probe or to a visitor, is
//! life. Pure: time and what was seen are arguments.
//!
//! ```text
//! healthy ── 30 s without a byte ──▶ probe ── answered ──▶ healthy
//!                                      └─ failed ─▶ failing: every 5 s
//! failing ── 15 s ─▶ unready due ── 60 s ─▶ last look at the traffic ─▶ restart due
//! ```

use std::time::Duration;

use crate::limits::{
    PROBE_EVERY_AFTER_SILENCE, PROBE_EVERY_WHEN_IDLE, PROBE_TIME_LEFT_MIN, PROBE_TIMEOUT, RESTART_AFTER_MAX, RESTART_AFTER_MIN,
    RESTART_AFTER_REQUEST_TIMEOUTS, TIMER_LATE, UNREADY_AFTER,
};

/// Time since the start of the task that owns the instance; never jumps.
pub type Mono = Duration;

/// How long an instance may be silent before it is restarted: `uncured` counts the
/// restarts for silence that did not help.
pub fn restart_window(request_timeout: Duration, uncured: u32) -> Duration {
    let first = RESTART_AFTER_MIN.max(request_timeout.saturating_mul(RESTART_AFTER_REQUEST_TIMEOUTS));
    let factor = 2_u32.checked_pow(uncured).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(RESTART_AFTER_MAX.max(first))
}

/// What to look at now. Never two at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// First ask the router: a byte younger than this is life, and no probe is sent.
    pub fresh_within: Duration,
    /// Then probe with this much time for the first byte; `None`: only ask the router.
    pub probe_timeout: Option<Duration>,
}

/// What came of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The router saw a byte so long ago.
    Traffic(Duration),
    /// The probe got a byte.
    Answer,
    /// No fresh byte, and the probe (if one was sent) failed.
    Nothing,
    /// The probe could not be made, through no fault of the app.
    Void,
}

/// The clock.
#[derive(Debug, Clone)]
pub struct SilenceClock {
    window: Duration,
    last_life: Mono,
    failing_since: Option<Mono>,
    trouble_at: Option<Mono>,
    restart_due: bool,
    next: Mono,
    last_sent: Option<Mono>,
    in_flight: Option<(Mono, Look)>,
}

impl SilenceClock {
    /// A clock of an instance that gave a sign of life just now.
    pub fn new(now: Mono, window: Duration) -> Self {
        Self {
            window,
            last_life: now,
            failing_since: None,
            trouble_at: None,
            restart_due: false,
            next: now + PROBE_EVERY_WHEN_IDLE,
            last_sent: None,
            in_flight: None,
        }
    }

    /// A clock of an instance found alive by a new server: looked at soon, with a fresh
    /// window.
    pub fn adopted(now: Mono, window: Duration) -> Self {
        Self { next: now, ..Self::new(now, window) }
    }

    /// Changes how long it may be silent.
    pub fn set_window(&mut self, window: Duration) {
        self.window = window;
    }

    /// When [`Self::look`] wants to be called; `None` while a look is under way.
    pub fn next_due(&self) -> Option<Mono> {
        self.in_flight.is_none().then_some(self.next)
    }

    /// What to do now, if anything is due. Report it with [`Self::seen`].
    pub fn look(&mut self, now: Mono) -> Option<Look> {
        if self.in_flight.is_some() || now < self.next {
            return None;
        }
        if now > self.next + TIMER_LATE {
            self.start_afresh();
        }
        let fresh_within = match (self.failing_since, self.trouble_at) {
            (Some(since), _) => now.saturating_sub(since),
            (None, Some(at)) => now.saturating_sub(at),
            (None, None) => now.saturating_sub(self.last_life).min(PROBE_EVERY_WHEN_IDLE),
        };
        let look = Look { fresh_within, probe_timeout: self.probe_timeout(now) };
        if look.probe_timeout.is_some() {
            self.last_sent = Some(now);
        }
        self.in_flight = Some((now, look));
        Some(look)
    }

    /// The outcome of the look that was under way.
    pub fn seen(&mut self, now: Mono, seen: Seen) {
        let Some((sent, look)) = self.in_flight.take() else { return };
        let late = look.probe_timeout.is_some_and(|timeout| now > sent + timeout + TIMER_LATE);
        match seen {
            Seen::Answer => self.life(now, Duration::ZERO),
            Seen::Traffic(age) => self.life(now, age),
            // A visitor got a byte while the probe was waiting.
            Seen::Nothing if self.last_life > sent => self.life(now, now.saturating_sub(self.last_life)),
            Seen::Nothing if !late => self.silence(sent, look),
            Seen::Nothing | Seen::Void => {
                self.start_afresh();
                self.next = now;
            }
        }
        if self.next < now {
            self.next = now;
        }
        if self.is_failing() || self.trouble_at.is_some() || seen == Seen::Void {
            self.keep_apart();
        }
    }

    /// A byte came from it, `age` ago.
    pub fn life(&mut self, now: Mono, age: Duration) {
        let at = now.saturating_sub(age);
        self.last_life = self.last_life.max(at);
        if self.failing_since.is_some_and(|since| at < since) {
            return;
        }
        self.start_afresh();
        if self.trouble_at.is_none_or(|trouble| at >= trouble) {
            self.trouble_at = None;
            self.next = self.last_life + PROBE_EVERY_WHEN_IDLE;
        }
    }

    /// The router saw a timeout, a refusal, a reset, or a visitor leaving: look at once.
    pub fn trouble(&mut self, now: Mono) {
        if self.is_failing() {
            return;
        }
        self.trouble_at.get_or_insert(now);
        self.next = self.next.min(now);
        self.keep_apart();
        self.next = self.next.max(now);
    }

    /// A probe failed and nothing came since.
    pub fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }

    /// Silent long enough to be routed around.
    pub fn is_unready_due(&self, now: Mono) -> bool {
        self.failing_since.is_some_and(|since| now >= since + UNREADY_AFTER)
    }

    /// Silent long enough to be restarted.
    pub fn is_restart_due(&self) -> bool {
        self.restart_due
    }

    /// How long it has been silent since the first failed probe was sent.
    pub fn silent_for(&self, now: Mono) -> Duration {
        self.failing_since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    fn probe_timeout(&self, now: Mono) -> Option<Duration> {
        let Some(since) = self.failing_since else { return Some(PROBE_TIMEOUT) };
        if self.restart_due {
            return Some(PROBE_TIMEOUT);
        }
        let left = (since + self.window).saturating_sub(now);
        (left >= PROBE_TIME_LEFT_MIN).then(|| left.min(PROBE_TIMEOUT))
    }

    fn silence(&mut self, sent: Mono, look: Look) {
        self.trouble_at = None;
        let since = *self.failing_since.get_or_insert(sent);
        if look.probe_timeout.is_none() {
            // The last look; one that came early only leads to the end of the window.
            self.restart_due = sent >= since + self.window;
        }
        self.next = sent + PROBE_EVERY_AFTER_SILENCE;
        if !self.restart_due {
            self.next = self.next.min(since + self.window);
        }
    }

    fn keep_apart(&mut self) {
        if let Some(sent) = self.last_sent
            && (!self.is_failing() || self.restart_due)
        {
            self.next = self.next.max(sent + PROBE_EVERY_AFTER_SILENCE);
        }
    }

    fn start_afresh(&mut self) {
        self.failing_since = None;
        self.restart_due = false;
    }
}

#[cfg(test)]
#[path = "silence_tests.rs"]
mod tests;
