//! Processes of the box: they outlive servers. Interprets targets as the runner does, and
//! asserts on the way what control must never ask for.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use model::engine::{AppObserved, AppTarget, CheckObserved, InstanceObserved, InstancePhase, LastEnd, ReleaseMode};
use model::{AppName, AppNumber, ExitStatus, InstanceId, ProcessType, ReleaseVersion, RunId, SlugId, StopReason};
use tokio::sync::watch;

use super::lock;

/// What comes of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Boot {
    Ready,
    /// Exits 1 after these lines.
    Crash(Vec<String>),
    /// Starts until told otherwise.
    Hang,
    /// Comes up and answers 500.
    Ill,
    /// Crashes if this config var is set.
    CrashWith(String),
}

pub(crate) type Key = (AppNumber, ReleaseVersion, ProcessType, u32);

/// One instance.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub phase: InstancePhase,
    pub run: Option<RunId>,
    pub last_end: Option<LastEnd>,
    pub restarts: u32,
    pub restart_seen: u64,
    pub was_routed: bool,
    pub released: bool,
    /// What its check answers.
    pub status: u16,
    /// The release's mode when it was told last.
    pub mode: ReleaseMode,
}

/// What the engine knows of an app.
#[derive(Debug, Default)]
pub(crate) struct KnownApp {
    pub target: Option<AppTarget>,
    pub observed: watch::Sender<AppObserved>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub instances: BTreeMap<Key, Instance>,
    pub boots: BTreeMap<(SlugId, ProcessType), Boot>,
    pub apps: BTreeMap<AppNumber, KnownApp>,
    pub names: BTreeMap<AppName, AppNumber>,
    /// Somebody looks at a name that no target has named yet.
    pub awaited: BTreeMap<AppName, watch::Sender<AppObserved>>,
    /// Every start, as `web.1-v1`.
    pub started: Vec<String>,
    /// Types whose processes ignore SIGKILL.
    pub undying: BTreeSet<ProcessType>,
    /// Checks of every web instance.
    pub checks: Vec<CheckObserved>,
    next_run: u64,
}

/// The processes of the box.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub state: Mutex<State>,
}

impl Machine {
    /// The server is gone: nobody wants or knows anything any more, processes go on.
    pub(crate) fn lose_server(&self) {
        let mut state = lock(&self.state);
        state.apps.clear();
        state.names.clear();
        state.awaited.clear();
    }

    /// Names and phases of everything alive, such as `web.1-v1 up`.
    pub(crate) fn alive(&self) -> Vec<String> {
        let state = lock(&self.state);
        let alive = state.instances.iter().filter(|(_, i)| i.run.is_some());
        alive.map(|((_, version, t, n), i)| format!("{t}.{n}-{version} {}", i.phase.word())).collect()
    }

    pub(crate) fn started(&self) -> Vec<String> {
        lock(&self.state).started.clone()
    }

    pub(crate) fn boot(&self, slug: SlugId, process_type: &str, boot: Boot) {
        lock(&self.state).boots.insert((slug, process_type.parse().expect("type")), boot);
    }
}

impl State {
    /// One step of every app, each seen by whoever looks; false if there was none.
    pub(crate) fn settle(&mut self) -> bool {
        let numbers: Vec<AppNumber> = self.apps.keys().copied().collect();
        let mut moved = false;
        for number in numbers {
            moved |= self.step(number);
            self.publish(number);
        }
        moved
    }

