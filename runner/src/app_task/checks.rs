//! The author's checks: making the tries that are due, and drawing the consequences.

use std::sync::Arc;
use std::time::Duration;

use model::author::{CheckAction, CheckKind, HealthCheck};
use model::engine::{AppTarget, CheckTried};
use model::{AppNumber, ExitStatus, RunId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{AppTask, Done, InstanceEvent, InstancePhase, Mono, SlotKey, State};
use crate::checks::ProbeOutcome;
use crate::checks::author::TryOutcome;
use crate::checks::tries::{Tried, request_words};
use crate::host::{CheckRun, Host, StartOrder};
use crate::instance_task::Subject;
use crate::limits::{CHECK_ANSWER_SHOWN_CHARS_MAX, HEALTH_RESETS_AFTER, PROBE_TIMEOUT};
use crate::reconcile;
use crate::run_checks::{DueTry, RunChecks, stays_up_at};

impl AppTask {
    /// Gives a live run the checks of its author.
    pub(super) fn begin_checks(&mut self, key: &SlotKey, now: Mono) {
        let unix_ms = self.host.unix_ms();
        let Some(release) = self.target.releases.get(&key.version) else { return };
        let Some(slot) = self.slots.get_mut(key) else { return };
        let by_author = slot.boot.by_author;
        let Some(run) = &mut slot.run else { return };
        run.checks = RunChecks::new(&release.manifest.app_json, &key.process_type, run.started, now, unix_ms);
        run.stays_up = !key.process_type.is_web() && !by_author && run.checks.decide(CheckKind::Readiness);
    }

    /// Makes the tries that are due.
    pub(super) fn advance_checks(&mut self, key: &SlotKey) {
        let now = self.now();
        let Some(slot) = self.slots.get_mut(key) else { return };
        let starting = matches!(slot.life.state(), State::Starting(_));
        if !starting && !matches!(slot.life.phase(), InstancePhase::Ready | InstancePhase::Unready) {
            return;
        }
        let Some(run) = slot.run.as_mut().filter(|run| run.live.is_some()) else { return };
        let due = run.checks.begin(now, starting);
        if starting && run.stays_up && now >= stays_up_at(run.started) {
            self.startup_passed(key);
        }
        for due in due {
            let Some(attempt) = self.attempt(key, due.check.clone()) else { return };
            let (key, number, index) = (key.clone(), attempt.run.number, due.index);
            self.jobs.spawn(async move {
                let _turn = due.turn.lock_owned().await;
                Done::Tried(key, number, index, attempt.make().await)
            });
        }
    }

    /// What came of a try.
    pub(super) fn tried(&mut self, key: &SlotKey, number: u64, index: usize, tried: Tried) {
        let (now, unix_ms) = (self.now(), self.host.unix_ms());
        let Some(slot) = self.slots.get_mut(key) else { return };
        let Some(run) = slot.run_mut(number) else { return };
        let passed = tried.outcome == TryOutcome::Passed;
        if !run.checks.tried(index, now, unix_ms, tried) && !passed {
            return;
        }
        match slot.life.state() {
            State::Starting(_) => self.consider_startup(key, index),
            State::Ready | State::Unready => self.consider_readiness(key),
            _ => return,
        }
        let Some(slot) = self.slots.get_mut(key) else { return };
        let Some(run) = &slot.run else { return };
        let decides = run.checks.decide(CheckKind::Liveness);
        if decides && slot.life.uncured() > 0 && slot.life.ready_for(now) >= HEALTH_RESETS_AFTER && run.checks.is_live() {
            slot.life.cured();
        }
    }

    fn consider_startup(&mut self, key: &SlotKey, index: usize) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let by_author = slot.boot.by_author;
        let Some(run) = slot.run.as_mut().filter(|_| by_author) else { return };
        if let Some(reason) = run.checks.startup_failure() {
            slot.verdict = Some(reason);
            self.event(key, InstanceEvent::StartupFailed);
        } else if run.checks.is_started() {
            run.record.check = run.checks.last_words(index);
            self.startup_passed(key);
        }
    }

    /// All startup checks passed, or the default did.
    pub(super) fn startup_passed(&mut self, key: &SlotKey) {
        let Some(run) = self.slots.get(key).and_then(|slot| slot.run.as_ref()) else { return };
        let ready = run.checks.is_ready();
        self.event(key, if ready { InstanceEvent::Passed } else { InstanceEvent::PassedNotReady });
    }

    fn consider_readiness(&mut self, key: &SlotKey) {
        let Some(run) = self.slots.get(key).and_then(|slot| slot.run.as_ref()) else { return };
        if !run.checks.decide(CheckKind::Readiness) {
            return;
        }
        if run.checks.is_unready() {
            self.event(key, InstanceEvent::NotReady);
        } else if run.checks.is_ready() {
            self.event(key, InstanceEvent::Passed);
        }
    }

    /// Tries every check of every live instance for a person; nothing of it counts.
    pub(super) fn try_all(&mut self, done: oneshot::Sender<Vec<CheckTried>>) {
        let keys: Vec<SlotKey> = self.slots.keys().cloned().collect();
        let mut tries = Vec::new();
        for key in keys {
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            let has_default = slot.silence.is_some();
            let Some(run) = slot.run.as_mut().filter(|run| run.live.is_some()) else { continue };
            for due in run.checks.begin_manual() {
                tries.extend(self.attempt(&key, due.check.clone()).map(|attempt| manual(attempt, due)));
            }
            if has_default {
                tries.extend(self.default_try(&key));
            }
        }
        self.jobs.spawn(async move {
            let mut results = Vec::with_capacity(tries.len());
            let handles: Vec<_> = tries.into_iter().map(tokio::spawn).collect();
            for handle in handles {
                results.extend(handle.await.ok());
            }
            // Whoever asked may be gone.
            let _ = done.send(results);
            Done::ManualTries
        });
    }

    pub(super) fn manual_tries_ended(&mut self) {
        let now = self.now();
        self.touched.extend(self.slots.keys().cloned());
        for run in self.slots.values_mut().filter_map(|slot| slot.run.as_mut()) {
            run.checks.end_manual(now);
        }
    }

    fn default_try(&self, key: &SlotKey) -> Option<ManualTry> {
        let slot = self.slots.get(key)?;
        let run = slot.run.as_ref()?;
        let port = run.record.port?;
        let Subject { host, number, .. } = self.subject(key, &run.id);
        let (instance, version, name) = (reconcile::instance(&self.target, key), key.version, self.target.probe_host.clone());
        Some(Box::pin(async move {
            let began = Instant::now();
            let outcome = host.probe(number, port, name.clone(), PROBE_TIMEOUT).await;
            let (passed, answer) = match &outcome {
                ProbeOutcome::Status(status) => (Some(true), status.to_string()),
                ProbeOutcome::OtherBytes => (Some(true), "an answer that is not HTTP".to_owned()),
                ProbeOutcome::Failed(why) => (Some(false), why.clone()),
                ProbeOutcome::NotMade(why) => (None, why.clone()),
            };
            let request = format!("GET http://127.0.0.1:{port}/, Host: {name}");
            CheckTried {
                instance,
                version,
                check: "GET /".to_owned(),
                kind: None,
                request,
                answer,
                passed,
                took_ms: millis(began.elapsed()),
            }
        }))
    }

    fn attempt(&self, key: &SlotKey, check: Arc<HealthCheck>) -> Option<Attempt> {
        let run = self.slots.get(key)?.run.as_ref()?;
        let (host, target) = (Arc::clone(&self.host), Arc::clone(&self.target));
        let up = self.now().saturating_sub(run.started);
        Some(Attempt { host, target, number: self.number, run: run.id.clone(), port: run.record.port, check, up })
    }
}

