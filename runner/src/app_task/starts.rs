//! Starting runs: in turn, on a free port, and never twice.

use super::{
    AppTask, Arc, BOOT_TIMEOUT, BOOT_TIMEOUT_OF_LAST, Done, Duration, InstanceEvent, LAUNCH_RETRY, LAUNCH_WAIT, Live, Mono, Slot, SlotKey,
    StartFailure, Startup, State, reconcile,
};
use crate::host::StartOrder;
use crate::limits::{PORT_RETRY, PORT_WAIT, START_PERMIT_HELD};
use crate::record::RunRecord;
use crate::slot::SlotRun;
use model::RunId;

impl AppTask {
    /// Starts an instance that waits for it, if it is its turn.
    pub(super) fn advance_start(&mut self, key: &SlotKey) {
        let now = self.now();
        if self.is_start_withdrawn(key) {
            return;
        }
        self.give_start_permit_back(key, now);
        if !self.is_due(key, now) || self.waits_for_leavings(key) || !self.is_alone(key) || !self.has_start_permit(key) {
            return;
        }
        let port = if key.process_type.is_web() {
            let host = Arc::clone(&self.host);
            match self.leases(|leases, slot| leases.take(slot, &|port| host.port_is_free(port)), key) {
                Ok(port) => Some(port),
                Err(why) => return self.no_port(key, now, &why.to_string()),
            }
        } else {
            None
        };
        self.start_now(key, now, port);
    }

    /// A start that was overtaken by a stop before it began.
    fn is_start_withdrawn(&mut self, key: &SlotKey) -> bool {
        let Some(slot) = self.slots.get_mut(key) else { return true };
        if slot.pending.is_none() || slot.run.is_some() || matches!(slot.life.state(), State::Starting(_)) {
            return false;
        }
        slot.pending = None;
        let random = self.host.random();
        self.event(key, InstanceEvent::StartFailed { random });
        true
    }

    fn give_start_permit_back(&mut self, key: &SlotKey, now: Mono) {
        if let Some(slot) = self.slots.get_mut(key)
            && slot.start_permit.as_ref().is_some_and(|(_, until)| now >= *until)
        {
            slot.start_permit = None;
        }
    }

    fn is_due(&mut self, key: &SlotKey, now: Mono) -> bool {
        let Some(pending) = self.slots.get_mut(key).and_then(|slot| slot.pending.as_mut()) else { return false };
        if pending.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        pending.retry_at = None;
        true
    }

    /// No other run of it is alive: neither an unclaimed one, nor one of another release
    /// if its type must not overlap.
    fn is_alone(&self, key: &SlotKey) -> bool {
        let same = |run: &RunId| run.instance.process_type == key.process_type && run.instance.ordinal == key.ordinal;
        let overlaps = reconcile::overlaps(&self.target, &key.process_type);
        let stray = self.strays.iter().any(|run| same(run) && (!overlaps || run.version == key.version));
        let other = !overlaps && self.slots.iter().any(|(other, slot)| other != key && slot.run.as_ref().is_some_and(|run| same(&run.id)));
        let own = self.slots.get(key).is_some_and(|slot| slot.run.is_some());
        !stray && !other && !own
    }

    fn has_start_permit(&mut self, key: &SlotKey) -> bool {
        let starts = Arc::clone(&self.shared.starts);
        let Some(pending) = self.slots.get_mut(key).and_then(|slot| slot.pending.as_mut()) else { return false };
        if pending.permit.is_some() {
            return true;
        }
        if let Ok(permit) = Arc::clone(&starts).try_acquire_owned() {
            pending.permit = Some(permit);
            return true;
        }
        if !pending.permit_asked {
            pending.permit_asked = true;
            let key = key.clone();
            self.jobs.spawn(async move {
                match starts.acquire_owned().await {
                    Ok(permit) => Done::MayStart(key, permit),
                    Err(_) => Done::Nothing,
                }
            });
        }
        false
    }

    fn no_port(&mut self, key: &SlotKey, now: Mono, why: &str) {
        let Some(pending) = self.slots.get_mut(key).and_then(|slot| slot.pending.as_mut()) else { return };
        pending.permit = None;
        pending.permit_asked = false;
        pending.retry_at = Some(now + PORT_RETRY);
        let since = *pending.no_port_since.get_or_insert(now);
        if now >= since + PORT_WAIT {
            let run = self.new_run(key);
            self.start_failed(key, run, format!("no port for it: {why}"));
        }
    }

