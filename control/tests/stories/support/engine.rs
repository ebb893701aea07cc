//! The engine of one server: the runner without processes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use api::Failure;
use control::seams::{BoxFuture, DataSize, Engine, Lines, OneOffOutput, Session, Stdio};
use model::engine::{AppObserved, AppTarget, CheckTried, InstancePhase, KeptEnd, OneOff, OneOffCommand};
use model::{AppName, AppNumber, ExitStatus, KeptPath, RunId};
use tokio::sync::{Notify, watch};

use super::door::FakeDoor;
use super::instances::Machine;
use super::lock;
use super::others::Stops;

/// What a one-off does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OneOffEnd {
    Code(u8),
    /// Runs until it is killed.
    UntilKilled,
}

pub(crate) struct FakeEngine {
    machine: Arc<Machine>,
    door: Arc<FakeDoor>,
    stir: Arc<Notify>,
    /// What the next one-offs do.
    pub one_off_end: Mutex<OneOffEnd>,
    /// … and those of one name, such as `predeploy.1`.
    pub one_off_ends: Mutex<BTreeMap<&'static str, OneOffEnd>>,
    /// Their commands, in order.
    pub one_offs: Mutex<Vec<String>>,
    stops: Stops,
    /// Making folders takes as long as this is true.
    pub preparing_held: watch::Sender<bool>,
    /// What the flight recorder holds.
    pub kept_ends: Mutex<Vec<KeptEnd>>,
    /// Numbers whose folders were made and removed.
    pub prepared: Mutex<Vec<AppNumber>>,
    pub removed: Mutex<Vec<AppNumber>>,
}

impl FakeEngine {
    pub(crate) fn new(machine: Arc<Machine>, door: Arc<FakeDoor>, stops: Stops) -> Arc<Self> {
        let engine = Arc::new(Self {
            machine,
            door,
            stir: Arc::default(),
            one_off_end: Mutex::new(OneOffEnd::Code(0)),
            one_off_ends: Mutex::default(),
            one_offs: Mutex::default(),
            stops,
            preparing_held: watch::Sender::new(false),
            kept_ends: Mutex::default(),
            prepared: Mutex::default(),
            removed: Mutex::default(),
        });
        let (machine, stir) = (engine.machine.clone(), engine.stir.clone());
        tokio::spawn(async move {
            loop {
                stir.notified().await;
                while lock(&machine.state).settle() {
                    tokio::task::yield_now().await;
                }
            }
        });
        engine
    }

    /// Something of the box was changed by the story.
    pub(crate) fn stir(&self) {
        self.stir.notify_one();
    }

    fn check_running(&self) {
        assert!(lock(&self.stops).is_empty(), "something starts after everything was stopped");
    }

    fn check(target: &AppTarget) {
        let routed = target.releases.values().filter(|r| r.mode.is_routed()).count();
        assert!(routed <= 1, "two releases of {} get traffic at once", target.app);
        let exclusive = target.releases.values().filter(|r| r.mode.runs_exclusive()).count();
        assert!(exclusive <= 1, "two releases of {} run what must not run twice", target.app);
    }
}

impl Engine for FakeEngine {
    fn set_target(&self, target: AppTarget) {
        Self::check(&target);
        let mut state = lock(&self.machine.state);
        let number = target.number;
        state.names.insert(target.app.clone(), number);
        let awaited = state.awaited.remove(&target.app);
        let known = state.apps.entry(number).or_default();
        if known.target.is_none()
            && let Some(awaited) = awaited
        {
            known.observed = awaited;
        }
        known.target = Some(target);
        drop(state);
        self.stir();
    }

    fn observed(&self, app: &AppName) -> watch::Receiver<AppObserved> {
        let mut state = lock(&self.machine.state);
        match state.names.get(app).copied() {
            Some(number) => state.apps[&number].observed.subscribe(),
            None => state.awaited.entry(app.clone()).or_default().subscribe(),
        }
    }

    fn released(&self, run: &RunId) {
        self.door.assert_unrouted(run);
        let mut state = lock(&self.machine.state);
        for instance in state.instances.values_mut().filter(|i| i.run.as_ref() == Some(run)) {
            assert_eq!(instance.phase, InstancePhase::Draining, "{} was released before it drained", run.folder());
            instance.released = true;
        }
        drop(state);
        self.stir();
    }

