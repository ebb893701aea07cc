//! One task per app: it alone decides about the app's instances, one event at a time.
//!
//! ```text
//! target, messages, timers, ends of futures ─▶ settle: reconcile → lifecycle → effects
//!                                           └▶ AppObserved at each change
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::engine::{AppObserved, AppTarget, CheckTried, InstanceObserved, InstancePhase, LeftBehind};
use model::{AppNumber, Ordinal, ProcessType, RunId};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::flight_recorder::Recorder;
use crate::host::{Found, Host, Live, StartFailure};
use crate::instance_task::{Done, Subject};
use crate::lifecycle::{InstanceEvent, State};
use crate::limits::{BOOT_TIMEOUT, BOOT_TIMEOUT_OF_LAST, LAUNCH_RETRY, LAUNCH_WAIT};
use crate::port_leases::{LeaseSlot, PortLeases};
use crate::reconcile::{self, Known, Plan, SlotKey};
use crate::runs::RunEnd;
use crate::silence::{Mono, Seen};
use crate::slot::{Slot, Startup};

mod adoption;
mod checks;
mod effects;
mod flights;
mod health;
mod leavings;
mod notify;
mod settling;
mod starts;

/// What all apps of the box share.
pub(crate) struct Shared {
    pub(crate) starts: Arc<Semaphore>,
    pub(crate) liveness_restarts: Arc<Semaphore>,
    pub(crate) leases: Mutex<PortLeases>,
}

/// What the app's task is told; runs are named by their number.
pub(crate) enum Message {
    Released(u64),
    Trouble(u64),
    /// Try every check now, for a person.
    TryChecks(oneshot::Sender<Vec<CheckTried>>),
    /// Stop everything for good, then answer with the number of runs that were stopped.
    Halt {
        grace: Duration,
        done: oneshot::Sender<u32>,
    },
}

/// The ends of the channels that lead to the task.
pub(crate) struct Inbox {
    pub(crate) target: watch::Receiver<Arc<AppTarget>>,
    pub(crate) messages: mpsc::Receiver<Message>,
    pub(crate) observed: watch::Sender<AppObserved>,
    pub(crate) found: Vec<Found>,
}

pub(crate) struct AppTask {
    number: AppNumber,
    host: Arc<dyn Host>,
    shared: Arc<Shared>,
    target: Arc<AppTarget>,
    slots: BTreeMap<SlotKey, Slot>,
    /// Those that something happened to since they were looked at last.
    touched: BTreeSet<SlotKey>,
    /// What follows from the target alone.
    plan: Plan,
    /// What the last comparison with the target was made of.
    known: BTreeMap<SlotKey, Known>,
    /// The target is another one, or it counts no longer: everything is looked at anew.
    is_new_target: bool,
    /// What was told of each instance last.
    told: BTreeMap<SlotKey, Arc<InstanceObserved>>,
    last_boots: BTreeMap<(ProcessType, Ordinal), Duration>,
    /// Live runs that no instance claims, being killed.
    strays: Vec<RunId>,
    jobs: JoinSet<Done>,
    /// Runs whose leavings are being saved and removed.
    tidying: usize,
    /// What they left, by the name of the instance.
    left: BTreeMap<String, LeftBehind>,
    recorder: Arc<Recorder>,
    epoch: Instant,
    halt: Option<Halt>,
}

struct Halt {
    grace: Duration,
    runs: u32,
    waiting: Vec<oneshot::Sender<u32>>,
}

impl AppTask {
    pub(crate) fn new(number: AppNumber, host: Arc<dyn Host>, shared: Arc<Shared>, target: Arc<AppTarget>) -> Self {
        Self {
            number,
            host,
            shared,
            target,
            slots: BTreeMap::new(),
            touched: BTreeSet::new(),
            plan: Plan::default(),
            known: BTreeMap::new(),
            is_new_target: true,
            told: BTreeMap::new(),
            last_boots: BTreeMap::new(),
            strays: Vec::new(),
            jobs: JoinSet::new(),
            tidying: 0,
            left: BTreeMap::new(),
            recorder: Arc::default(),
            epoch: Instant::now(),
            halt: None,
        }
    }

