//! Visitors who note when each of their requests was under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::super::support::Host;
use super::super::support::http::Request;

const VISITORS: usize = 2;
const PAUSE: Duration = Duration::from_millis(10);

/// A request that was not answered with 200.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) from: Instant,
    pub(super) until: Instant,
    pub(super) what: String,
}

#[derive(Debug)]
pub(super) struct Visitors {
    end: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<Failure>>>,
}

impl Visitors {
    pub(super) fn start(host: &Host) -> Self {
        let (end, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let visitor = |_| {
            let (end, asked, port) = (Arc::clone(&end), Arc::clone(&asked), host.seat.http());
            std::thread::spawn(move || {
                let mut failures = Vec::new();
                while !end.load(Ordering::Relaxed) {
                    let from = Instant::now();
                    let outcome = Request::get("chaos.localhost", "/").send(port);
                    let until = Instant::now();
                    asked.fetch_add(1, Ordering::Relaxed);
                    match outcome {
                        Ok(response) if response.status == 200 => {}
                        Ok(response) => failures.push(Failure { from, until, what: format!("{} {}", response.status, response.body) }),
                        Err(error) => failures.push(Failure { from, until, what: error.to_string() }),
                    }
                    std::thread::sleep(PAUSE);
                }
                failures
            })
        };
        let threads = (0..VISITORS).map(visitor).collect();
        Self { end, asked, threads }
    }

    /// Requests that have ended so far.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub(super) fn stop(self) -> Vec<Failure> {
        self.end.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().expect("a visitor")).collect()
    }
}
