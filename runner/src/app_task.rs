//! One task per app: it alone decides about the app's instances, one event at a time.
//!
//! ```text
//! target, messages, timers, ends of futures ─▶ settle: reconcile → lifecycle → effects
//!                                           └▶ AppObserved, whole, at each change
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::engine::{AppObserved, AppTarget, CheckTried, InstancePhase, ReleaseMode};
use model::{AppNumber, Ordinal, ProcessType, RunId};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::flight_recorder::Recorder;
use crate::host::{Found, Host, Live, StartFailure};
use crate::instance_task::{Done, Subject};
use crate::lifecycle::{InstanceEvent, State};
use crate::limits::{BOOT_TIMEOUT, BOOT_TIMEOUT_OF_LAST, LAUNCH_RETRY, LAUNCH_WAIT, STOP_GRACE};
use crate::port_leases::{LeaseSlot, PortLeases};
use crate::reconcile::{self, SlotKey, Step, reconcile};
use crate::runs::RunEnd;
use crate::silence::{Mono, Seen};
use crate::slot::{Slot, Startup};

mod adoption;
mod checks;
mod effects;
mod flights;
mod health;
mod notify;
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
    last_boots: BTreeMap<(ProcessType, Ordinal), Duration>,
    /// Live runs that no instance claims, being killed.
    strays: Vec<RunId>,
    jobs: JoinSet<Done>,
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
            last_boots: BTreeMap::new(),
            strays: Vec::new(),
            jobs: JoinSet::new(),
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
            self.settle();
            self.publish(&observed);
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
                    Ok(()) => self.target = target.borrow_and_update().clone(),
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

    /// Takes every step that can be taken now.
    fn settle(&mut self) {
        loop {
            let known = self.slots.iter().map(|(key, slot)| (key.clone(), slot.known())).collect();
            let steps = match &self.halt {
                Some(_) => reconcile(&AppTarget { releases: BTreeMap::new(), ..(*self.target).clone() }, &known),
                None => reconcile(&self.target, &known),
            };
            if steps.is_empty() {
                break;
            }
            for step in steps {
                self.step(step);
            }
        }
        let keys: Vec<SlotKey> = self.slots.keys().cloned().collect();
        for key in &keys {
            self.apply_mode(key);
            self.event(key, InstanceEvent::Tick);
            self.advance_start(key);
            self.advance_startup(key);
            self.advance_checks(key);
            self.advance_watchdog(key);
            self.advance_silence(key);
            self.consider_unready(key);
            self.consider_restart(key);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Create(key) => {
                let slot = Slot::new(key.process_type.is_web(), self.restart_counter(&key), self.host.unix_ms());
                self.slots.insert(key, slot);
            }
            Step::Up(key) => {
                let counter = self.restart_counter(&key);
                if let Some(slot) = self.slots.get_mut(&key) {
                    slot.wanted = true;
                    slot.restart_seen = counter;
                }
                self.apply_mode(&key);
                self.event(&key, InstanceEvent::Up);
            }
            Step::Down(key) => {
                if let Some(slot) = self.slots.get_mut(&key) {
                    slot.wanted = false;
                }
                self.event(&key, InstanceEvent::Down);
                if self.halt.is_some() {
                    self.event(&key, InstanceEvent::Released);
                }
            }
            Step::Restart(key) => {
                let counter = self.restart_counter(&key);
                if let Some(slot) = self.slots.get_mut(&key) {
                    slot.restart_seen = counter;
                    slot.restarting = matches!(slot.life.phase(), InstancePhase::Ready | InstancePhase::Unready);
                }
                self.event(&key, InstanceEvent::Restart);
            }
            Step::Forget(key) => self.forget(&key),
        }
    }

    fn forget(&mut self, key: &SlotKey) {
        self.slots.remove(key);
        let is_left = self.slots.keys().any(|k| k.process_type == key.process_type && k.ordinal == key.ordinal);
        if !is_left {
            self.leases(PortLeases::forget, key);
            self.last_boots.remove(&(key.process_type.clone(), key.ordinal));
        }
    }

    fn restart_counter(&self, key: &SlotKey) -> u64 {
        self.target.restarts.get(&reconcile::instance(&self.target, key)).copied().unwrap_or(0)
    }

    fn apply_mode(&mut self, key: &SlotKey) {
        let mode = self.target.releases.get(&key.version).map(|release| release.mode);
        let stop_timeout = self.target.limits.get(&key.process_type).and_then(|limits| limits.stop_timeout_s);
        if let Some(slot) = self.slots.get_mut(key) {
            slot.life.set_stop_grace(stop_timeout.map_or(STOP_GRACE, |s| Duration::from_secs(s.into())));
            slot.life.set_mode(mode.is_some_and(ReleaseMode::is_candidate), mode.is_some_and(ReleaseMode::is_routed));
        }
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
        self.slots.get_mut(&key)?.silence.as_mut()
    }

    fn done(&mut self, done: Done) {
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
            Done::Nothing => {}
        }
    }

    fn begin_halt(&mut self, grace: Duration, done: oneshot::Sender<u32>) {
        let live = self.slots.values().filter(|slot| slot.run.is_some()).count();
        let runs = u32::try_from(live).unwrap_or(u32::MAX);
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

    fn publish(&self, observed: &watch::Sender<AppObserved>) {
        let instances = self.slots.iter().map(|(key, slot)| slot.observed(reconcile::instance(&self.target, key), key)).collect();
        let new = AppObserved { instances };
        observed.send_if_modified(|old| {
            // Each try of a check is there for whoever asks; only what changed is news.
            let is_news = *old != new && without_tries(old) != without_tries(&new);
            *old = new;
            is_news
        });
    }
}

fn without_tries(observed: &AppObserved) -> AppObserved {
    let mut observed = observed.clone();
    for check in observed.instances.iter_mut().flat_map(|instance| &mut instance.checks) {
        (check.answer, check.took_ms, check.failures) = (None, None, 0);
    }
    observed
}

#[cfg(test)]
mod simulation;
