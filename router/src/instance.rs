//! One run as the router sees it: the gate that counts its requests, its silence
//! clock, its unused connections.
//!
//! ```text
//! enter ──▶ in flight ──▶ exit           retire: no more entries;
//!   └ retired? pick another                Idle once the last one left
//! ```

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{RoutedInstance, RunId};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::limits;
use crate::outlet::Outlet;
use crate::protocol::{FromRouter, TroubleKind, WireTraffic};

/// In `gate`: no longer in the table. The other bits count requests.
const RETIRED: u64 = 1 << 63;

/// What all runs share.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// The way to the server.
    pub(crate) outlet: Outlet,
    /// Told when a run begins to have unused connections.
    pub(crate) unused: Notify,
    started: Instant,
}

impl Surroundings {
    pub(crate) fn new() -> Self {
        Self { outlet: Outlet::default(), unused: Notify::new(), started: Instant::now() }
    }

    /// Milliseconds since the router started, from 1 on.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }
}

/// One run.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Which.
    pub(crate) run: RunId,
    /// `web.1`.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    gate: AtomicU64,
    last_byte_ms: AtomicU64,
    last_trouble_ms: AtomicU64,
    requests: AtomicU64,
    errors: AtomicU64,
    unanswered: AtomicUsize,
    last_answer_ms: AtomicU64,
    unused: Mutex<Vec<(TcpStream, u64)>>,
    retired: watch::Sender<bool>,
    surroundings: Arc<Surroundings>,
}

impl Instance {
    pub(crate) fn new(routed: &RoutedInstance, surroundings: &Arc<Surroundings>) -> Self {
        Self {
            run: routed.run.clone(),
            name: routed.run.instance.name(),
            address: routed.address(),
            gate: AtomicU64::new(0),
            last_byte_ms: AtomicU64::new(0),
            last_trouble_ms: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            unanswered: AtomicUsize::new(0),
            last_answer_ms: AtomicU64::new(0),
            unused: Mutex::new(Vec::new()),
            retired: watch::Sender::new(false),
            surroundings: surroundings.clone(),
        }
    }

