//! The flight recorder: what is noted of each live run of an app, and what is kept of
//! those that ended.
//!
//! ```text
//! start, probes, looks, hints ─▶ Recorder (memory, one per app)
//! end of a run                ─▶ FlightRecord ─▶ runs/N/ends-web.1.json, the last 5
//! ```

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::engine::LastEnd;
use model::{ExitStatus, FlightRecord, PortHint, ProbeSeen, RunId, StopReason};

use crate::limits::PROBES_KEPT;
use crate::run_look::RunLook;

pub(crate) mod kept;
mod taking;

/// What is known of the live runs of one app.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<BTreeMap<u64, Flight>>);

/// A live run.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    pub(crate) run: RunId,
    pub(crate) shim_pid: Option<u32>,
    pub(crate) port: Option<u16>,
    /// What its author should do if nothing answers on its port.
    pub(crate) fix: String,
    /// How often the kernel had killed for want of memory when it started.
    pub(crate) oom_kills: Option<u64>,
    pub(crate) record: FlightRecord,
}

impl Recorder {
    /// A run lives from now on.
    pub(crate) fn begin(&self, flight: Flight) {
        self.flights().insert(flight.run.number, flight);
    }

    /// A probe was answered, or was not.
    pub(crate) fn probed(&self, run: u64, probe: ProbeSeen) {
        if let Some(flight) = self.flights().get_mut(&run) {
            let probes = &mut flight.record.probes;
            if probes.len() >= PROBES_KEPT {
                probes.remove(0);
            }
            probes.push(probe);
        }
    }

    /// Its processes were looked at.
    pub(crate) fn looked(&self, run: u64, look: RunLook, at_unix_ms: i64) {
        if let Some(flight) = self.flights().get_mut(&run).filter(|_| look.processes > 0) {
            let record = &mut flight.record;
            record.processes = look.processes;
            record.memory = look.memory;
            record.open_files = look.open_files;
            record.threads = look.threads;
            record.peers = look.peers;
            record.looked_unix_ms = Some(at_unix_ms);
        }
    }

    /// The port doctor found something.
    pub(crate) fn hint(&self, run: u64, hint: PortHint) {
        if let Some(flight) = self.flights().get_mut(&run) {
            flight.record.hint = Some(hint);
        }
    }

    /// A live run.
    pub(crate) fn of(&self, run: u64) -> Option<Flight> {
        self.flights().get(&run).cloned()
    }

    /// The live runs of the app but this one.
    pub(crate) fn others(&self, run: u64) -> Vec<(RunId, u32)> {
        let flights = self.flights();
        let others = flights.values().filter(|flight| flight.run.number != run);
        others.filter_map(|flight| Some((flight.run.clone(), flight.shim_pid?))).collect()
    }

    /// The ports of the other live runs, one entry for each of them.
    pub(crate) fn ports_of_others(&self, run: u64) -> Vec<Option<u16>> {
        self.flights().values().filter(|flight| flight.run.number != run).map(|flight| flight.port).collect()
    }

    /// A run is gone: what was noted of it.
    pub(crate) fn end(&self, run: u64) -> Option<Flight> {
        self.flights().remove(&run)
    }

    fn flights(&self) -> MutexGuard<'_, BTreeMap<u64, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a SIGKILL that nobody of ours sent came with the kernel's want of memory:
/// its count of such kills has grown while the run lived.
pub(crate) fn is_out_of_memory(status: ExitStatus, by_itself: bool, before: Option<u64>, now: Option<u64>) -> bool {
    let is_killed = matches!(status, ExitStatus::Signal { signal: 9, .. });
    is_killed && by_itself && before.zip(now).is_some_and(|(before, now)| now > before)
}

/// Whether an end is worth keeping: one that was asked for tells nothing.
pub(crate) fn is_kept(end: &LastEnd) -> bool {
    end.reason != StopReason::Asked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(number: u64) -> Flight {
        let run = RunId::from_folder(&"hello".parse().expect("app"), &format!("web.1-v7-{number}")).expect("run");
        Flight { run, shim_pid: Some(1), port: None, fix: String::new(), oom_kills: Some(3), record: FlightRecord::default() }
    }

    #[test]
    fn the_last_five_probes_and_the_last_look_are_kept() {
        let recorder = Recorder::default();
        recorder.begin(flight(1));
        recorder.begin(flight(2));
        for took_ms in 0..9 {
            recorder.probed(1, ProbeSeen { at_unix_ms: 0, text: "GET / -> 200".to_owned(), took_ms });
        }
        recorder.looked(1, RunLook { processes: 2, open_files: Some(9), ..RunLook::default() }, 77);
        recorder.looked(1, RunLook::default(), 78);
        assert_eq!(recorder.others(1).len(), 1);
        let record = recorder.end(1).expect("flight").record;
        assert_eq!(record.probes.iter().map(|probe| probe.took_ms).collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
        assert_eq!((record.processes, record.open_files, record.looked_unix_ms), (2, Some(9), Some(77)));
        assert!(recorder.end(1).is_none());
    }

    #[test]
    fn only_a_kill_that_nobody_sent_while_memory_ran_out_counts_as_that() {
        let killed = ExitStatus::Signal { signal: 9, core: false };
        assert!(is_out_of_memory(killed, true, Some(1), Some(2)));
        for (status, by_itself, now) in
            [(killed, true, Some(1)), (killed, false, Some(2)), (killed, true, None), (ExitStatus::Code(1), true, Some(2))]
        {
            assert!(!is_out_of_memory(status, by_itself, Some(1), now));
        }
    }
}
