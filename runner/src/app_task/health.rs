//! Startup probes, the silence clock, and the ration of restarts.

use super::{AppTask, Arc, Done, InstanceEvent, InstancePhase, Seen, SlotKey, State};
use crate::checks::ProbeOutcome;
use crate::lifecycle::Cause;
use crate::limits::{HEALTH_RESETS_AFTER, REQUEST_TIMEOUT};
use crate::silence::restart_window;
use model::RunId;
use tokio::sync::OwnedSemaphorePermit;

impl AppTask {
    /// Sends the next startup probe, if it is due.
    pub(super) fn advance_startup(&mut self, key: &SlotKey) {
        let now = self.now();
        let Some(slot) = self.slots.get_mut(key) else { return };
        let (State::Starting(_), Some(port)) = (slot.life.state(), slot.port()) else { return };
        let Some(run) = slot.run.as_mut().filter(|run| run.live.is_some()) else { return };
        if run.startup.in_flight || now < run.startup.next {
            return;
        }
        run.startup.in_flight = true;
        let id = run.id.clone();
        self.jobs.spawn(self.subject(key, &id).probe(port, self.target.probe_host.clone()));
    }

    pub(super) fn probed(&mut self, key: &SlotKey, number: u64, outcome: &ProbeOutcome) {
        let now = self.now();
        let is_candidate = self.target.releases.get(&key.version).is_some_and(|release| release.mode.is_candidate());
        let Some(slot) = self.slots.get_mut(key) else { return };
        let Some(run) = slot.run_mut(number) else { return };
        run.startup.failed(now);
        let passed = match outcome {
            ProbeOutcome::Status(status) => !(is_candidate && run.startup.doubts(now, *status)),
            _ => false,
        };
        slot.note_probe(outcome);
        if passed {
            self.event(key, InstanceEvent::Passed);
        }
    }

    /// Looks at an instance that was ready once, and draws the consequences of silence.
    pub(super) fn advance_silence(&mut self, key: &SlotKey) {
        let now = self.now();
        let Some(slot) = self.slots.get_mut(key) else { return };
        let (Some(port), Some(id)) = (slot.port(), slot.run.as_ref().map(|run| run.id.clone())) else { return };
        let Some(clock) = &mut slot.silence else { return };
        if let Some(look) = clock.look(now) {
            let subject = self.subject(key, &id);
            self.jobs.spawn(subject.look(look, port, self.target.probe_host.clone()));
        }
        self.consider_unready(key);
        self.consider_restart(key);
    }

    pub(super) fn looked(&mut self, key: &SlotKey, number: u64, seen: Seen, outcome: Option<&ProbeOutcome>) {
        let now = self.now();
        let Some(slot) = self.slots.get_mut(key) else { return };
        if slot.run_mut(number).is_none() {
            return;
        }
        let Some(clock) = &mut slot.silence else { return };
        clock.seen(now, seen);
        let is_alive = !clock.is_failing() && seen != Seen::Void;
        if slot.life.uncured() > 0 && slot.life.ready_for(now) >= HEALTH_RESETS_AFTER && is_alive {
            slot.life.cured();
            clock.set_window(restart_window(REQUEST_TIMEOUT, 0));
        }
        if let Some(outcome) = outcome {
            slot.silent = Some((clock.silent_for(now).as_secs(), outcome.describe()));
            slot.note_probe(outcome);
        }
        if is_alive {
            self.event(key, InstanceEvent::Passed);
        }
    }

    /// The last routed instance stays: a slow answer beats none.
    fn consider_unready(&mut self, key: &SlotKey) {
        let now = self.now();
        let Some(slot) = self.slots.get(key) else { return };
        let is_due = slot.silence.as_ref().is_some_and(|clock| clock.is_unready_due(now));
        if !is_due || slot.life.phase() != InstancePhase::Ready {
            return;
        }
        let another = self.slots.iter().any(|(other, slot)| {
            other != key && other.process_type.is_web() && slot.life.phase() == InstancePhase::Ready && self.is_routed(other)
        });
        if another || !self.is_routed(key) {
            self.event(key, InstanceEvent::NotReady);
        }
    }

    fn is_routed(&self, key: &SlotKey) -> bool {
        self.target.releases.get(&key.version).is_some_and(|release| release.mode.is_routed())
    }

    /// One at a time per app, two per box.
    fn consider_restart(&mut self, key: &SlotKey) {
        if !self.is_restart_due(key) || self.slots.values().any(|slot| slot.ration.is_some()) {
            return;
        }
        let ration = Arc::clone(&self.shared.liveness_restarts);
        if let Ok(permit) = Arc::clone(&ration).try_acquire_owned() {
            return self.restart_silent(key, permit);
        }
        let Some(slot) = self.slots.get_mut(key) else { return };
        if !slot.ration_asked {
            slot.ration_asked = true;
            let key = key.clone();
            self.jobs.spawn(async move {
                match ration.acquire_owned().await {
                    Ok(permit) => Done::MayRestart(key, permit),
                    Err(_) => Done::Nothing,
                }
            });
        }
    }

    /// Its turn has come, unless it is well again or another one of the app went first.
    pub(super) fn may_restart(&mut self, key: &SlotKey, permit: OwnedSemaphorePermit) {
        let is_busy = self.slots.values().any(|slot| slot.ration.is_some());
        if let Some(slot) = self.slots.get_mut(key) {
            slot.ration_asked = false;
        }
        if self.is_restart_due(key) && !is_busy {
            self.restart_silent(key, permit);
        }
    }

    fn is_restart_due(&self, key: &SlotKey) -> bool {
        self.slots.get(key).is_some_and(|slot| {
            let up = matches!(slot.life.phase(), InstancePhase::Ready | InstancePhase::Unready);
            up && slot.silence.as_ref().is_some_and(crate::silence::SilenceClock::is_restart_due)
        })
    }

    fn restart_silent(&mut self, key: &SlotKey, permit: OwnedSemaphorePermit) {
        let now = self.now();
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.ration = Some(permit);
        let seconds = slot.silence.as_ref().map_or(0, |clock| clock.silent_for(now).as_secs());
        let probe = slot.silent.take().map_or_else(String::new, |(_, probe)| probe);
        slot.silent = Some((seconds, probe));
        let run = slot.run.as_ref().map(|run: &crate::slot::SlotRun| -> RunId { run.id.clone() });
        tracing::warn!(run = run.map(|run| run.folder()), seconds, "an instance is silent and is restarted");
        self.event(key, InstanceEvent::Unhealthy(Cause::Silent));
    }
}
