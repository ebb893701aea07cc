//! An app's task in the fake world, and what a test does with it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::InstanceId;
use model::engine::{AppObserved, AppTarget, InstanceObserved, InstancePhase};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::super::{AppTask, Inbox, Message, Shared};
use super::world::World;
use crate::host::{Found, Host};
use crate::port_leases::PortLeases;

/// An app's task in the world.
pub(super) struct App {
    pub(super) target: watch::Sender<Arc<AppTarget>>,
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) observed: watch::Receiver<AppObserved>,
    task: tokio::task::JoinHandle<()>,
}

/// What apps of the box share, with so many starts at a time.
pub(super) fn shared(starts: usize) -> Arc<Shared> {
    Arc::new(Shared {
        starts: Arc::new(Semaphore::new(starts)),
        liveness_restarts: Arc::new(Semaphore::new(crate::limits::LIVENESS_RESTARTS_PER_BOX)),
        leases: Mutex::new(PortLeases::new(20_000..=20_999)),
    })
}

/// `v1 Serve web=2 bot=1`, for app `hello` with number 17.
pub(super) fn target(releases: &[&str]) -> AppTarget {
    crate::reconcile::tests::target(releases)
}

impl App {
    pub(super) fn start(world: &Arc<World>, target: AppTarget) -> Self {
        Self::start_with(world, target, shared(4), Vec::new())
    }

    pub(super) fn start_with(world: &Arc<World>, target: AppTarget, shared: Arc<Shared>, found: Vec<Found>) -> Self {
        let target = Arc::new(target);
        let (targets, target_inbox) = watch::channel(Arc::clone(&target));
        let (messages, message_inbox) = mpsc::channel(16);
        let (observed, seen) = watch::channel(AppObserved::default());
        let host: Arc<dyn Host> = Arc::new(Arc::clone(world));
        let task = AppTask::new(target.number, host, shared, target);
        let task = tokio::spawn(task.run(Inbox { target: target_inbox, messages: message_inbox, observed, found }));
        Self { target: targets, messages, observed: seen, task }
    }

    /// Kills the server: nobody looks after the runs any more.
    pub(super) async fn kill_server(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()), "the app's task had panicked");
    }

    pub(super) fn set(&self, releases: &[&str]) {
        let old = self.target.borrow().clone();
        self.target.send_replace(Arc::new(AppTarget { releases: target(releases).releases, ..(*old).clone() }));
    }

    /// Raises restart counters.
    pub(super) fn restart(&self, names: &[&str]) {
        let mut target = (**self.target.borrow()).clone();
        for name in names {
            *target.restarts.entry(InstanceId::parse(&target.app, name).expect("instance")).or_default() += 1;
        }
        self.target.send_replace(Arc::new(target));
    }

    pub(super) fn seen(&self, name: &str) -> Option<InstanceObserved> {
        self.observed.borrow().instances.iter().find(|i| format!("{} {}", i.instance.name(), i.version) == name).map(|i| (**i).clone())
    }

    pub(super) fn phase(&self, name: &str) -> Option<InstancePhase> {
        self.seen(name).map(|instance| instance.phase)
    }

    /// Waits until an instance is in a phase; a deadline in the test's own time.
    pub(super) async fn wait(&mut self, name: &str, phase: InstancePhase) -> InstanceObserved {
        let matches = |observed: &AppObserved| {
            observed.instances.iter().any(|i| format!("{} {}", i.instance.name(), i.version) == name && i.phase == phase)
        };
        let waited = tokio::time::timeout(Duration::from_hours(1), self.observed.wait_for(matches)).await;
        assert!(waited.is_ok_and(|seen| seen.is_ok()), "{name} never became {phase:?}: {:?}", self.observed.borrow());
        self.seen(name).expect("seen")
    }

    /// Control and router as they should be: whatever drains is released after a moment.
    pub(super) fn release_what_drains(&self, after: Duration) {
        let mut observed = self.observed.clone();
        let messages = self.messages.clone();
        tokio::spawn(async move {
            let mut released: Vec<u64> = Vec::new();
            while observed.changed().await.is_ok() {
                let draining: Vec<u64> = {
                    let seen = observed.borrow_and_update();
                    let drain = seen.instances.iter().filter(|i| i.phase == InstancePhase::Draining);
                    drain.filter_map(|i| i.run.as_ref().map(|run| run.number)).collect()
                };
                for number in draining {
                    if !released.contains(&number) {
                        released.push(number);
                        tokio::time::sleep(after).await;
                        // The task may have ended.
                        let _ = messages.send(Message::Released(number)).await;
                    }
                }
            }
        });
    }

    pub(super) async fn halt(&self, grace: Duration) -> u32 {
        let (done, stopped) = oneshot::channel();
        self.messages.send(Message::Halt { grace, done }).await.expect("the task listens");
        tokio::time::timeout(Duration::from_secs(100), stopped).await.expect("in time").expect("answered")
    }
}

pub(super) async fn pass(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}
