//! Runs that an earlier server left: each is claimed by its instance, exactly once, with
//! the phase it was in and fresh windows.

use std::time::Duration;

use super::{AppTask, Arc, Done, InstanceEvent, Live, SlotKey};
use crate::host::{Found, FoundState};
use crate::instance_task;
use crate::lifecycle::AdoptedPhase;
use crate::limits::{BOOT_TIMEOUT, REQUEST_TIMEOUT};
use crate::record::RunRecord;
use crate::runs::RunEnd;
use crate::silence::{SilenceClock, restart_window};
use crate::slot::{Slot, SlotRun};
use model::{FlightRecord, PortHint, RunId, StopReason};

impl AppTask {
    pub(super) fn adopt(&mut self, mut found: Vec<Found>) {
        // The newest run of an instance is the one that counts.
        let number = |found: &Found| RunId::from_folder(&self.target.app, &found.folder).map(|run| run.number);
        found.sort_by_key(|found| std::cmp::Reverse(number(found)));
        for Found { folder, record, state } in found {
            let Some(run) = RunId::from_folder(&self.target.app, &folder) else { continue };
            let key = SlotKey { version: run.version, process_type: run.instance.process_type.clone(), ordinal: run.instance.ordinal };
            match state {
                FoundState::Live(live) => self.adopt_live(&key, &run, live, record),
                FoundState::Ended(end) => self.adopt_ended(&key, &run, record, &end),
            }
        }
    }

    fn adopt_live(&mut self, key: &SlotKey, run: &RunId, live: Live, record: Option<RunRecord>) {
        if self.slots.get(key).is_some_and(|slot| slot.run.is_some()) {
            return self.kill_stray(key, run, live);
        }
        let now = self.now();
        let unix_ms = self.host.unix_ms();
        let web = key.process_type.is_web();
        let is_lost = record.is_none() || (web && record.as_ref().is_some_and(|record| record.port.is_none()));
        let record = record.unwrap_or_default();
        let phase = match () {
            // Nobody knows its port: it cannot serve.
            () if record.stopping || (web && is_lost) => AdoptedPhase::Stopping,
            () if record.ready_unix_ms.is_some() && record.not_ready => AdoptedPhase::Unready,
            () if record.ready_unix_ms.is_some() => AdoptedPhase::Ready,
            () => AdoptedPhase::Starting,
        };
        if let Some(port) = record.port {
            self.leases(|leases, slot| leases.hold(slot, port), key);
        }
        if let Some(took) = record.ready_after_ms {
            self.last_boots.insert((key.process_type.clone(), key.ordinal), Duration::from_millis(took));
        }
        let port = record.port;
        let age = Duration::from_millis(u64::try_from(unix_ms - live.started_unix_ms()).unwrap_or(0));
        let slot = self.slots.entry(key.clone()).or_insert_with(|| Slot::new(web, record.restart_seen, unix_ms));
        slot.wanted = true;
        slot.restart_seen = record.restart_seen;
        slot.life.set_restarts(record.restarts);
        let since_unix_ms = record.ready_unix_ms.unwrap_or_else(|| live.started_unix_ms());
        let mut adopted = SlotRun::new(run.clone(), record, now);
        adopted.live = Some(Arc::clone(&live));
        adopted.startup.next = now;
        adopted.started = now.saturating_sub(age);
        slot.run = Some(adopted);
        if let Some(release) = self.target.releases.get(&key.version) {
            slot.set_boot(&release.manifest.app_json, &key.process_type, BOOT_TIMEOUT);
        }
        self.begin_checks(key, now);
        let Some(slot) = self.slots.get_mut(key) else { return };
        if let Some(run) = slot.run.as_mut().filter(|_| phase == AdoptedPhase::Unready) {
            run.checks.resume_unready(now);
        }
        if slot.needs_silence_clock() && matches!(phase, AdoptedPhase::Ready | AdoptedPhase::Unready) {
            slot.silence = Some(SilenceClock::adopted(now, restart_window(REQUEST_TIMEOUT, 0)));
        }
        self.record_run(key, run, &live, port, phase == AdoptedPhase::Starting);
        self.jobs.spawn(self.subject(key, run).until_gone(Arc::clone(&live)));
        self.jobs.spawn(self.subject(key, run).notified(live, 0));
        self.event(key, InstanceEvent::Adopted { phase, age });
        if let Some(slot) = self.slots.get_mut(key) {
            slot.since_unix_ms = since_unix_ms;
        }
    }

    fn adopt_ended(&mut self, key: &SlotKey, run: &RunId, record: Option<RunRecord>, end: &RunEnd) {
        let unix_ms = self.host.unix_ms();
        let record = record.unwrap_or_default();
        let slot = self.slots.entry(key.clone()).or_insert_with(|| Slot::new(key.process_type.is_web(), record.restart_seen, unix_ms));
        let is_newest = slot.last_end.is_none();
        let started = record.ready_unix_ms.map(|ready| ready - i64::try_from(record.ready_after_ms.unwrap_or(0)).unwrap_or(0));
        let reason = match () {
            () if end.rebooted => StopReason::Reboot,
            () if record.stopping => StopReason::Asked,
            () if end.shim_lost => StopReason::ShimLost,
            () => StopReason::Exited,
        };
        let last_end = model::engine::LastEnd {
            run: run.clone(),
            status: end.status,
            reason,
            at_unix_ms: end.ended_unix_ms,
            ran_ms: started.and_then(|started| u64::try_from(end.ended_unix_ms - started).ok()).unwrap_or(0),
            last_lines: Vec::new(),
            flight: FlightRecord { hint: record.hint.map(|(found, fix)| PortHint { found, fix }), ..FlightRecord::default() },
        };
        if is_newest {
            slot.last_end = Some(last_end.clone());
        }
        self.keep_found_end(key, run, Some(last_end), started.unwrap_or(0));
    }

    /// A second live run of the same instance: there must be only one.
    fn kill_stray(&mut self, key: &SlotKey, run: &RunId, live: Live) {
        tracing::error!(run = %run.folder(), "a second run of an instance is alive and is killed");
        self.strays.push(run.clone());
        self.jobs.spawn(instance_task::kill(Arc::clone(&live), run.clone()));
        let subject = self.subject(key, run);
        let number = run.number;
        self.jobs.spawn(async move {
            live.gone().await;
            subject.tidy(None).await;
            Done::StrayGone(number)
        });
    }
}
