//! Whether two copies of an app fit into memory: what a switch needs against what is
//! available, in one ledger, so that two switches never count on the same memory.

use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::{HOLD_MAX_MS, MEMORY_MARGIN_PERCENT, SWAP_HOLD_MS_MAX};

/// What switches under way count on.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<u64>>);

/// Memory that a switch counts on until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    ledger: Ledger,
    bytes: u64,
}

impl Ledger {
    /// Counts on `bytes` of the `available` ones; `Err` says how many were left.
    pub fn reserve(&self, bytes: u64, available: u64) -> Result<Reservation, u64> {
        let mut reserved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = available.saturating_sub(*reserved);
        if bytes > left {
            return Err(left);
        }
        *reserved += bytes;
        Ok(Reservation { ledger: self.clone(), bytes })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut reserved = self.ledger.0.lock().unwrap_or_else(PoisonError::into_inner);
        *reserved = reserved.saturating_sub(self.bytes);
    }
}

/// What `count` new instances need, when each of the old ones had this peak.
pub fn needed(peaks: &[u64], count: u32) -> u64 {
    let each = peaks.iter().copied().max().unwrap_or(0);
    let bare = each.saturating_mul(count.into());
    bare.saturating_add(bare / 100 * MEMORY_MARGIN_PERCENT)
}

/// How long requests are held while the old web stops and the new one starts.
pub fn hold_ms(last_boot_ms: u64) -> u64 {
    (last_boot_ms.saturating_mul(3) / 2).clamp(HOLD_MAX_MS, SWAP_HOLD_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_copy_needs_its_peak_and_a_tenth() {
        assert_eq!(needed(&[], 2), 0);
        assert_eq!(needed(&[100_000_000], 1), 110_000_000);
        assert_eq!(needed(&[100_000_000, 300_000_000], 2), 660_000_000);
        assert_eq!(needed(&[u64::MAX], 3), u64::MAX);
    }

    #[test]
    fn requests_are_held_for_one_and_a_half_boots_within_bounds() {
        assert_eq!([0, 6_000, 8_000, 39_000, 41_000, u64::MAX].map(hold_ms), [10_000, 10_000, 12_000, 58_500, 60_000, 60_000]);
    }

    proptest! {
        #[test]
        fn nothing_is_counted_on_twice(asked in prop::collection::vec((0u64..400, any::<bool>()), 0..40), available in 0u64..1_000) {
            let ledger = Ledger::default();
            let mut held: Vec<Reservation> = Vec::new();
            for (bytes, gives_back) in asked {
                if gives_back {
                    held.pop();
                }
                let before: u64 = held.iter().map(|r| r.bytes).sum();
                match ledger.reserve(bytes, available) {
                    Ok(reservation) => held.push(reservation),
                    Err(left) => prop_assert!(left == available - before && bytes > left),
                }
                prop_assert!(held.iter().map(|r| r.bytes).sum::<u64>() <= available);
            }
            held.clear();
            prop_assert!(ledger.reserve(available, available).is_ok());
        }
    }
}
