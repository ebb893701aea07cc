//! A world without processes: runs are entries in a table that boot, hang, crash and
//! stop as a test says. It checks by itself that no instance ever runs twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use model::author::HealthCheck;
use model::engine::LastEnd;
use model::{AppNumber, ExitStatus, Hostname, Leavings, RunId};
use tokio::sync::watch;
use tokio::time::Instant;

pub(super) use super::app::{App, pass, shared, target};
use crate::checks::ProbeOutcome;
use crate::checks::tries::Tried;
use crate::host::{BoxFuture, CheckRun, Execution, Found, FoundState, Host, Live, Notified, StartFailure, StartOrder};
use crate::listener::Listening;
use crate::record::RunRecord;
use crate::run_look::RunLook;
use crate::runs::{Over, RunEnd};

/// What a run does by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behaviour {
    pub(super) boots_after: Duration,
    /// Ends after this long with this code.
    pub(super) ends: Option<(Duration, u8)>,
    pub(super) ignores_term: bool,
    pub(super) status: u16,
}

pub(super) const WELL: Behaviour = Behaviour { boots_after: Duration::from_millis(300), ends: None, ignores_term: false, status: 200 };

/// How long an answer to a check takes.
const ANSWER_TAKES: Duration = Duration::from_millis(10);

pub(super) struct FakeRun {
    pub(super) run: RunId,
    started: Instant,
    behaviour: Behaviour,
    hung: Mutex<bool>,
    end: watch::Sender<Option<RunEnd>>,
    told: Mutex<Option<Instant>>,
    signals: Mutex<Vec<i32>>,
    said: watch::Sender<Notified>,
}

#[derive(Default)]
struct Facts {
    runs: Vec<Arc<FakeRun>>,
    ports: BTreeMap<u16, Arc<FakeRun>>,
    probes: Vec<(Duration, String)>,
    tries: Vec<(Duration, String)>,
    answers: BTreeMap<String, Option<String>>,
    traffic: BTreeMap<u64, Instant>,
    records: BTreeMap<String, RunRecord>,
    tidied: Vec<String>,
    listens: BTreeMap<String, Vec<Listening>>,
    last_words: BTreeMap<String, String>,
    ends: Vec<LastEnd>,
    number: u64,
    launch_away: bool,
    starting_most: usize,
}

/// What the n-th run of an instance does.
type Behave = dyn Fn(&RunId, usize) -> Behaviour + Send + Sync;

/// The world; all apps of a test share it.
pub(super) struct World {
    begin: Instant,
    behave: Box<Behave>,
    facts: Mutex<Facts>,
}

