//! How long to wait before the next start after a crash.

use std::time::Duration;

use crate::limits::{BACKOFF_FIRST, BACKOFF_FREE_RESTARTS, BACKOFF_JITTER_PERCENT, BACKOFF_MAX, HEALTH_RESETS_AFTER};

/// The crashes of one instance that were not forgiven yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    crashes: u32,
}

impl Backoff {
    /// Counts a crash after `healthy_for` of readiness and says how long to wait:
    /// three times not at all, then 1 s, doubling to 5 min. `random` (any number)
    /// takes away up to a quarter, so that a hundred crashing processes spread out.
    pub fn after_crash(&mut self, healthy_for: Duration, random: u64) -> Duration {
        if healthy_for >= HEALTH_RESETS_AFTER {
            self.crashes = 0;
        }
        self.crashes = self.crashes.saturating_add(1);
        let Some(doublings) = self.crashes.checked_sub(BACKOFF_FREE_RESTARTS + 1) else {
            return Duration::ZERO;
        };
        let full = 2_u32.checked_pow(doublings).map_or(BACKOFF_MAX, |factor| (BACKOFF_FIRST.saturating_mul(factor)).min(BACKOFF_MAX));
        let milliseconds = u64::try_from(full.as_millis()).unwrap_or(u64::MAX);
        let jitter = milliseconds * BACKOFF_JITTER_PERCENT / 100;
        Duration::from_millis(milliseconds - random % (jitter + 1))
    }

    /// Forgets the crashes: a person asked for a restart.
    pub fn reset(&mut self) {
        self.crashes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn waits(count: usize, random: u64) -> Vec<u128> {
        let mut backoff = Backoff::default();
        (0..count).map(|_| backoff.after_crash(Duration::ZERO, random).as_millis()).collect()
    }

    #[test]
    fn three_restarts_at_once_then_one_second_doubling_to_five_minutes() {
        let expected = [0, 0, 0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000];
        assert_eq!(waits(expected.len(), 0), expected);
        let mut never_gives_up = Backoff { crashes: u32::MAX };
        assert_eq!(never_gives_up.after_crash(Duration::ZERO, 0), BACKOFF_MAX);
    }

    #[test]
    fn ten_minutes_of_health_reset_it() {
        let mut backoff = Backoff { crashes: 9 };
        assert_ne!(backoff.after_crash(Duration::from_secs(599), 0), Duration::ZERO);
        assert_eq!(backoff.after_crash(Duration::from_mins(10), 0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_wait_is_three_quarters_of_the_full_one_or_more(random: u64, crashes in 0_u32..100) {
            let wait = Backoff { crashes }.after_crash(Duration::ZERO, random);
            let full = Backoff { crashes }.after_crash(Duration::ZERO, 0);
            prop_assert!(wait <= full && full <= BACKOFF_MAX);
            prop_assert!(wait * 4 >= full * 3);
        }
    }
}