    /// Counts a request in; `None` once the run has left the table.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<InFlight> {
        let before = self.gate.fetch_add(1, Ordering::SeqCst);
        let ticket = InFlight { instance: self.clone() };
        (before & RETIRED == 0).then_some(ticket)
    }

    /// How many requests it has.
    pub(crate) fn in_flight(&self) -> u64 {
        self.gate.load(Ordering::SeqCst) & !RETIRED
    }

    /// Out of the table, with requests still in flight.
    pub(crate) fn is_busy_outside(&self) -> bool {
        let gate = self.gate.load(Ordering::SeqCst);
        gate & RETIRED != 0 && gate != RETIRED
    }

    /// It left the table.
    pub(crate) fn retire(&self) {
        let before = self.gate.fetch_or(RETIRED, Ordering::SeqCst);
        self.retired.send_replace(true);
        self.unused.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if before == 0 {
            self.say_idle();
        }
    }

    /// It is in the table (again).
    pub(crate) fn admit(&self) {
        self.gate.fetch_and(!RETIRED, Ordering::SeqCst);
        self.retired.send_replace(false);
    }

    /// Tells when it leaves the table.
    pub(crate) fn retirement(&self) -> watch::Receiver<bool> {
        self.retired.subscribe()
    }

    fn exit(&self) {
        if self.gate.fetch_sub(1, Ordering::SeqCst) == RETIRED + 1 {
            self.say_idle();
        }
    }

    fn say_idle(&self) {
        self.surroundings.outlet.send(FromRouter::Idle { run: (&self.run).into() });
    }

    /// A byte came from it.
    pub(crate) fn stamp(&self) {
        self.last_byte_ms.store(self.surroundings.now_ms(), Ordering::Relaxed);
    }

    /// How long ago its last byte came.
    pub(crate) fn silent_for(&self) -> Option<Duration> {
        match self.last_byte_ms.load(Ordering::Relaxed) {
            0 => None,
            at => Some(Duration::from_millis(self.surroundings.now_ms().saturating_sub(at))),
        }
    }

    /// Reports trouble, at most one a second.
    pub(crate) fn trouble(&self, kind: TroubleKind) {
        let now = self.surroundings.now_ms();
        let last = self.last_trouble_ms.load(Ordering::Relaxed);
        let due = last == 0 || now.saturating_sub(last) >= limits::TROUBLE_EVERY_MS;
        if due && self.last_trouble_ms.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.surroundings.outlet.send(FromRouter::Trouble { run: (&self.run).into(), kind });
        }
    }

    /// A request to it has ended.
    pub(crate) fn count(&self, status: Option<u16>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if status.is_some_and(|status| status >= 500) {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How its requests have ended so far.
    pub(crate) fn traffic(&self) -> WireTraffic {
        // Errors first: never more of them than requests.
        let errors = self.errors.load(Ordering::Relaxed);
        WireTraffic { run: (&self.run).into(), requests: self.requests.load(Ordering::Relaxed), errors }
    }

    /// A new connection waits for its first byte.
    pub(crate) fn await_answer(self: &Arc<Self>) -> Unanswered {
        if self.unanswered.fetch_add(1, Ordering::Relaxed) == 0 {
            self.last_answer_ms.store(self.surroundings.now_ms(), Ordering::Relaxed);
        }
        Unanswered { instance: self.clone() }
    }

    /// Takes an unused connection, the one used last first.
    pub(crate) fn take_unused(&self) -> Option<TcpStream> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner).pop().map(|(stream, _)| stream)
    }

    /// Keeps a connection for the next request, unless others wait in vain: the app may
    /// serve one connection at a time.
    pub(crate) fn keep_unused(&self, stream: TcpStream) {
        let now = self.surroundings.now_ms();
        let starving = self.unanswered.load(Ordering::Relaxed) > 0
            && now.saturating_sub(self.last_answer_ms.load(Ordering::Relaxed)) > limits::STARVED_MS;
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        let retired = self.gate.load(Ordering::SeqCst) & RETIRED != 0;
        if starving || retired || unused.len() >= limits::UPSTREAM_IDLE_CONNECTIONS_MAX {
            return;
        }
        unused.push((stream, now));
        if unused.len() == 1 {
            self.surroundings.unused.notify_one();
        }
    }

    /// Closes what was unused for too long; true if some are left.
    pub(crate) fn sweep(&self) -> bool {
        let now = self.surroundings.now_ms();
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        unused.retain(|(_, since)| now.saturating_sub(*since) < limits::UPSTREAM_IDLE_MS);
        !unused.is_empty()
    }
}

/// A request that is counted; dropping it counts it out.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// On which run.
    pub(crate) instance: Arc<Instance>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.instance.exit();
    }
}

/// A new connection that waits for its first byte.
#[derive(Debug)]
pub(crate) struct Unanswered {
    instance: Arc<Instance>,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let instance = &self.instance;
        instance.last_answer_ms.store(instance.surroundings.now_ms(), Ordering::Relaxed);
        instance.unanswered.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The less busy of two at random.
pub(crate) fn pick(count: usize, random: u64, in_flight: impl Fn(usize) -> u64) -> Option<usize> {
    let total = u64::try_from(count).ok().filter(|total| *total > 0)?;
    let index = |number: u64| usize::try_from(number).unwrap_or(0);
    let first = random % total;
    if total == 1 {
        return Some(0);
    }
    let second = (first + 1 + (random >> 32) % (total - 1)) % total;
    let (first, second) = (index(first), index(second));
    Some(if in_flight(second) < in_flight(first) { second } else { first })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_busy_of_two_different_ones_is_picked() {
        assert_eq!(pick(0, 7, |_| 0), None);
        assert_eq!(pick(1, 7, |_| 9), Some(0));
        for random in (0..1_000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            assert_eq!(pick(2, random, |i| if i == 0 { 5 } else { 1 }), Some(1));
            assert_ne!(pick(3, random, |i| if i == 2 { 9 } else { 1 }), Some(2));
        }
    }
}