impl World {
    pub(super) fn new(behave: impl Fn(&RunId, usize) -> Behaviour + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { begin: Instant::now(), behave: Box::new(behave), facts: Mutex::default() })
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().expect("no test panicked while holding it")
    }

    pub(super) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    pub(super) fn since(&self, moment: Duration) -> Duration {
        self.now().saturating_sub(moment)
    }

    /// When runs were started, as `(seconds, "hello web.1 v1")`.
    pub(super) fn starts(&self) -> Vec<(f64, String)> {
        let since = |run: &Arc<FakeRun>| (run.started - self.begin).as_secs_f64();
        self.facts().runs.iter().map(|run| (since(run), format!("{} {}", run.run.instance, run.run.version))).collect()
    }

    pub(super) fn live(&self) -> Vec<String> {
        let facts = self.facts();
        facts.runs.iter().filter(|run| run.is_alive()).map(|run| format!("{} {}", run.run.instance, run.run.version)).collect()
    }

    /// The last run of an instance.
    pub(super) fn run(&self, name: &str) -> Arc<FakeRun> {
        let facts = self.facts();
        let found = facts.runs.iter().rev().find(|run| format!("{} {}", run.run.instance, run.run.version) == name);
        Arc::clone(found.unwrap_or_else(|| panic!("{name} was never started")))
    }

    pub(super) fn hang(&self, name: &str) {
        *self.run(name).hung.lock().expect("lock") = true;
    }

    pub(super) fn recover(&self, name: &str) {
        *self.run(name).hung.lock().expect("lock") = false;
    }

    /// What every check of this name answers from now on; `200` passes, `None` is silence.
    pub(super) fn set_answer(&self, check: &str, answer: Option<&str>) {
        self.facts().answers.insert(check.to_owned(), answer.map(str::to_owned));
    }

    /// When a check was tried.
    pub(super) fn tries_of(&self, check: &str) -> Vec<Duration> {
        self.facts().tries.iter().filter(|(_, of)| of == check).map(|(at, _)| *at).collect()
    }

    fn answer(&self, check: &str) -> Option<String> {
        let at = self.now();
        let mut facts = self.facts();
        facts.tries.push((at, check.to_owned()));
        facts.answers.get(check).cloned().unwrap_or_else(|| Some("200".to_owned()))
    }

    /// A run says something of itself.
    pub(super) fn say(&self, name: &str, change: impl FnOnce(&mut Notified)) {
        self.run(name).said.send_modify(|said| {
            change(said);
            said.change += 1;
        });
    }

    pub(super) fn probes_of(&self, name: &str) -> Vec<Duration> {
        self.facts().probes.iter().filter(|(_, of)| of == name).map(|(at, _)| *at).collect()
    }

    pub(super) fn visit(&self, name: &str) {
        let number = self.run(name).run.number;
        self.facts().traffic.insert(number, Instant::now());
    }

    pub(super) fn set_launch_away(&self, away: bool) {
        self.facts().launch_away = away;
    }

    pub(super) fn starting_most(&self) -> usize {
        self.facts().starting_most
    }

    pub(super) fn record(&self, name: &str) -> RunRecord {
        let folder = self.run(name).run.folder();
        self.facts().records.get(&folder).cloned().unwrap_or_default()
    }

    /// Where an instance listens besides.
    pub(super) fn listen(&self, name: &str, listens: Vec<Listening>) {
        self.facts().listens.insert(name.to_owned(), listens);
    }

    /// What runs of an instance say last.
    pub(super) fn say_last(&self, name: &str, words: &str) {
        self.facts().last_words.insert(name.to_owned(), words.to_owned());
    }

    /// The ends that were kept.
    pub(super) fn ends(&self) -> Vec<LastEnd> {
        self.facts().ends.clone()
    }

    /// What the next server would find.
    pub(super) fn left_behind(&self) -> Vec<Found> {
        let facts = self.facts();
        let found = |run: &Arc<FakeRun>| {
            let folder = run.run.folder();
            let end = run.end.borrow().clone();
            let state = match end {
                None => FoundState::Live(Arc::new(Arc::clone(run))),
                Some(end) => FoundState::Ended(end),
            };
            (!facts.tidied.contains(&folder)).then(|| Found { record: facts.records.get(&folder).cloned(), folder, state })
        };
        facts.runs.iter().filter_map(found).collect()
    }

    fn begin_run(&self, order: &StartOrder) -> Arc<FakeRun> {
        let mut facts = self.facts();
        for other in facts.runs.iter().filter(|run| run.is_alive() && run.run.instance == order.run.instance) {
            let same_release = other.run.version == order.run.version;
            let exclusive = !order.run.instance.process_type.is_web();
            assert!(!same_release && !exclusive, "{:?} beside {:?}", order.run, other.run);
        }
        let earlier = facts.runs.iter().filter(|run| run.run.instance == order.run.instance).count();
        let run = Arc::new(FakeRun {
            run: order.run.clone(),
            started: Instant::now(),
            behaviour: (self.behave)(&order.run, earlier),
            hung: Mutex::new(false),
            end: watch::Sender::new(None),
            told: Mutex::new(None),
            signals: Mutex::default(),
            said: watch::Sender::default(),
        });
        if let Some(port) = order.port {
            let holder = facts.ports.insert(port, Arc::clone(&run));
            assert!(holder.is_none_or(|holder| !holder.is_alive()), "port {port} was given away twice");
        }
        facts.runs.push(Arc::clone(&run));
        let booting = facts.runs.iter().filter(|run| run.is_alive() && !run.is_booted()).count();
        facts.starting_most = facts.starting_most.max(booting);
        run
    }
}

