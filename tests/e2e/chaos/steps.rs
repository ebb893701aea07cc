//! What is done to a host, one thing after another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use nix::sys::signal::Signal;

use super::super::support::asking::pid_of;
use super::super::support::processes::{children, is_gone, kill_leftover, send};
use super::super::support::{App, Host, Output, PUSH_DEADLINE, SOON, wait_until};
use super::visitors::{Failure, Visitors};
use super::{evidence, states};

/// Kinds of steps; the last is a push.
const KINDS: u64 = 17;
/// Most instances of a type.
const INSTANCES_MAX: u64 = 3;
/// Failures that a message shows.
const SHOWN: usize = 10;

/// What was done that visitors or logs may feel.
#[derive(Debug, Default)]
pub(super) struct Kills {
    /// From when until when something was dying that had requests in flight.
    felt: Vec<(Instant, Instant)>,
    /// Runs whose shim was killed: what was in their pipes went with it.
    pub(super) cut: BTreeSet<String>,
    /// Runs that lived while the disk was full: what they printed then is counted.
    pub(super) on_full_disk: BTreeSet<String>,
    /// When what began, for whoever looks for the cause of a failure.
    played: Vec<(Instant, String)>,
}

impl Kills {
    /// Fails the test if a request failed that was not under way when something was
    /// killed which had requests.
    #[track_caller]
    pub(super) fn expect_only_in_flight(&self, failures: &[Failure]) {
        let others: Vec<_> = failures
            .iter()
            .filter(|failure| !self.felt.iter().any(|(from, until)| failure.from <= *until && *from <= failure.until))
            .collect();
        let step = |at: Instant| self.played.iter().rev().find(|(began, _)| *began <= at);
        let shown: Vec<String> = others
            .iter()
            .take(SHOWN)
            .map(|failure| {
                let (since, step) = step(failure.from).map_or((None, "no step"), |(began, step)| (Some(failure.from - *began), step));
                let felt = self.felt.iter().rev().find(|(_, until)| *until <= failure.from).map(|(_, until)| failure.from - *until);
                format!("{since:?} into {step}, {felt:?} after a death, for {:?}: {}", failure.until - failure.from, failure.what)
            })
            .collect();
        assert!(others.is_empty(), "{} requests failed with nothing of theirs killed: {shown:#?}", others.len());
    }
}

pub(super) struct Chaos<'h> {
    pub(super) host: &'h Host,
    pub(super) app: &'h App<'h>,
    /// The app that is a nuisance to the first.
    pub(super) loud: &'h App<'h>,
    random: u64,
    pub(super) visitors: Visitors,
    pub(super) kills: Kills,
    pub(super) formation: BTreeMap<&'static str, u64>,
    deploys: u32,
}

/// The version that the checkout says.
pub(super) fn version_of(app: &App<'_>) -> String {
    let text = std::fs::read_to_string(app.checkout.folder().join("bin/witness")).expect("the program");
    text.lines().find_map(|line| line.strip_prefix("VERSION = \"")?.strip_suffix('"')).expect("a version").to_owned()
}

impl<'h> Chaos<'h> {
    pub(super) fn new(host: &'h Host, app: &'h App<'h>, loud: &'h App<'h>, seed: u64) -> Self {
        let formation = BTreeMap::from([("web", 2), ("worker", 2)]);
        for (kind, count) in &formation {
            (1..=*count).for_each(|number| drop(app.up(&format!("{kind}.{number}"))));
        }
        // Any seed but 0 gives a long sequence.
        Self { host, app, loud, random: seed.max(1), visitors: Visitors::start(host), kills: Kills::default(), formation, deploys: 0 }
    }

    pub(super) fn formation(&self) -> Vec<(&'static str, u64)> {
        self.formation.iter().map(|(kind, count)| (*kind, *count)).collect()
    }

    /// Ends the visits.
    pub(super) fn end(self) -> (Kills, Vec<Failure>) {
        (self.kills, self.visitors.stop())
    }