    /// One step of one app: one instance moves by one phase, as its own process would.
    fn step(&mut self, number: AppNumber) -> bool {
        let Some(target) = self.apps.get(&number).and_then(|app| app.target.clone()) else { return false };
        let existing = existing(&target);
        let wanted = wanted(&target, &existing);
        for (version, process_type, ordinal) in &existing {
            let key = (number, *version, process_type.clone(), *ordinal);
            let mode = target.releases[version].mode;
            if let Entry::Vacant(vacant) = self.instances.entry(key.clone()) {
                let restart_seen = restart_counter(&target, &key);
                vacant.insert(Instance {
                    phase: InstancePhase::Down,
                    run: None,
                    last_end: None,
                    restarts: 0,
                    restart_seen,
                    was_routed: false,
                    released: false,
                    status: 200,
                    mode,
                });
                return true;
            }
            if let Some(instance) = self.instances.get_mut(&key) {
                instance.mode = mode;
                instance.was_routed |= mode.is_routed() && instance.phase == InstancePhase::Ready;
            }
        }
        let keys: Vec<Key> = self.instances.keys().filter(|key| key.0 == number).cloned().collect();
        keys.into_iter().any(|key| {
            let inner = (key.1, key.2.clone(), key.3);
            let is_wanted = wanted.contains(&inner);
            self.advance(&target, &key, is_wanted, existing.contains(&inner))
        })
    }

    fn advance(&mut self, target: &AppTarget, key: &Key, is_wanted: bool, exists: bool) -> bool {
        use InstancePhase as P;
        let Some(instance) = self.instances.get(key).cloned() else { return false };
        let asked = restart_counter(target, key) > instance.restart_seen;
        match instance.phase {
            P::Down if is_wanted && self.is_free(target, key) => self.start(target, key),
            P::Down if !exists => self.instances.remove(key).is_some(),
            P::Failed | P::Backoff | P::Finished if !is_wanted => self.enter(key, P::Down),
            P::Starting if is_wanted => self.booted(target, key),
            P::Starting => self.enter(key, P::Stopping),
            P::Ready | P::Unready if !is_wanted || asked => {
                if asked && is_wanted {
                    self.instances.get_mut(key).expect("known").restart_seen = restart_counter(target, key);
                }
                let drains = key.2.is_web() && instance.was_routed;
                self.enter(key, if drains { P::Draining } else { P::Stopping })
            }
            P::Draining if instance.released => self.enter(key, P::Stopping),
            P::Stopping if self.undying.contains(&key.2) => self.enter(key, P::Stuck),
            P::Stopping => self.gone(key, StopReason::Asked, ExitStatus::Signal { signal: 15, core: false }, vec![], P::Down),
            _ => false,
        }
    }

    fn enter(&mut self, key: &Key, phase: InstancePhase) -> bool {
        self.instances.get_mut(key).expect("known").phase = phase;
        true
    }

    /// No other release has a run of an instance that must never run twice.
    fn is_free(&self, target: &AppTarget, key: &Key) -> bool {
        let same = |other: &Key| other != key && other.0 == key.0 && other.2 == key.2 && other.3 == key.3;
        target.overlap.contains(&key.2) || !self.instances.iter().any(|(other, i)| same(other) && i.run.is_some())
    }

    fn start(&mut self, target: &AppTarget, key: &Key) -> bool {
        self.next_run += 1;
        let run = RunId { instance: id(target, key), version: key.1, number: self.next_run };
        self.started.push(format!("{}-{}", run.instance.name(), key.1));
        let instance = self.instances.get_mut(key).expect("known");
        instance.phase = InstancePhase::Starting;
        instance.run = Some(run);
        instance.was_routed = false;
        instance.released = false;
        true
    }

    fn booted(&mut self, target: &AppTarget, key: &Key) -> bool {
        let release = &target.releases[&key.1];
        let boot = self.boots.get(&(release.slug, key.2.clone())).cloned().unwrap_or(Boot::Ready);
        let crash = match boot {
            Boot::Hang => return false,
            Boot::Ready | Boot::Ill => None,
            Boot::Crash(lines) => Some(lines),
            Boot::CrashWith(var) => release.config.get(&var.parse().expect("a key")).map(|_| vec![format!("{var} is set")]),
        };
        let is_ill = self.boots.get(&(release.slug, key.2.clone())) == Some(&Boot::Ill);
        match crash {
            None => {
                self.instances.get_mut(key).expect("known").status = if is_ill { 500 } else { 200 };
                self.enter(key, InstancePhase::Ready)
            }
            Some(lines) => {
                let after = if release.mode.is_candidate() { InstancePhase::Failed } else { InstancePhase::Backoff };
                self.instances.get_mut(key).expect("known").restarts += 1;
                self.gone(key, StopReason::Exited, ExitStatus::Code(1), lines, after)
            }
        }
    }