impl FakeRun {
    pub(super) fn is_alive(&self) -> bool {
        self.end.borrow().is_none()
    }

    fn is_booted(&self) -> bool {
        self.started.elapsed() >= self.behaviour.boots_after
    }

    /// Its watchdog's state, without news: pings are none.
    pub(super) fn feed(&self, watchdog: crate::host::Watchdog) {
        self.said.send_if_modified(|said| {
            said.watchdog = Some(watchdog);
            false
        });
    }

    pub(super) fn signals(&self) -> Vec<i32> {
        self.signals.lock().expect("lock").clone()
    }

    pub(super) fn was_told(&self) -> bool {
        self.told.lock().expect("lock").is_some()
    }

    pub(super) fn finish(&self, status: ExitStatus, stop_timed_out: bool) {
        self.end.send_if_modified(|end| {
            let alive = end.is_none();
            if alive {
                *end = Some(RunEnd { status, shim_lost: false, stop_timed_out, rebooted: false, ended_unix_ms: unix_ms() });
            }
            alive
        });
    }
}

impl Execution for Arc<FakeRun> {
    fn shim_pid(&self) -> Option<u32> {
        Some(1_000 + u32::try_from(self.run.number).expect("small"))
    }

    fn started_unix_ms(&self) -> i64 {
        unix_ms() - i64::try_from(self.started.elapsed().as_millis()).expect("small")
    }

    fn gone(&self) -> BoxFuture<'static, RunEnd> {
        let run = Arc::clone(self);
        Box::pin(async move {
            if let Some((after, code)) = run.behaviour.ends {
                let mut end = run.end.subscribe();
                tokio::select! {
                    () = tokio::time::sleep_until(run.started + after) => run.finish(ExitStatus::Code(code), false),
                    _ = end.wait_for(Option::is_some) => {}
                }
            }
            run.end.subscribe().wait_for(Option::is_some).await.expect("kept").clone().expect("ended")
        })
    }

    fn stop(&self, grace: Duration) -> BoxFuture<'static, std::io::Result<()>> {
        let run = Arc::clone(self);
        run.told.lock().expect("lock").get_or_insert(Instant::now());
        Box::pin(async move {
            if run.behaviour.ignores_term {
                tokio::time::sleep(grace).await;
                run.finish(ExitStatus::Signal { signal: 9, core: false }, true);
            } else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                run.finish(ExitStatus::Signal { signal: 15, core: false }, false);
            }
            Ok(())
        })
    }

    fn signal(&self, signal: i32) -> BoxFuture<'static, std::io::Result<()>> {
        self.signals.lock().expect("lock").push(signal);
        Box::pin(async { Ok(()) })
    }

    fn kill(&self) -> BoxFuture<'static, std::io::Result<()>> {
        self.finish(ExitStatus::Signal { signal: 9, core: false }, false);
        Box::pin(async { Ok(()) })
    }
}

/// The clock of people, from the clock of the test.
fn unix_ms() -> i64 {
    thread_local!(static BEGIN: Instant = Instant::now());
    1_790_000_000_000 + i64::try_from(BEGIN.with(Instant::elapsed).as_millis()).expect("small")
}

