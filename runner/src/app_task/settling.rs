//! After each event: what follows from it, for the instances that it can matter to. A
//! hundred that sit there cost next to nothing when one of them ends.

use super::health::verdict;
use super::{AppTask, Arc, Duration, InstanceEvent, InstancePhase, PortLeases, Slot, SlotKey, reconcile};
use crate::limits::STOP_GRACE;
use crate::reconcile::{Plan, Step, reconcile};
use model::engine::{AppObserved, InstanceObserved, ReleaseMode};
use tokio::sync::watch;

impl AppTask {
    /// Takes every step that can be taken now. Returns the instances that were looked at.
    pub(super) fn settle(&mut self) -> Vec<SlotKey> {
        self.approach_target();
        let keys = self.restless();
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
        keys
    }

    /// Compares with the target, if either is not what it was.
    fn approach_target(&mut self) {
        let is_new = std::mem::take(&mut self.is_new_target);
        if is_new {
            self.plan = if self.halt.is_some() { Plan::default() } else { Plan::of(&self.target) };
            self.touched.extend(self.slots.keys().cloned());
        }
        let mut is_news = self.look_at_touched() || is_new;
        while is_news {
            let steps = reconcile(&self.target, &self.plan, &self.known);
            is_news = !steps.is_empty();
            for step in steps {
                self.step(step);
            }
            self.look_at_touched();
        }
    }

    /// Brings up to date what is known; true if that is another thing than before.
    fn look_at_touched(&mut self) -> bool {
        let mut is_news = false;
        for key in &self.touched {
            let Some(now) = self.slots.get(key).map(Slot::known) else { continue };
            if self.known.get(key) != Some(&now) {
                self.known.insert(key.clone(), now);
                is_news = true;
            }
        }
        is_news
    }

    /// The instances to look at: something happened to them, their time has come, or they
    /// wait for something that others have.
    fn restless(&mut self) -> Vec<SlotKey> {
        let now = self.now();
        let is_restless = |key: &SlotKey, slot: &Slot| {
            self.touched.contains(key)
                || slot.next_wake(now).is_some_and(|at| at <= now)
                || slot.is_held_up()
                || slot.silence.as_ref().is_some_and(|clock| clock.is_unready_due(now))
                || verdict(slot, now).is_some()
        };
        let keys = self.slots.iter().filter(|(key, slot)| is_restless(key, slot)).map(|(key, _)| key.clone()).collect();
        self.touched.clear();
        keys
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Create(key) => {
                let slot = Slot::new(key.process_type.is_web(), self.restart_counter(&key), self.host.unix_ms());
                self.touched.insert(key.clone());
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
        self.known.remove(key);
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

    /// Tells what is seen of the instances that were looked at, and that others are no more.
    pub(super) fn publish(&mut self, looked_at: &[SlotKey], observed: &watch::Sender<AppObserved>) {
        let before = self.told.len();
        self.told.retain(|key, _| self.slots.contains_key(key));
        let mut is_news = self.told.len() < before;
        let mut is_other = is_news;
        for key in looked_at {
            let Some(slot) = self.slots.get(key) else { continue };
            let new = slot.observed(reconcile::instance(&self.target, key), key);
            let old = self.told.get(key);
            if old.is_some_and(|old| **old == new) {
                continue;
            }
            is_other = true;
            // Each try of a check is there for whoever asks; only what changed is news.
            is_news |= old.is_none_or(|old| without_tries(old) != without_tries(&new));
            self.told.insert(key.clone(), Arc::new(new));
        }
        if is_other || observed.borrow().left.iter().ne(self.left.values()) {
            observed.send_if_modified(|observed| {
                let left = self.left.values().cloned().collect();
                is_news |= observed.left != left;
                *observed = AppObserved { instances: self.told.values().cloned().collect(), left };
                is_news
            });
        }
    }
}

fn without_tries(observed: &InstanceObserved) -> InstanceObserved {
    let mut observed = observed.clone();
    for check in &mut observed.checks {
        (check.answer, check.took_ms, check.failures) = (None, None, 0);
    }
    observed
}