    /// xorshift64*: good enough, and the same on every machine.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    pub(super) fn play(&mut self, steps: usize) {
        let (app, began) = (self.app, Instant::now());
        std::thread::scope(|scope| {
            let mut push: Option<std::thread::ScopedJoinHandle<'_, Output>> = None;
            for number in 0..steps {
                let step = self.below(KINDS);
                eprintln!("step {number}: {step}, after {:.1} s", began.elapsed().as_secs_f32());
                self.kills.played.push((Instant::now(), format!("step {number}: {step}")));
                match step {
                    0 | 1 => self.kill_process("web"),
                    2 | 3 => self.kill_process("worker"),
                    4 => self.kill_shim("web"),
                    5 => self.kill_shim("worker"),
                    6 => self.kill_router(false),
                    7 => self.kill_router(true),
                    8 => self.kill_launch(),
                    9 => self.kill_server(false),
                    10 => self.kill_server(true),
                    11 => self.stop_for_a_while(),
                    12 => self.scale(),
                    13 => {
                        // A release that starts without room is refused: that has a test of its own.
                        wait_until("no push is under way", PUSH_DEADLINE, || {
                            push.as_ref().is_none_or(std::thread::ScopedJoinHandle::is_finished).then_some(())
                        });
                        self.fill_disk();
                    }
                    14 => self.flood(),
                    15 => self.bomb(),
                    _ if push.as_ref().is_none_or(std::thread::ScopedJoinHandle::is_finished) => {
                        self.deploys += 1;
                        app.checkout.replace(
                            "bin/witness",
                            &format!("VERSION = \"{}\"", version_of(app)),
                            &format!("VERSION = \"{}\"", self.deploys),
                        );
                        app.checkout.commit("Another version");
                        // It may be cut off by what follows; what serves is looked at in the end.
                        push = Some(scope.spawn(|| app.push()));
                    }
                    _ => {}
                }
                let pause = self.visitors.asked() + 5 + self.below(120);
                wait_until("visitors go on", SOON, || (self.visitors.asked() >= pause).then_some(()));
            }
        });
    }

    /// The shims of the instances of a type that are up.
    pub(super) fn shims(&self, kind: &str) -> Vec<u32> {
        let names = states(self.app).into_iter().filter(|(name, state)| state == "up" && name.starts_with(&format!("{kind}.")));
        names.filter_map(|(name, _)| Some(pid_of(&self.app.instance(&name).filter(|row| row["shim_pid"].is_u64())?["shim_pid"]))).collect()
    }

    fn one_shim(&mut self, kind: &str) -> Option<u32> {
        let shims = self.shims(kind);
        let index = self.below(shims.len().max(1) as u64);
        shims.get(usize::try_from(index).expect("an index")).copied()
    }

    /// Kills it, and waits until it and what goes with it are gone.
    fn kill(&mut self, pid: u32, has_requests: bool) {
        let (from, with_it) = (Instant::now(), children(pid));
        kill_leftover(pid);
        wait_until("what was killed is gone", SOON, || (is_gone(pid) && with_it.iter().all(|pid| is_gone(*pid))).then_some(()));
        if has_requests {
            self.kills.felt.push((from, Instant::now()));
        }
    }

    fn kill_process(&mut self, kind: &str) {
        let child = self.one_shim(kind).and_then(|shim| children(shim).first().copied());
        if let Some(pid) = child {
            self.kill(pid, kind == "web");
        }
    }

    fn kill_shim(&mut self, kind: &str) {
        let Some(shim) = self.one_shim(kind) else { return };
        self.kills.cut.extend(children(shim).into_iter().filter_map(evidence::run_of));
        self.kill(shim, kind == "web");
    }

    fn kill_router(&mut self, with_shim: bool) {
        let router = || self.host.status()["router_shim_pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        let Some(shim) = router() else { return };
        let target = if with_shim { Some(shim) } else { children(shim).first().copied() };
        let Some(target) = target else { return };
        self.kill(target, true);
    }

    /// Without launch nothing starts, so the next thing waits until there is another one.
    fn kill_launch(&mut self) {
        let Some(launch) = self.host.launch_pid() else { return };
        kill_leftover(launch);
        wait_until("another launch is there", SOON, || self.host.launch_pid().filter(|pid| *pid != launch));
    }

    /// Kills the server, or who watches over it, and starts another after a while.
    fn kill_server(&mut self, guardian: bool) {
        kill_leftover(if guardian { self.host.guardian_pid() } else { self.host.server_pid() });
        self.host.wait_for_end_of_server();
        let until = self.visitors.asked() + self.below(60);
        wait_until("visitors are served without a server", SOON, || (self.visitors.asked() >= until).then_some(()));
        self.host.start_server();
    }

    /// Stops a process for less than anybody would call silent.
    fn stop_for_a_while(&mut self) {
        let Some(child) = self.one_shim("web").and_then(|shim| children(shim).first().copied()) else { return };
        send(child, Signal::SIGSTOP);
        let started = Instant::now();
        wait_until("it stood still for a while", SOON, || (started.elapsed().as_millis() > 1_500).then_some(()));
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(child).expect("a process id")), Signal::SIGCONT);
    }

    fn scale(&mut self) {
        let kind = if self.below(2) == 0 { "web" } else { "worker" };
        let count = 1 + self.below(INSTANCES_MAX);
        if self.app.paas(&["ps:scale", &format!("{kind}={count}")]).code == 0 {
            self.formation.insert(kind, count);
        }
    }
}