    fn new_run(&self, key: &SlotKey) -> RunId {
        let number = self.host.next_run_number(self.number);
        RunId { instance: reconcile::instance(&self.target, key), version: key.version, number }
    }

    fn start_now(&mut self, key: &SlotKey, now: Mono, port: Option<u16>) {
        let run = self.new_run(key);
        let Some(release) = self.target.releases.get(&key.version).cloned().map(Arc::new) else {
            return self.start_failed(key, run, format!("release {} is no more", key.version));
        };
        let last_boot = self.last_boots.get(&(key.process_type.clone(), key.ordinal)).copied().unwrap_or_default();
        let Some(slot) = self.slots.get_mut(key) else { return };
        let permit = slot.pending.as_mut().and_then(|pending| pending.permit.take());
        slot.start_permit = permit.map(|permit| (permit, now + START_PERMIT_HELD));
        let own = self.target.limits.get(&key.process_type).and_then(|limits| limits.boot_timeout_s);
        let boot_timeout = own.map_or(BOOT_TIMEOUT.max(last_boot * BOOT_TIMEOUT_OF_LAST), |s| Duration::from_secs(s.into()));
        slot.set_boot(&release.manifest.app_json, &key.process_type, boot_timeout);
        let record = RunRecord { port, restarts: slot.life.restarts(), restart_seen: slot.restart_seen, ..RunRecord::default() };
        slot.run = Some(SlotRun::new(run.clone(), record, now));
        let order = StartOrder { number: self.number, run: run.clone(), port, release };
        self.jobs.spawn(self.subject(key, &run).start(order));
    }

    pub(super) fn started(&mut self, key: &SlotKey, number: u64, result: Result<Live, StartFailure>) {
        let now = self.now();
        match result {
            Ok(live) => {
                let Some(slot) = self.slots.get_mut(key) else { return };
                let Some(run) = slot.run_mut(number) else { return };
                run.live = Some(Arc::clone(&live));
                run.started = now;
                run.startup = Startup::new(now);
                let (id, record) = (run.id.clone(), run.record.clone());
                slot.pending = None;
                if record.port.is_none() {
                    // Nobody can see how long it loads; a hundred of them start as fast as they can.
                    slot.start_permit = None;
                }
                self.begin_checks(key, now);
                self.host.remember(self.number, &id.folder(), &record);
                self.record_run(key, &id, &live, record.port, true);
                self.jobs.spawn(self.subject(key, &id).until_gone(Arc::clone(&live)));
                self.jobs.spawn(self.subject(key, &id).notified(live, 0));
                self.event(key, InstanceEvent::Started);
            }
            Err(failure) => {
                let Some(slot) = self.slots.get_mut(key) else { return };
                let Some(run) = slot.run.take_if(|run| run.id.number == number) else { return };
                if let Some(port) = run.record.port {
                    self.leases(|leases, _| leases.release(port), key);
                }
                match failure {
                    StartFailure::Later => self.start_later(key, now, run.id),
                    StartFailure::Failed(detail) => self.start_failed(key, run.id, detail),
                }
            }
        }
    }

    fn start_later(&mut self, key: &SlotKey, now: Mono, run: RunId) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.start_permit = None;
        let pending = slot.pending.get_or_insert_default();
        pending.permit_asked = false;
        pending.retry_at = Some(now + LAUNCH_RETRY);
        let since = *pending.launch_away_since.get_or_insert(now);
        if now >= since + LAUNCH_WAIT {
            let away = format!("launch, the part of paas that starts processes, was away for {} s", LAUNCH_WAIT.as_secs());
            self.start_failed(key, run, format!("{away}; if it stays away, restart the paas server: apps go on meanwhile"));
        }
    }

    fn start_failed(&mut self, key: &SlotKey, run: RunId, detail: String) {
        let random = self.host.random();
        let at = self.host.unix_ms();
        if let Some(slot) = self.slots.get_mut(key) {
            tracing::warn!(run = %run.folder(), detail, "an instance could not be started");
            slot.pending = None;
            slot.start_permit = None;
            let end = Slot::spawn_failed(run, detail, at);
            slot.last_end = Some(end.clone());
            self.jobs.spawn(self.subject(key, &end.run.clone()).keep(end));
        }
        self.event(key, InstanceEvent::StartFailed { random });
    }
}
