//! What the app's task keeps of one instance of one release.

use std::time::Duration;

use model::engine::{InstanceObserved, InstancePhase, LastEnd};
use model::{ExitStatus, InstanceId, RunId, StopReason};
use tokio::sync::OwnedSemaphorePermit;

use crate::checks::ProbeOutcome;
use crate::host::Live;
use crate::lifecycle::{Cause, Lifecycle, State};
use crate::limits::{BOOT_TIMEOUT, CANDIDATE_5XX_PATIENCE, STARTUP_PROBE_APART_MAX, STARTUP_PROBE_FIRST, STOP_GRACE};
use crate::reconcile::{Known, SlotKey};
use crate::record::RunRecord;
use crate::runs::RunEnd;
use crate::silence::{Mono, SilenceClock};

/// An instance of a release.
pub(crate) struct Slot {
    pub(crate) life: Lifecycle,
    pub(crate) wanted: bool,
    pub(crate) restart_seen: u64,
    pub(crate) restarting: bool,
    pub(crate) pending: Option<Pending>,
    pub(crate) run: Option<SlotRun>,
    pub(crate) silence: Option<SilenceClock>,
    pub(crate) silent: Option<(u64, String)>,
    pub(crate) start_permit: Option<(OwnedSemaphorePermit, Mono)>,
    pub(crate) ration: Option<OwnedSemaphorePermit>,
    pub(crate) ration_asked: bool,
    pub(crate) boot_timeout: Duration,
    pub(crate) last_end: Option<LastEnd>,
    pub(crate) since_unix_ms: i64,
    pub(crate) next_start_unix_ms: Option<i64>,
}

/// A start that waits for its turn, a port or launch.
#[derive(Default)]
pub(crate) struct Pending {
    /// The next try by the clock; without one each event is a try.
    pub(crate) retry_at: Option<Mono>,
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    pub(crate) permit_asked: bool,
    pub(crate) no_port_since: Option<Mono>,
    pub(crate) launch_away_since: Option<Mono>,
}

/// The run of an instance: being started, alive or not gone yet.
pub(crate) struct SlotRun {
    pub(crate) id: RunId,
    pub(crate) live: Option<Live>,
    pub(crate) record: RunRecord,
    pub(crate) started: Mono,
    pub(crate) startup: Startup,
}

/// Startup probes: soon at first, then further apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Startup {
    pub(crate) next: Mono,
    pub(crate) in_flight: bool,
    /// When it first answered 5xx.
    ill_since: Option<Mono>,
    apart: Duration,
}

impl Startup {
    pub(crate) fn new(now: Mono) -> Self {
        Self { next: now + STARTUP_PROBE_FIRST, in_flight: false, ill_since: None, apart: STARTUP_PROBE_FIRST }
    }

    /// Whether a candidate's answer should be asked for again: a 5xx may be the last
    /// breath of its start.
    pub(crate) fn doubts(&mut self, now: Mono, status: u16) -> bool {
        status >= 500 && now < *self.ill_since.get_or_insert(now) + CANDIDATE_5XX_PATIENCE
    }

    pub(crate) fn failed(&mut self, now: Mono) {
        self.in_flight = false;
        self.apart = (self.apart * 2).min(STARTUP_PROBE_APART_MAX);
        self.next = now + self.apart;
    }
}

impl Slot {
    pub(crate) fn new(web: bool, restart_seen: u64, unix_ms: i64) -> Self {
        Self {
            life: Lifecycle::new(web, BOOT_TIMEOUT),
            wanted: false,
            restart_seen,
            restarting: false,
            pending: None,
            run: None,
            silence: None,
            silent: None,
            start_permit: None,
            ration: None,
            ration_asked: false,
            boot_timeout: BOOT_TIMEOUT,
            last_end: None,
            since_unix_ms: unix_ms,
            next_start_unix_ms: None,
        }
    }

    pub(crate) fn known(&self) -> Known {
        Known {
            wanted: self.wanted,
            occupied: self.life.is_occupied(),
            phase: self.life.phase(),
            restart_seen: self.restart_seen,
            restarting: self.restarting,
        }
    }

