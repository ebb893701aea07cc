//! What every connection of the router can reach.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::access_log::AccessLog;
use crate::instance::Surroundings;
use crate::limits;
use crate::table::Routes;

/// How long things may take. The defaults are [`limits`]; tests are in more of a hurry.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// A client's whole head.
    pub client_head: Duration,
    /// A client's connection between requests.
    pub client_idle: Duration,
    /// The app's first byte.
    pub first_byte: Duration,
    /// Each further byte, either way.
    pub rolling_window: Duration,
    /// A connect to an instance.
    pub connect: Duration,
    /// A request that every instance refused, for new routes.
    pub refused_wait: Duration,
    /// Requests in flight after SIGTERM, tunnels after their run left the table.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            client_head: Duration::from_millis(limits::CLIENT_HEAD_MS),
            client_idle: Duration::from_millis(limits::CLIENT_IDLE_MS),
            first_byte: Duration::from_millis(limits::FIRST_BYTE_MS),
            rolling_window: Duration::from_millis(limits::ROLLING_WINDOW_MS),
            connect: Duration::from_millis(limits::CONNECT_MS),
            refused_wait: Duration::from_millis(limits::REFUSED_WAIT_MS),
            drain: Duration::from_millis(limits::DRAIN_MS),
        }
    }
}

/// Random enough for load balancing and for ids that nobody guesses: keyed by the
/// system's randomness at start.
#[derive(Debug, Default)]
pub(crate) struct Random {
    keys: [RandomState; 2],
    count: AtomicU64,
}

impl Random {
    /// A number.
    pub(crate) fn next(&self) -> u64 {
        self.keys[0].hash_one(self.count.fetch_add(1, Ordering::Relaxed))
    }

    /// A request id in the form of a UUID.
    pub(crate) fn request_id(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let (a, b) = (self.keys[0].hash_one(count), self.keys[1].hash_one(count));
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | (b >> 48) & 0x3fff,
            b & 0xffff_ffff_ffff
        )
    }
}

/// What every connection can reach.
#[derive(Debug)]
pub(crate) struct Shared {
    /// What leads where.
    pub(crate) routes: Routes,
    /// What all runs share.
    pub(crate) surroundings: Arc<Surroundings>,
    /// Where lines about requests go.
    pub(crate) access: AccessLog,
    /// How long things may take.
    pub(crate) timeouts: Timeouts,
    /// Numbers and ids.
    pub(crate) random: Random,
    /// Requests held in all.
    pub(crate) held: AtomicUsize,
    /// Becomes true when no more requests are wanted.
    pub(crate) draining: watch::Receiver<bool>,
}
