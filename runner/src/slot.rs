//! What the app's task keeps of one instance of one release.

use std::time::Duration;

use model::author::{AppJson, CheckKind};
use model::engine::{CheckObserved, CheckState, InstanceObserved, InstancePhase, LastEnd};
use model::{ExitStatus, FlightRecord, InstanceId, PortHint, ProcessType, RunId, StopReason};
use tokio::sync::OwnedSemaphorePermit;

use crate::checks::ProbeOutcome;
use crate::host::Live;
use crate::lifecycle::{Cause, Lifecycle, State};
use crate::limits::{
    BOOT_TIMEOUT, CANDIDATE_5XX_PATIENCE, HEALING_MAX, PROBE_EVERY_WHEN_IDLE, RESTART_AFTER_MIN, STARTUP_PROBE_APART_MAX,
    STARTUP_PROBE_FIRST, UNREADY_AFTER,
};
use crate::notified::Said;
use crate::reconcile::{Known, SlotKey};
use crate::record::RunRecord;
use crate::run_checks::{Boot, RunChecks, stays_up_at};
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
    /// The last probe of a silent instance, for people.
    pub(crate) silent_probe: String,
    /// Since when the silence clock has been of its present mind, and which.
    pub(crate) silence_since: (bool, i64),
    /// Why it is being restarted for its health.
    pub(crate) verdict: Option<StopReason>,
    pub(crate) start_permit: Option<(OwnedSemaphorePermit, Mono)>,
    /// Since when it is being restarted for its health: no other one of the app is then.
    pub(crate) healing_since: Option<Mono>,
    pub(crate) ration: Option<OwnedSemaphorePermit>,
    pub(crate) ration_asked: bool,
    /// How its start is judged.
    pub(crate) boot: Boot,
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
    /// The author's checks.
    pub(crate) checks: RunChecks,
    /// Without a port and without startup checks: it has started once it stayed up, and
    /// only then its readiness counts.
    pub(crate) stays_up: bool,
    /// What it says of itself.
    pub(crate) said: Said,
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

impl SlotRun {
    /// A run that is being started; its checks begin when it lives.
    pub(crate) fn new(id: RunId, record: RunRecord, now: Mono) -> Self {
        Self {
            id,
            live: None,
            record,
            started: now,
            startup: Startup::new(now),
            checks: RunChecks::default(),
            stays_up: false,
            said: Said::default(),
        }
    }
}

impl Slot {
    /// How its next start is judged.
    pub(crate) fn set_boot(&mut self, app: &AppJson, process_type: &ProcessType, default: Duration) {
        let boot = Boot::of(app, process_type, default);
        self.boot = boot;
        self.life.set_boot(boot.checked, boot.timeout, boot.ready_timeout);
    }