    /// Runs until nobody can send it anything any more. Runs of the app outlive it.
    pub(crate) async fn run(mut self, inbox: Inbox) {
        let Inbox { mut target, mut messages, observed, found } = inbox;
        self.target = target.borrow_and_update().clone();
        self.adopt(found);
        loop {
            let looked_at = self.settle();
            self.publish(&looked_at, &observed);
            self.answer_halt();
            let now = self.now();
            let wake = self.slots.values().filter_map(|slot| slot.next_wake(now)).min();
            let timer = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(self.epoch + at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = target.changed() => match changed {
                    Ok(()) => {
                        self.target = target.borrow_and_update().clone();
                        self.is_new_target = true;
                    }
                    Err(_) => return,
                },
                message = messages.recv() => match message {
                    Some(message) => self.message(message),
                    None => return,
                },
                Some(done) = self.jobs.join_next() => match done {
                    Ok(done) => self.done(done),
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                () = timer => {}
            }
        }
    }

    fn now(&self) -> Mono {
        self.epoch.elapsed()
    }

    fn leases<T>(&self, act: impl FnOnce(&mut PortLeases, &LeaseSlot) -> T, key: &SlotKey) -> T {
        let slot = LeaseSlot { app: self.number, process_type: key.process_type.clone(), ordinal: key.ordinal };
        act(&mut self.shared.leases.lock().unwrap_or_else(PoisonError::into_inner), &slot)
    }

    fn subject(&self, key: &SlotKey, run: &RunId) -> Subject {
        let recorder = Arc::clone(&self.recorder);
        Subject { host: Arc::clone(&self.host), recorder, number: self.number, key: key.clone(), run: run.clone() }
    }

    fn message(&mut self, message: Message) {
        let now = self.now();
        match message {
            Message::Released(number) => {
                if let Some(key) = self.key_of(number) {
                    self.event(&key, InstanceEvent::Released);
                }
            }
            Message::Trouble(number) => {
                if let Some(clock) = self.clock_of(number) {
                    clock.trouble(now);
                }
            }
            Message::TryChecks(done) => self.try_all(done),
            Message::Halt { grace, done } => self.begin_halt(grace, done),
        }
    }

    fn key_of(&self, number: u64) -> Option<SlotKey> {
        let mut slots = self.slots.iter();
        slots.find(|(_, slot)| slot.run.as_ref().is_some_and(|run| run.id.number == number)).map(|(key, _)| key.clone())
    }

    fn clock_of(&mut self, number: u64) -> Option<&mut crate::silence::SilenceClock> {
        let key = self.key_of(number)?;
        self.touched.insert(key.clone());
        self.slots.get_mut(&key)?.silence.as_mut()
    }

    fn done(&mut self, done: Done) {
        self.touched.extend(done.key().cloned());
        match done {
            Done::Started(key, number, result) => self.started(&key, number, result),
            Done::Gone(key, number, end, lines) => self.gone(&key, number, &end, lines),
            Done::Probed(key, number, outcome) => self.probed(&key, number, &outcome),
            Done::Looked(key, number, seen, outcome) => self.looked(&key, number, seen, outcome.as_ref()),
            Done::Tried(key, number, index, tried) => self.tried(&key, number, index, tried),
            Done::ManualTries => self.manual_tries_ended(),
            Done::Notified(key, number, said) => self.notified(&key, number, said),
            Done::WatchdogSeen(key, number, said) => self.watchdog_seen(&key, number, said.as_ref()),
            Done::Diagnosed(key, number, hint) => self.diagnosed(&key, number, hint),
            Done::MayStart(key, permit) => {
                if let Some(pending) = self.slots.get_mut(&key).and_then(|slot| slot.pending.as_mut()) {
                    pending.permit = Some(permit);
                }
            }
            Done::MayRestart(key, permit) => self.may_restart(&key, permit),
            Done::StrayGone(number) => self.strays.retain(|stray| stray.number != number),
            Done::Tidied(key, leavings) => self.tidied(&key, leavings),
            Done::Nothing => {}
        }
    }

    fn begin_halt(&mut self, grace: Duration, done: oneshot::Sender<u32>) {
        let live = self.slots.values().filter(|slot| slot.run.is_some()).count();
        let runs = u32::try_from(live).unwrap_or(u32::MAX);
        self.is_new_target = true;
        let halt = self.halt.get_or_insert(Halt { grace, runs, waiting: Vec::new() });
        halt.waiting.push(done);
        // Whoever drains already is let go as well: there will be no router to wait for.
        for key in self.slots.keys().cloned().collect::<Vec<_>>() {
            self.event(&key, InstanceEvent::Down);
            self.event(&key, InstanceEvent::Released);
        }
    }

    /// Answers once nothing is alive and nothing is left to be tidied.
    fn answer_halt(&mut self) {
        let is_quiet = self.jobs.is_empty() && self.slots.values().all(|slot| slot.run.is_none());
        if let Some(halt) = self.halt.as_mut().filter(|_| is_quiet) {
            for waiting in halt.waiting.drain(..) {
                // Nobody waits any more: fine.
                let _ = waiting.send(halt.runs);
            }
        }
    }
}

#[cfg(test)]
mod simulation;