    fn try_checks(&self, app: &AppName) -> BoxFuture<'_, Vec<CheckTried>> {
        let state = lock(&self.machine.state);
        let live = state.instances.values().filter_map(|instance| instance.run.clone()).filter(|run| run.instance.app == *app);
        let tried = live.flat_map(|run| {
            state.checks.iter().map(move |check| CheckTried {
                instance: run.instance.clone(),
                version: run.version,
                check: check.check.clone(),
                kind: check.kind,
                request: "GET http://127.0.0.1:20001/healthz, Host: hello.box".to_owned(),
                answer: "503".to_owned(),
                passed: Some(false),
                took_ms: 4,
            })
        });
        let tried: Vec<_> = tried.collect();
        Box::pin(async move { tried })
    }

    fn ends(&self, _: AppNumber, instance: Option<String>) -> BoxFuture<'_, Vec<KeptEnd>> {
        let kept = lock(&self.kept_ends).iter().filter(|end| instance.as_ref().is_none_or(|name| *name == end.instance)).cloned().collect();
        Box::pin(async move { kept })
    }

    fn run_once(&self, one_off: OneOff, output: OneOffOutput) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
        self.check_running();
        let words = match one_off.command {
            OneOffCommand::Shell(line) => line,
            OneOffCommand::Words(words) => words.join(" "),
        };
        lock(&self.one_offs).push(format!("{} {}: {words}", one_off.instance.name(), one_off.version));
        let lines = match output {
            OneOffOutput::Lines(lines) => {
                lines.detail("migrating");
                Some(lines)
            }
            OneOffOutput::Session(_) => None,
        };
        let own = lock(&self.one_off_ends).get(one_off.instance.name().as_str()).copied();
        let end = match own.unwrap_or(*lock(&self.one_off_end)) {
            OneOffEnd::Code(code) => watch::Sender::new(Some(ExitStatus::Code(code))),
            OneOffEnd::UntilKilled => watch::Sender::new(None),
        };
        Box::pin(async move { Ok(Box::new(FakeSession { end, _lines: lines }) as Box<dyn Session>) })
    }

    fn exec(&self, run: RunId, one_off: OneOff, _: Stdio) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
        self.check_running();
        let words = match one_off.command {
            OneOffCommand::Shell(line) => line,
            OneOffCommand::Words(words) => words.join(" "),
        };
        let port = one_off.env.get("PORT").cloned().unwrap_or_default();
        lock(&self.one_offs).push(format!("inside {} on {port}: {words}", run.folder()));
        let end = match *lock(&self.one_off_end) {
            OneOffEnd::Code(code) => watch::Sender::new(Some(ExitStatus::Code(code))),
            OneOffEnd::UntilKilled => watch::Sender::new(None),
        };
        Box::pin(async move { Ok(Box::new(FakeSession { end, _lines: None }) as Box<dyn Session>) })
    }

    fn data_size(&self, _: AppNumber, parts: Vec<KeptPath>) -> BoxFuture<'_, Result<DataSize, Failure>> {
        let parts = parts.iter().map(|path| (!path.is_folder()).then_some((10, 1))).collect();
        Box::pin(async { Ok(DataSize { total: (20, 2), parts, at_least: false }) })
    }

    fn prepare(&self, number: AppNumber) -> BoxFuture<'_, Result<(), Failure>> {
        self.check_running();
        lock(&self.prepared).push(number);
        Box::pin(async move {
            let _ = self.preparing_held.subscribe().wait_for(|held| !held).await;
            self.check_running();
            Ok(())
        })
    }

    fn remove(&self, number: AppNumber) -> BoxFuture<'_, Result<(), Failure>> {
        let state = lock(&self.machine.state);
        let alive = state.instances.iter().filter(|(key, i)| key.0 == number && i.run.is_some() && i.phase != InstancePhase::Stuck).count();
        assert_eq!(alive, 0, "an app is removed while something of it runs");
        lock(&self.removed).push(number);
        Box::pin(async { Ok(()) })
    }

    fn stop_all(&self) -> BoxFuture<'_, u32> {
        Box::pin(async {
            lock(&self.stops).push("apps");
            0
        })
    }
}

struct FakeSession {
    end: watch::Sender<Option<ExitStatus>>,
    _lines: Option<Lines>,
}

impl Session for FakeSession {
    fn wait(&self) -> BoxFuture<'_, ExitStatus> {
        let mut end = self.end.subscribe();
        Box::pin(async move {
            let ended = end.wait_for(Option::is_some).await.expect("the session is there");
            ended.expect("it ended")
        })
    }

    fn signal(&self, _: i32) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn kill(&self) -> BoxFuture<'_, ()> {
        self.end.send_replace(Some(ExitStatus::Signal { signal: 9, core: false }));
        Box::pin(async {})
    }
}