    pub(crate) fn new(web: bool, restart_seen: u64, unix_ms: i64) -> Self {
        Self {
            life: Lifecycle::new(web, BOOT_TIMEOUT),
            wanted: false,
            restart_seen,
            restarting: false,
            pending: None,
            run: None,
            silence: None,
            silent_probe: String::new(),
            silence_since: (false, unix_ms),
            verdict: None,
            start_permit: None,
            healing_since: None,
            ration: None,
            ration_asked: false,
            boot: Boot { checked: web, by_author: false, timeout: BOOT_TIMEOUT, ready_timeout: BOOT_TIMEOUT },
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

    /// Whether another instance of its app has to wait with a restart for its health. One
    /// that does not come up does not keep the others from it for ever.
    pub(crate) fn is_healing(&self, now: Mono) -> bool {
        self.healing_since.is_some_and(|since| now < since + HEALING_MAX)
    }

    /// Whether the default check has a say: over what the author's checks do not decide.
    pub(crate) fn needs_silence_clock(&self) -> bool {
        let Some(run) = &self.run else { return false };
        run.record.port.is_some() && !(run.checks.decide(CheckKind::Liveness) && run.checks.decide(CheckKind::Readiness))
    }

    /// Whether it waits to be started for something that no timer and no turn brings.
    pub(crate) fn is_held_up(&self) -> bool {
        let waits_for_its_turn = |pending: &Pending| pending.permit_asked && pending.permit.is_none();
        self.pending.as_ref().is_some_and(|pending| pending.retry_at.is_none() && !waits_for_its_turn(pending))
    }

    /// When this instance has something to do by itself.
    pub(crate) fn next_wake(&self, now: Mono) -> Option<Mono> {
        let permit = self.start_permit.as_ref().map(|(_, until)| *until);
        let pending = self.pending.as_ref().and_then(|pending| pending.retry_at);
        let silence = self.silence.as_ref().and_then(SilenceClock::next_due);
        let live = self.run.as_ref().filter(|run| run.live.is_some()).and_then(|run| self.next_of_run(run, now));
        [self.life.next_timer(), silence, permit, pending, live].into_iter().flatten().min()
    }

    fn next_of_run(&self, run: &SlotRun, now: Mono) -> Option<Mono> {
        match self.life.state() {
            State::Starting(_) => {
                let default = run.record.port.is_some() && !self.boot.by_author && !run.startup.in_flight;
                let stayed_up = run.stays_up.then(|| stays_up_at(run.started));
                [default.then_some(run.startup.next), stayed_up, run.checks.next_due(true)].into_iter().flatten().min()
            }
            State::Ready | State::Unready => {
                let liveness = run.checks.liveness_due(now, self.life.uncured());
                [run.checks.next_due(false), liveness, run.said.next_due()].into_iter().flatten().min()
            }
            _ => None,
        }
    }

    /// How the run ended, for `ps:why`. Asked before the lifecycle hears of the end.
    pub(crate) fn end_of(&self, run: &SlotRun, end: &RunEnd, last_lines: Vec<String>) -> LastEnd {
        let reason = match self.life.cause() {
            None if end.shim_lost => StopReason::ShimLost,
            None => StopReason::Exited,
            Some(Cause::Asked) if end.stop_timed_out => StopReason::StopTimeout { seconds: self.life.stop_grace().as_secs() },
            Some(Cause::Asked) => StopReason::Asked,
            Some(Cause::BootTimeout) => StopReason::BootTimeout { seconds: self.boot.timeout.as_secs() },
            Some(Cause::NeverReady) => run.checks.readiness_failure().unwrap_or(StopReason::Exited),
            Some(Cause::Silent | Cause::Unwell | Cause::Watchdog | Cause::StartupFailed) => {
                self.verdict.clone().unwrap_or(StopReason::Exited)
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
            flight: FlightRecord::default(),
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
            flight: FlightRecord::default(),
        }
    }

    /// All that is checked of it, the default and the watchdog too.
    fn checks_observed(&self) -> Vec<CheckObserved> {
        let Some(run) = &self.run else { return Vec::new() };
        let authors = run.checks.observed();
        let (failing, since_unix_ms) = self.silence_since;
        let default = self.silence.as_ref().map(|_| CheckObserved {
            check: "GET /".to_owned(),
            kind: None,
            rule: default_rule(run.checks.decide(CheckKind::Readiness), run.checks.decide(CheckKind::Liveness)),
            warn: false,
            state: if failing { CheckState::Failing } else { CheckState::Passing },
            since_unix_ms,
            answer: run
                .record
                .probe_status
                .filter(|_| !failing)
                .map(|status| status.to_string())
                .or_else(|| Some(self.silent_probe.clone()).filter(|probe| failing && !probe.is_empty())),
            took_ms: None,
            failures: 0,
        });
        let watchdog = run.said.watchdog().map(|(interval, overdue)| CheckObserved {
            check: "WATCHDOG=1".to_owned(),
            kind: None,
            rule: format!("every {} s on NOTIFY_SOCKET, restarted if it is missing twice", interval.as_secs()),
            warn: false,
            state: if overdue { CheckState::Failing } else { CheckState::Passing },
            since_unix_ms: run.record.ready_unix_ms.unwrap_or(self.since_unix_ms),
            answer: None,
            took_ms: None,
            failures: 0,
        });
        authors.chain(default).chain(watchdog).collect()
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
            checks: self.checks_observed(),
            status: self.run.as_ref().and_then(|run| run.said.status()),
            hint: record
                .and_then(|record| record.hint.clone())
                .filter(|_| phase == InstancePhase::Starting)
                .map(|(found, fix)| PortHint { found, fix }),
            restarts: self.life.restarts(),
            last_end: self.last_end.clone(),
            next_start_unix_ms: self.next_start_unix_ms.filter(|_| phase == InstancePhase::Backoff),
        }
    }
}

/// What the default check does, without what the author's checks decide.
fn default_rule(author_routes: bool, author_restarts: bool) -> String {
    let (unready, restart) = (UNREADY_AFTER.as_secs(), RESTART_AFTER_MIN.as_secs());
    let mut parts = vec![
        "any byte to a visitor or a probe is life".to_owned(),
        format!("asked every {} s when nobody visits", PROBE_EVERY_WHEN_IDLE.as_secs()),
    ];
    if !author_routes {
        parts.push(format!("out of the routes after {unready} s of silence if another one is there"));
    }
    if !author_restarts {
        parts.push(format!("restarted after {restart} s"));
    }
    parts.join(", ")
}