    /// The run with this number, if it is still this instance's.
    pub(crate) fn run_mut(&mut self, number: u64) -> Option<&mut SlotRun> {
        self.run.as_mut().filter(|run| run.id.number == number)
    }

    pub(crate) fn port(&self) -> Option<u16> {
        self.run.as_ref().and_then(|run| run.record.port)
    }

    /// Notes what a probe brought; true if that changed what people see.
    pub(crate) fn note_probe(&mut self, outcome: &ProbeOutcome) {
        let Some(run) = &mut self.run else { return };
        if let ProbeOutcome::Status(status) = outcome {
            run.record.check = Some(outcome.describe());
            run.record.probe_status = Some(*status);
        }
    }

    /// When this instance has something to do by itself.
    pub(crate) fn next_wake(&self) -> Option<Mono> {
        let live = self.run.as_ref().filter(|run| run.live.is_some());
        let probing = matches!(self.life.state(), State::Starting(_)) && self.port().is_some();
        let startup = live.filter(|run| probing && !run.startup.in_flight).map(|run| run.startup.next);
        let silence = self.silence.as_ref().and_then(SilenceClock::next_due);
        let permit = self.start_permit.as_ref().map(|(_, until)| *until);
        let pending = self.pending.as_ref().and_then(|pending| pending.retry_at);
        [self.life.next_timer(), startup, silence, permit, pending].into_iter().flatten().min()
    }

    /// How the run ended, for `ps:why`. Asked before the lifecycle hears of the end.
    pub(crate) fn end_of(&self, run: &SlotRun, end: &RunEnd, last_lines: Vec<String>) -> LastEnd {
        let reason = match self.life.cause() {
            None if end.shim_lost => StopReason::ShimLost,
            None => StopReason::Exited,
            Some(Cause::Asked) if end.stop_timed_out => StopReason::StopTimeout { seconds: STOP_GRACE.as_secs() },
            Some(Cause::Asked) => StopReason::Asked,
            Some(Cause::BootTimeout) => StopReason::BootTimeout { seconds: self.boot_timeout.as_secs() },
            Some(Cause::Silent | Cause::Unwell | Cause::Watchdog | Cause::StartupFailed | Cause::NeverReady) => {
                let (seconds, probe) = self.silent.clone().unwrap_or_default();
                StopReason::Silent { seconds, probe }
            }
        };
        let started = run.live.as_ref().map_or(end.ended_unix_ms, |live| live.started_unix_ms());
        LastEnd {
            run: run.id.clone(),
            status: end.status,
            reason,
            at_unix_ms: end.ended_unix_ms,
            ran_ms: u64::try_from(end.ended_unix_ms - started).unwrap_or(0),
            last_lines,
        }
    }

    pub(crate) fn spawn_failed(run: RunId, detail: String, at_unix_ms: i64) -> LastEnd {
        LastEnd {
            run,
            status: ExitStatus::Unknown,
            reason: StopReason::SpawnFailed { detail },
            at_unix_ms,
            ran_ms: 0,
            last_lines: Vec::new(),
        }
    }

    /// The instance as it is seen from above.
    pub(crate) fn observed(&self, instance: InstanceId, key: &SlotKey) -> InstanceObserved {
        let record = self.run.as_ref().map(|run| &run.record);
        let phase = self.life.phase();
        InstanceObserved {
            instance: instance.clone(),
            version: key.version,
            phase,
            // A run keeps the name it was started with; people know the app by its present one.
            run: self.run.as_ref().map(|run| RunId { instance, ..run.id.clone() }),
            port: self.port(),
            shim_pid: self.run.as_ref().and_then(|run| run.live.as_ref()).and_then(|live| live.shim_pid()),
            since_unix_ms: self.since_unix_ms,
            ready_after_ms: record.and_then(|record| record.ready_after_ms),
            check: record.and_then(|record| record.check.clone()),
            probe_status: record.and_then(|record| record.probe_status),
            checks: Vec::new(),
            status: None,
            restarts: self.life.restarts(),
            last_end: self.last_end.clone(),
            next_start_unix_ms: self.next_start_unix_ms.filter(|_| phase == InstancePhase::Backoff),
        }
    }
}
