//! From an event to the lifecycle's answer to what is done about it.

use super::{AppTask, Arc, InstanceEvent, RunEnd, Slot, SlotKey, State};
use crate::lifecycle::Effects;
use crate::limits::REQUEST_TIMEOUT;
use crate::silence::{SilenceClock, restart_window};
use crate::slot::Pending;
use model::ExitStatus;
use model::author::CheckKind;
use model::engine::LastEnd;

impl AppTask {
    /// Tells an instance what happened and does what follows.
    pub(super) fn event(&mut self, key: &SlotKey, event: InstanceEvent) {
        let now = self.now();
        let Some(slot) = self.slots.get_mut(key) else { return };
        let is_tick = matches!(event, InstanceEvent::Tick);
        let before = slot.life.state();
        let effects = slot.life.on_event(now, event);
        if effects.start {
            slot.pending = Some(Pending::default());
        }
        if !is_tick || slot.life.state() != before {
            self.touched.insert(key.clone());
        }
        self.carry_out(key, effects);
        let Some(slot) = self.slots.get(key) else { return };
        if slot.life.state() != before {
            self.entered(key, before);
        }
    }

    fn carry_out(&mut self, key: &SlotKey, effects: Effects) {
        let look_first = self.is_worth_a_look(key);
        let Some(run) = self.slots.get_mut(key).and_then(|slot| slot.run.as_mut()) else { return };
        let Some(live) = run.live.clone() else { return };
        let id = run.id.clone();
        if let Some(grace) = effects.stop {
            let grace = self.halt.as_ref().map_or(grace, |halt| halt.grace.min(grace));
            run.record.stopping = true;
            self.host.remember(self.number, &id.folder(), &run.record);
            self.jobs.spawn(self.subject(key, &id).stop(Arc::clone(&live), grace, look_first, effects.abort));
        }
        if effects.kill {
            self.jobs.spawn(self.subject(key, &id).kill(live, look_first));
        }
    }

    /// What changes with the state beside the lifecycle itself.
    fn entered(&mut self, key: &SlotKey, before: State) {
        let now = self.now();
        let unix_ms = self.host.unix_ms();
        let Some(slot) = self.slots.get_mut(key) else { return };
        let phase = slot.life.phase();
        if before.phase() != phase {
            slot.since_unix_ms = unix_ms;
            tracing::debug!(app = %self.target.app, instance = %key.process_type, ordinal = key.ordinal, version = %key.version, phase = phase.word(), "phase");
        }
        match slot.life.state() {
            State::Ready | State::Unready => {
                if matches!(before, State::Starting(_)) {
                    self.has_started(key);
                }
                self.note_readiness(key);
            }
            State::Starting(_) => slot.silence = None,
            State::Draining(..) | State::Stopping(_) => slot.silence = None,
            State::Backoff(due) => {
                let wait = i64::try_from(due.saturating_sub(now).as_millis()).unwrap_or(i64::MAX);
                slot.next_start_unix_ms = Some(unix_ms.saturating_add(wait));
                let_go(slot);
            }
            State::Down | State::Failed | State::Finished | State::Stuck(..) => {
                let_go(slot);
                slot.healing_since = None;
            }
        }
    }

    /// Its startup is over: it holds up nobody else, and its other checks begin.
    fn has_started(&mut self, key: &SlotKey) {
        let (now, unix_ms) = (self.now(), self.host.unix_ms());
        let Some(slot) = self.slots.get_mut(key) else { return };
        let_go(slot);
        slot.healing_since = None;
        if slot.needs_silence_clock() {
            slot.silence = Some(SilenceClock::new(now, restart_window(REQUEST_TIMEOUT, slot.life.uncured())));
            slot.silence_since = (false, unix_ms);
        }
        let Some(run) = &mut slot.run else { return };
        run.checks.startup_is_over(now);
        let took = now.saturating_sub(run.started);
        self.last_boots.insert((key.process_type.clone(), key.ordinal), took);
    }

    /// What the next server should know of it.
    fn note_readiness(&mut self, key: &SlotKey) {
        let (now, unix_ms) = (self.now(), self.host.unix_ms());
        let Some(slot) = self.slots.get_mut(key) else { return };
        let is_ready = slot.life.state() == State::Ready;
        let Some(run) = &mut slot.run else { return };
        let before = run.record.clone();
        if is_ready && run.record.ready_unix_ms.is_none() {
            run.record.ready_after_ms = Some(u64::try_from(now.saturating_sub(run.started).as_millis()).unwrap_or(u64::MAX));
            run.record.ready_unix_ms = Some(unix_ms);
        }
        run.record.not_ready = !is_ready && run.checks.decide(CheckKind::Readiness);
        if run.record != before {
            self.host.remember(self.number, &run.id.folder(), &run.record);
        }
    }

    /// Nothing of a run is alive any more.
    pub(super) fn gone(&mut self, key: &SlotKey, number: u64, end: &RunEnd, last_lines: Vec<String>) {
        let flight = self.flight_of(key, number, end);
        let Some(slot) = self.slots.get_mut(key) else { return };
        let Some(run) = slot.run.take_if(|run| run.id.number == number) else { return };
        let last_end = LastEnd { flight, ..slot.end_of(&run, end, last_lines) };
        slot.last_end = Some(last_end.clone());
        slot.silence = None;
        let by_itself = slot.life.cause().is_none() && !end.shim_lost;
        if let Some(port) = run.record.port {
            self.leases(|leases, _| leases.release(port), key);
        }
        let over = self.begin_tidying(key);
        self.jobs.spawn(self.subject(key, &run.id).keep_and_tidy(Some(last_end), over));
        let exit_zero = by_itself && end.status == ExitStatus::Code(0);
        let random = self.host.random();
        self.event(key, InstanceEvent::Gone { exit_zero, random });
    }
}

/// It holds up nobody else any longer: no start, no restart is under way.
fn let_go(slot: &mut Slot) {
    slot.start_permit = None;
    slot.ration = None;
    slot.restarting = false;
}