impl Host for Arc<World> {
    fn start(&self, order: StartOrder) -> BoxFuture<'static, Result<Live, StartFailure>> {
        let world = Arc::clone(self);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if world.facts().launch_away {
                return Err(StartFailure::Later);
            }
            Ok(Arc::new(world.begin_run(&order)) as Live)
        })
    }

    fn probe(&self, _: AppNumber, port: u16, _: Hostname, first_byte_within: Duration) -> BoxFuture<'static, ProbeOutcome> {
        let world = Arc::clone(self);
        Box::pin(async move {
            let now = world.now();
            let Some(run) = world.facts().ports.get(&port).cloned() else { return ProbeOutcome::Failed("refused".to_owned()) };
            world.facts().probes.push((now, format!("{} {}", run.run.instance, run.run.version)));
            if !run.is_alive() || !run.is_booted() {
                return ProbeOutcome::Failed("refused".to_owned());
            }
            if *run.hung.lock().expect("lock") {
                tokio::time::sleep(first_byte_within).await;
                return ProbeOutcome::Failed("no byte within 5 s".to_owned());
            }
            ProbeOutcome::Status(run.behaviour.status)
        })
    }

    fn last_byte(&self, run: RunId) -> BoxFuture<'static, Option<Duration>> {
        let age = self.facts().traffic.get(&run.number).map(Instant::elapsed);
        Box::pin(async move { age })
    }

    fn last_lines(&self, _: AppNumber, run: RunId, _: i64) -> BoxFuture<'static, Vec<String>> {
        let own = self.facts().last_words.get(&run.instance.name()).cloned();
        Box::pin(async move { vec![own.unwrap_or_else(|| format!("last words of {}", run.instance.name()))] })
    }

    fn look(&self, _: AppNumber, shim_pid: u32) -> BoxFuture<'static, RunLook> {
        let facts = self.facts();
        let run = facts.runs.iter().find(|run| run.shim_pid() == Some(shim_pid) && run.is_alive());
        let listens = run.and_then(|run| facts.listens.get(&run.run.instance.name()).cloned()).unwrap_or_default();
        let look = RunLook { processes: u32::from(run.is_some()), open_files: Some(7), listens, is_exact: true, ..RunLook::default() };
        Box::pin(async move { look })
    }

    fn holder(&self, _: AppNumber, _: u16, runs: Vec<(RunId, u32)>) -> BoxFuture<'static, Option<String>> {
        Box::pin(async move { runs.first().map(|(run, _)| format!("{} ({})", run.instance, run.version)) })
    }

    fn oom_kills(&self) -> Option<u64> {
        Some(0)
    }

    fn keep_end(&self, _: AppNumber, end: LastEnd) -> BoxFuture<'static, ()> {
        self.facts().ends.push(end);
        Box::pin(async {})
    }

    fn try_network(&self, _: AppNumber, _: u16, _: Hostname, check: Arc<HealthCheck>) -> BoxFuture<'static, Tried> {
        let answer = self.answer(&check.to_string());
        let timeout = Duration::from_secs(u64::from(check.timeout_s));
        Box::pin(async move {
            if let Some(text) = answer {
                tokio::time::sleep(ANSWER_TAKES).await;
                return Tried::answered(text == "200", text);
            }
            tokio::time::sleep(timeout).await;
            Tried::silence(format!("no answer within {} s", timeout.as_secs()))
        })
    }

    fn exec_check(&self, order: StartOrder, words: Vec<String>, _: Duration) -> BoxFuture<'static, CheckRun> {
        let answer = self.answer(&format!("{} {}", words.join(" "), order.run.instance.name()));
        Box::pin(async move {
            tokio::time::sleep(ANSWER_TAKES).await;
            match answer.as_deref() {
                Some("200") => CheckRun::Ended { status: ExitStatus::Code(0), output: String::new() },
                Some("away") => CheckRun::NotMade("launch is away".to_owned()),
                other => CheckRun::Ended { status: ExitStatus::Code(1), output: other.unwrap_or_default().to_owned() },
            }
        })
    }

    fn notified(&self, _: AppNumber, run: RunId, seen: u64) -> BoxFuture<'static, Option<Notified>> {
        let run = self.facts().runs.iter().find(|other| other.run == run).cloned();
        Box::pin(async move {
            let mut said = run?.said.subscribe();
            let said = said.wait_for(|said| said.change != seen).await.ok()?;
            Some(said.clone())
        })
    }

    fn tidy(&self, _: AppNumber, folder: String, _: Option<Over>) -> BoxFuture<'static, Leavings> {
        self.facts().tidied.push(folder);
        Box::pin(async { Leavings::default() })
    }

    fn remember(&self, _: AppNumber, folder: &str, record: &RunRecord) {
        self.facts().records.insert(folder.to_owned(), record.clone());
    }

    fn next_run_number(&self, _: AppNumber) -> u64 {
        let mut facts = self.facts();
        facts.number += 1;
        facts.number
    }

    fn port_is_free(&self, _: u16) -> bool {
        true
    }

    fn unix_ms(&self) -> i64 {
        unix_ms()
    }

    fn random(&self) -> u64 {
        0
    }
}
