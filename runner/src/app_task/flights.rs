//! The flight recorder's and the port doctor's part in the app's task.

use super::{AppTask, Live, RunEnd, SlotKey};
use crate::flight_recorder::{Flight, is_out_of_memory};
use crate::lifecycle::Cause;
use crate::port_doctor;
use model::engine::LastEnd;
use model::{FlightRecord, PortHint, RunId};

impl AppTask {
    /// A run lives: it is recorded, and looked at if it does not bind its port.
    pub(super) fn record_run(&mut self, key: &SlotKey, run: &RunId, live: &Live, port: Option<u16>, is_starting: bool) {
        let manifest = self.target.releases.get(&key.version).map(|release| &release.manifest);
        let command = manifest.and_then(|manifest| manifest.commands.get(&key.process_type)).map_or("", String::as_str);
        let fix = port_doctor::fix(command, manifest.map_or("", |manifest| &manifest.buildpack));
        self.recorder.begin(Flight {
            run: run.clone(),
            shim_pid: live.shim_pid(),
            port,
            fix,
            oom_kills: self.host.oom_kills(),
            record: FlightRecord::default(),
        });
        if port.is_some() && is_starting {
            self.jobs.spawn(self.subject(key, run).diagnose(live.clone()));
        }
    }

    /// The port doctor found something.
    pub(super) fn diagnosed(&mut self, key: &SlotKey, number: u64, hint: PortHint) {
        let Some(run) = self.slots.get_mut(key).and_then(|slot| slot.run_mut(number)) else { return };
        run.record.hint = Some((hint.found, hint.fix));
        self.host.remember(self.number, &run.id.folder(), &run.record);
    }

    /// Whether a stop that is about to be sent should be preceded by a look.
    pub(super) fn is_worth_a_look(&self, key: &SlotKey) -> bool {
        let cause = self.slots.get(key).and_then(|slot| slot.life.cause());
        self.halt.is_none() && cause.is_some_and(|cause| cause != Cause::Asked)
    }

    /// What was recorded of a run that is gone.
    pub(super) fn flight_of(&self, key: &SlotKey, number: u64, end: &RunEnd) -> FlightRecord {
        let Some(flight) = self.recorder.end(number) else { return FlightRecord::default() };
        let by_itself = self.slots.get(key).is_some_and(|slot| slot.life.cause().is_none()) && !end.stop_timed_out;
        let out_of_memory = is_out_of_memory(end.status, by_itself, flight.oom_kills, self.host.oom_kills());
        FlightRecord { out_of_memory, ..flight.record }
    }

    /// Keeps the end of a run that ended while no server looked, then tidies.
    pub(super) fn keep_found_end(&mut self, key: &SlotKey, run: &RunId, end: Option<LastEnd>, since_unix_ms: i64) {
        let subject = self.subject(key, run);
        let over = self.begin_tidying(key);
        self.jobs.spawn(async move {
            let mut end = end;
            if let Some(end) = &mut end {
                end.last_lines = subject.host.last_lines(subject.number, subject.run.clone(), since_unix_ms).await;
            }
            subject.keep_and_tidy(end, over).await
        });
    }
}
