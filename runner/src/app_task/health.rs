//! Startup probes, the silence clock, and the ration of restarts.

use super::{AppTask, Arc, Done, InstanceEvent, InstancePhase, Mono, Seen, Slot, SlotKey, State};
use crate::checks::ProbeOutcome;
use crate::lifecycle::Cause;
use crate::limits::{HEALTH_RESETS_AFTER, REQUEST_TIMEOUT};
use crate::silence::restart_window;
use model::StopReason;
use model::author::CheckKind;
use tokio::sync::OwnedSemaphorePermit;

impl AppTask {
    /// Sends the next startup probe, if it is due.
    pub(super) fn advance_startup(&mut self, key: &SlotKey) {
        let now = self.now();
        let Some(slot) = self.slots.get_mut(key) else { return };
        let (State::Starting(_), Some(port)) = (slot.life.state(), slot.port()) else { return };
        let by_author = slot.boot.by_author;
        let Some(run) = slot.run.as_mut().filter(|run| run.live.is_some()) else { return };
        if by_author || run.startup.in_flight || now < run.startup.next {
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
            self.startup_passed(key);
        }
    }

    /// Looks at an instance that was ready once.
    pub(super) fn advance_silence(&mut self, key: &SlotKey) {
        let now = self.now();
        let Some(slot) = self.slots.get_mut(key) else { return };
        let (Some(port), Some(id)) = (slot.port(), slot.run.as_ref().map(|run| run.id.clone())) else { return };
        let Some(clock) = &mut slot.silence else { return };
        if let Some(look) = clock.look(now) {
            let subject = self.subject(key, &id);
            self.jobs.spawn(subject.look(look, port, self.target.probe_host.clone()));
        }
    }

    pub(super) fn looked(&mut self, key: &SlotKey, number: u64, seen: Seen, outcome: Option<&ProbeOutcome>) {
        let (now, unix_ms) = (self.now(), self.host.unix_ms());
        let Some(slot) = self.slots.get_mut(key) else { return };
        if slot.run_mut(number).is_none() {
            return;
        }
        let Some(clock) = &mut slot.silence else { return };
        clock.seen(now, seen);
        if slot.silence_since.0 != clock.is_failing() {
            slot.silence_since = (clock.is_failing(), unix_ms);
        }
        let is_alive = !clock.is_failing() && seen != Seen::Void;
        if slot.life.uncured() > 0 && slot.life.ready_for(now) >= HEALTH_RESETS_AFTER && is_alive {
            slot.life.cured();
            clock.set_window(restart_window(REQUEST_TIMEOUT, 0));
        }
        if let Some(outcome) = outcome {
            slot.silent_probe = outcome.describe();
            slot.note_probe(outcome);
        }
        // The author's readiness checks decide by themselves.
        if is_alive && !self.decides(key, CheckKind::Readiness) {
            self.event(key, InstanceEvent::Passed);
        }
    }

    /// The last routed instance stays: a slow answer beats none.
    pub(super) fn consider_unready(&mut self, key: &SlotKey) {
        let now = self.now();
        let Some(slot) = self.slots.get(key) else { return };
        let is_due = slot.silence.as_ref().is_some_and(|clock| clock.is_unready_due(now));
        if !is_due || slot.life.phase() != InstancePhase::Ready || self.decides(key, CheckKind::Readiness) {
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
    pub(super) fn consider_restart(&mut self, key: &SlotKey) {
        let Some((cause, reason)) = self.verdict(key).filter(|_| !self.is_healing()) else { return };
        let ration = Arc::clone(&self.shared.liveness_restarts);
        if let Ok(permit) = Arc::clone(&ration).try_acquire_owned() {
            return self.restart_unhealthy(key, permit, cause, reason);
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
        let is_busy = self.is_healing();
        if let Some(slot) = self.slots.get_mut(key) {
            slot.ration_asked = false;
        }
        if let Some((cause, reason)) = self.verdict(key).filter(|_| !is_busy) {
            self.restart_unhealthy(key, permit, cause, reason);
        }
    }

    /// Whether an instance is being restarted for its health.
    fn is_healing(&self) -> bool {
        let now = self.now();
        self.slots.values().any(|slot| slot.is_healing(now))
    }

    /// Whether it should be restarted, and why: the author's checks have the first word.
    fn verdict(&self, key: &SlotKey) -> Option<(Cause, StopReason)> {
        verdict(self.slots.get(key)?, self.now())
    }

    fn decides(&self, key: &SlotKey, kind: CheckKind) -> bool {
        self.slots.get(key).and_then(|slot| slot.run.as_ref()).is_some_and(|run| run.checks.decide(kind))
    }

    fn restart_unhealthy(&mut self, key: &SlotKey, permit: OwnedSemaphorePermit, cause: Cause, reason: StopReason) {
        let now = self.now();
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.ration = Some(permit);
        slot.healing_since = Some(now);
        let run = slot.run.as_ref().map(|run| run.id.folder());
        tracing::warn!(run, %reason, "an instance is not well and is restarted");
        slot.verdict = Some(reason);
        self.event(key, InstanceEvent::Unhealthy(cause));
    }
}

/// Whether an instance should be restarted, and why.
pub(super) fn verdict(slot: &Slot, now: Mono) -> Option<(Cause, StopReason)> {
    if !matches!(slot.life.phase(), InstancePhase::Ready | InstancePhase::Unready) {
        return None;
    }
    let run = slot.run.as_ref()?;
    let watchdog = run.said.overdue(now).map(|seconds| (Cause::Watchdog, StopReason::Watchdog { seconds }));
    let by_author = watchdog.or_else(|| run.checks.liveness_failure(now, slot.life.uncured()));
    if by_author.is_some() || run.checks.decide(CheckKind::Liveness) {
        return by_author;
    }
    let clock = slot.silence.as_ref().filter(|clock| clock.is_restart_due())?;
    let seconds = clock.silent_for(now).as_secs();
    Some((Cause::Silent, StopReason::Silent { seconds, probe: slot.silent_probe.clone() }))
}