    pub(crate) fn gone(
        &mut self,
        key: &Key,
        reason: StopReason,
        status: ExitStatus,
        last_lines: Vec<String>,
        phase: InstancePhase,
    ) -> bool {
        let instance = self.instances.get_mut(key).expect("known");
        let Some(run) = instance.run.take() else { return false };
        instance.last_end =
            Some(LastEnd { run, status, reason, at_unix_ms: 0, ran_ms: 100, last_lines, flight: model::FlightRecord::default() });
        instance.phase = phase;
        true
    }

    pub(crate) fn publish(&self, number: AppNumber) {
        let Some(known) = self.apps.get(&number) else { return };
        let Some(target) = &known.target else { return };
        let instances = self.instances.iter().filter(|(key, _)| key.0 == number);
        let now = AppObserved {
            instances: instances.map(|(key, instance)| self.seen(target, key, instance).into()).collect(),
            ..AppObserved::default()
        };
        known.observed.send_if_modified(|old| {
            let changed = *old != now;
            *old = now;
            changed
        });
    }

    fn seen(&self, target: &AppTarget, key: &Key, instance: &Instance) -> InstanceObserved {
        let checks = if key.2.is_web() { self.checks.clone() } else { Vec::new() };
        InstanceObserved { checks, ..seen(target, key, instance) }
    }
}

fn seen(target: &AppTarget, key: &Key, instance: &Instance) -> InstanceObserved {
    let is_web = key.2.is_web();
    let was_ready = instance.run.is_some() && instance.phase != InstancePhase::Starting;
    InstanceObserved {
        instance: id(target, key),
        version: key.1,
        phase: instance.phase,
        port: instance.run.as_ref().filter(|_| is_web).map(|run| 20_000 + u16::try_from(run.number).expect("few runs")),
        run: instance.run.clone(),
        shim_pid: instance.run.as_ref().and_then(|run| u32::try_from(run.number).ok()),
        since_unix_ms: 0,
        ready_after_ms: was_ready.then_some(if is_web { 800 } else { 10_000 }),
        check: (is_web && was_ready).then(|| format!("GET / -> {}", instance.status)),
        probe_status: (is_web && was_ready).then_some(instance.status),
        checks: Vec::new(),
        status: None,
        hint: None,
        restarts: instance.restarts,
        last_end: instance.last_end.clone(),
        next_start_unix_ms: (instance.phase == InstancePhase::Backoff).then_some(super::server::NOW_UNIX_MS + 60_000),
    }
}

fn id(target: &AppTarget, key: &Key) -> InstanceId {
    InstanceId { app: target.app.clone(), process_type: key.2.clone(), ordinal: key.3 }
}

fn restart_counter(target: &AppTarget, key: &Key) -> u64 {
    target.restarts.get(&id(target, key)).copied().unwrap_or(0)
}

type Inner = (ReleaseVersion, ProcessType, u32);

fn existing(target: &AppTarget) -> BTreeSet<Inner> {
    let mut keys = BTreeSet::new();
    for (version, release) in &target.releases {
        let instances = release.formation.instances().filter(|(t, _)| release.manifest.commands.contains_key(*t));
        keys.extend(instances.map(|(process_type, ordinal)| (*version, process_type.clone(), ordinal)));
    }
    keys
}

/// Of two releases that both want an exclusive instance, the newer one has it.
fn wanted(target: &AppTarget, existing: &BTreeSet<Inner>) -> BTreeSet<Inner> {
    let mut taken = BTreeSet::new();
    let mut wanted = BTreeSet::new();
    for key in existing.iter().rev() {
        let mode = target.releases[&key.0].mode;
        let is_wanted = if target.overlap.contains(&key.1) {
            mode.runs_overlapping()
        } else {
            mode.runs_exclusive() && taken.insert((key.1.clone(), key.2))
        };
        if is_wanted {
            wanted.insert(key.clone());
        }
    }
    wanted
}
