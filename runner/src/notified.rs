//! What a run says of itself on `NOTIFY_SOCKET`, as the app's task needs it. Pure.

use std::time::Duration;

use crate::host::Notified;
use crate::limits::{TIMER_LATE, WATCHDOG_INTERVAL, WATCHDOG_MISSED_INTERVALS, WATCHDOG_SOON};
use crate::silence::Mono;

/// The newest of each kind.
#[derive(Debug, Default)]
pub(crate) struct Said {
    ready: bool,
    status: Option<String>,
    watchdog: Option<Watch>,
}

/// A watchdog that is fed.
#[derive(Debug)]
struct Watch {
    fed_at: Mono,
    interval: Duration,
    /// It is being asked for the age of its last ping.
    asked: bool,
    overdue: bool,
    next: Mono,
}

impl Said {
    /// It said something else.
    pub(crate) fn heard(&mut self, now: Mono, said: &Notified) {
        self.ready = said.ready;
        self.status = said.status.as_deref().map(|status| model::text::clean(status, crate::limits::STATUS_SHOWN_CHARS_MAX));
        let asked = self.watchdog.as_ref().is_some_and(|watch| watch.asked);
        self.watchdog = said.watchdog.map(|watchdog| {
            let interval = watchdog.interval.filter(|interval| !interval.is_zero()).unwrap_or(WATCHDOG_INTERVAL);
            let fed_at = now.saturating_sub(watchdog.age);
            let due = fed_at + interval * WATCHDOG_MISSED_INTERVALS;
            // Between two looks there is a moment, whatever it says of its interval.
            Watch { fed_at, interval, asked, overdue: watchdog.triggered || now >= due, next: due.max(now + WATCHDOG_SOON) }
        });
    }

    /// `READY=1`
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// `STATUS=…`
    pub(crate) fn status(&self) -> Option<String> {
        self.status.clone().filter(|status| !status.is_empty())
    }

    /// When the watchdog is to be looked at.
    pub(crate) fn next_due(&self) -> Option<Mono> {
        self.watchdog.as_ref().filter(|watch| !watch.asked && !watch.overdue).map(|watch| watch.next)
    }

    /// Whether to ask for the age of its last ping now.
    pub(crate) fn ask(&mut self, now: Mono) -> bool {
        let Some(watch) = self.watchdog.as_mut().filter(|watch| !watch.asked && !watch.overdue && now >= watch.next) else { return false };
        if now > watch.next + TIMER_LATE {
            // The machine slept: so did the app.
            watch.next = now + watch.interval * WATCHDOG_MISSED_INTERVALS;
            return false;
        }
        watch.asked = true;
        true
    }

    /// The answer, if there was one.
    pub(crate) fn answered(&mut self, now: Mono, said: Option<&Notified>) {
        if let Some(watch) = &mut self.watchdog {
            watch.asked = false;
            watch.next = watch.next.max(now + WATCHDOG_SOON);
        }
        if let Some(said) = said {
            self.heard(now, said);
        }
    }

    /// For how many seconds it has not been fed, once that is too long.
    pub(crate) fn overdue(&self, now: Mono) -> Option<u64> {
        self.watchdog.as_ref().filter(|watch| watch.overdue).map(|watch| now.saturating_sub(watch.fed_at).as_secs())
    }

    /// How often it wants to be fed, and whether it is.
    pub(crate) fn watchdog(&self) -> Option<(Duration, bool)> {
        self.watchdog.as_ref().map(|watch| (watch.interval, watch.overdue))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Watchdog;

    fn s(seconds: u64) -> Mono {
        Duration::from_secs(seconds)
    }

    fn pinged(age: u64, interval: Option<u64>) -> Notified {
        let watchdog = Watchdog { age: s(age), interval: interval.map(s), triggered: false };
        Notified { change: 1, watchdog: Some(watchdog), ..Notified::default() }
    }

    #[test]
    fn a_watchdog_is_overdue_after_twice_its_interval() {
        let mut said = Said::default();
        said.heard(s(100), &pinged(0, Some(10)));
        assert_eq!((said.next_due(), said.overdue(s(119))), (Some(s(120)), None));
        assert!(!said.ask(s(119)) && said.ask(s(120)) && !said.ask(s(120)), "asked once");
        said.answered(s(120), Some(&pinged(3, Some(10))));
        assert_eq!((said.next_due(), said.overdue(s(120))), (Some(s(137)), None), "it was fed meanwhile");
        assert!(said.ask(s(137)));
        said.answered(s(137), Some(&pinged(20, Some(10))));
        assert_eq!((said.next_due(), said.overdue(s(138))), (None, Some(21)));
    }

    #[test]
    fn a_machine_that_slept_gives_it_its_time_again() {
        let mut said = Said::default();
        said.heard(s(0), &pinged(0, None));
        assert_eq!(said.next_due(), Some(s(60)), "without WATCHDOG_USEC it is taken to be 30 s");
        assert!(!said.ask(s(1_000)));
        assert_eq!((said.next_due(), said.overdue(s(1_000))), (Some(s(1_060)), None));
    }

    #[test]
    fn one_that_asks_to_be_ended_is_overdue_at_once_and_a_shim_that_does_not_answer_is_no_proof() {
        let mut said = Said::default();
        said.heard(s(0), &pinged(0, Some(1)));
        assert!(said.ask(s(2)));
        said.answered(s(2), None);
        assert_eq!((said.overdue(s(2)), said.next_due()), (None, Some(s(3))));
        let mut triggered = pinged(0, Some(10));
        triggered.watchdog = triggered.watchdog.map(|watchdog| Watchdog { triggered: true, ..watchdog });
        said.heard(s(4), &triggered);
        assert!(said.overdue(s(4)).is_some());
    }
}
