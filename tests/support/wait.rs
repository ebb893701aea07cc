//! The one way to wait: for a condition, with a deadline.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Looks until `look` finds what it wants; panics with `what` when the deadline is over.
#[track_caller]
pub(crate) fn wait_until<T>(what: &str, deadline: Duration, look: impl FnMut() -> Option<T>) -> T {
    found_within(deadline, look).unwrap_or_else(|| panic!("waited {} s in vain until {what}", deadline.as_secs()))
}

/// The same for those who must not panic.
pub(crate) fn found_within<T>(deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if started.elapsed() >= deadline {
            return None;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
