//! From an app to a connection: picks an instance, waits where the table says so,
//! tries the next one where an instance refuses.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::instance::{InFlight, Instance, pick};
use crate::limits;
use crate::protocol::TroubleKind;
use crate::state::Shared;
use crate::table::{App, LivePool};
use crate::upstream::{ConnectError, Upstream};

/// A request that may go.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// It is counted as in flight.
    pub(crate) ticket: InFlight,
    /// Its connection.
    pub(crate) upstream: Upstream,
    /// How long the connect took.
    pub(crate) connect: Duration,
}

/// Why a request may not go.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Every instance crashes.
    Crashed,
    /// Nothing is meant to run.
    Stopped,
    /// The app is gone.
    Gone,
    /// Too many wait already.
    QueueFull,
    /// It waited as long as it may.
    HeldTooLong,
    /// Every instance refused.
    Refused,
    /// An instance did not take the connection in time.
    ConnectTimedOut,
    /// Our own trouble.
    Platform(ConnectError),
}

/// A place in the queue of held requests.
struct Place<'a> {
    app: &'a App,
    all: &'a AtomicUsize,
}

impl<'a> Place<'a> {
    fn take(app: &'a App, all: &'a AtomicUsize) -> Result<Self, Refusal> {
        let place = Self { app, all };
        let here = app.held.fetch_add(1, Ordering::Relaxed);
        let everywhere = all.fetch_add(1, Ordering::Relaxed);
        if here >= limits::HELD_PER_APP_MAX || everywhere >= limits::HELD_MAX { Err(Refusal::QueueFull) } else { Ok(place) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.app.held.fetch_sub(1, Ordering::Relaxed);
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Finds an instance for a request and a connection to it. `reuse` as in [`Upstream::open`].
pub(crate) async fn admit(shared: &Shared, app: &App, reuse: bool) -> Result<Admitted, Refusal> {
    let began = Instant::now();
    let mut refused = Refused::default();
    let mut place = None;
    loop {
        // Listening starts before looking, so that no change is missed in between.
        let mut changed = pin!(app.changed.notified());
        changed.as_mut().enable();
        let pool = app.pool.load_full();
        let (deadline, late) = match &*pool {
            LivePool::Serve(instances) => match refused.pick(instances, shared.random.next()) {
                Some(instance) => match try_instance(shared, &instance, reuse).await {
                    Some(Ok(admitted)) => return Ok(admitted),
                    Some(Err(ConnectError::Platform(error))) => return Err(Refusal::Platform(ConnectError::Platform(error))),
                    Some(Err(error)) => {
                        refused.note(instance, &error);
                        continue;
                    }
                    // It left the table after we looked.
                    None => continue,
                },
                None => (*refused.until.get_or_insert(Instant::now() + shared.timeouts.refused_wait), refused.refusal()),
            },
            LivePool::Hold(for_at_most_ms) => (began + Duration::from_millis(*for_at_most_ms), Refusal::HeldTooLong),
            LivePool::Crashed => return Err(Refusal::Crashed),
            LivePool::Stopped => return Err(Refusal::Stopped),
            LivePool::Gone => return Err(Refusal::Gone),
        };
        if place.is_none() {
            place = Some(Place::take(app, &shared.held)?);
        }
        if timeout_at(deadline, changed).await.is_err() {
            return Err(late);
        }
        refused.instances.clear();
    }
}

async fn try_instance(shared: &Shared, instance: &Arc<Instance>, reuse: bool) -> Option<Result<Admitted, ConnectError>> {
    let ticket = instance.enter()?;
    let began = Instant::now();
    Some(match Upstream::open(instance, reuse, shared.timeouts.connect).await {
        Ok(upstream) => Ok(Admitted { ticket, upstream, connect: began.elapsed() }),
        Err(error) => {
            match &error {
                ConnectError::Refused => instance.trouble(TroubleKind::Refused),
                ConnectError::TimedOut => instance.trouble(TroubleKind::Timeout),
                ConnectError::Platform(_) => {}
            }
            Err(error)
        }
    })
}

/// Instances that did not take this request.
#[derive(Debug, Default)]
struct Refused {
    instances: Vec<Arc<Instance>>,
    timed_out: bool,
    until: Option<Instant>,
}

impl Refused {
    fn pick(&self, instances: &[Arc<Instance>], random: u64) -> Option<Arc<Instance>> {
        if self.instances.is_empty() {
            let index = pick(instances.len(), random, |i| instances[i].in_flight())?;
            return Some(instances[index].clone());
        }
        let left: Vec<_> = instances.iter().filter(|i| !self.instances.iter().any(|other| Arc::ptr_eq(i, other))).collect();
        pick(left.len(), random, |i| left[i].in_flight()).map(|index| left[index].clone())
    }

    fn note(&mut self, instance: Arc<Instance>, error: &ConnectError) {
        self.timed_out = matches!(error, ConnectError::TimedOut);
        self.instances.push(instance);
    }

    fn refusal(&self) -> Refusal {
        if self.timed_out { Refusal::ConnectTimedOut } else { Refusal::Refused }
    }
}