type ManualTry = crate::host::BoxFuture<'static, CheckTried>;

fn manual(attempt: Attempt, due: DueTry) -> ManualTry {
    Box::pin(async move {
        let _turn = due.turn.lock_owned().await;
        let (run, check) = (attempt.run.clone(), Arc::clone(&attempt.check));
        let request = request_words(&check, attempt.port, &attempt.target.probe_host);
        let tried = attempt.make().await;
        let passed = match tried.outcome {
            TryOutcome::Passed => Some(true),
            TryOutcome::Failed => Some(false),
            TryOutcome::NotMade => None,
        };
        CheckTried {
            instance: run.instance,
            version: run.version,
            check: check.to_string(),
            kind: Some(check.kind),
            request,
            answer: tried.answer,
            passed,
            took_ms: millis(tried.took),
        }
    })
}

/// One try on its way.
struct Attempt {
    host: Arc<dyn Host>,
    target: Arc<AppTarget>,
    number: AppNumber,
    run: RunId,
    port: Option<u16>,
    check: Arc<HealthCheck>,
    up: Duration,
}

impl Attempt {
    async fn make(self) -> Tried {
        let began = Instant::now();
        let tried = match &self.check.action {
            CheckAction::Http { .. } | CheckAction::Tcp => match self.check.port.or(self.port) {
                Some(port) => self.host.try_network(self.number, port, self.target.probe_host.clone(), Arc::clone(&self.check)).await,
                None => Tried::not_made("it has no port".to_owned()),
            },
            CheckAction::Command(words) => {
                let timeout = Duration::from_secs(u64::from(self.check.timeout_s));
                match self.order() {
                    Some(order) => command_words(self.host.exec_check(order, words.clone(), timeout).await, timeout),
                    None => Tried::not_made(format!("release {} is no more", self.run.version)),
                }
            }
            CheckAction::Uptime(seconds) => {
                let up = self.up.as_secs();
                Tried::answered(up >= u64::from(*seconds), format!("up for {up} s"))
            }
        };
        Tried { took: began.elapsed(), ..tried }
    }

    /// What a command needs to find the same world as the instance; a request needs none of it.
    fn order(&self) -> Option<StartOrder> {
        let release = Arc::new(self.target.releases.get(&self.run.version)?.clone());
        Some(StartOrder { number: self.number, run: self.run.clone(), port: self.port, release })
    }
}

/// What a command's end says; of its output the first line.
fn command_words(run: CheckRun, timeout: Duration) -> Tried {
    let line = |output: &str| {
        let first = output.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let first = model::text::clean(first, CHECK_ANSWER_SHOWN_CHARS_MAX);
        if first.is_empty() { String::new() } else { format!(": {first}") }
    };
    match run {
        CheckRun::Ended { status, output } => Tried::answered(status == ExitStatus::Code(0), format!("{status}{}", line(&output))),
        CheckRun::TimedOut { output } => Tried::answered(false, format!("did not end within {} s{}", timeout.as_secs(), line(&output))),
        CheckRun::NotMade(why) => Tried::not_made(why),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
