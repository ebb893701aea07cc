//! What is not killed but filled: the disk, a log, the table of processes. Each is bounded
//! and taken away again within its step, so that what comes next finds the machine as it was.

use super::super::cases::{running, scale};
use super::super::support::processes::children;
use super::super::support::{App, Filler, SOON, wait_until};
use super::steps::Chaos;
use super::{evidence, expect_formation};

/// More lines than a pipe, a batch and a segment hold, and then no more.
pub(super) const FLOOD: &str = "#!/bin/sh
yes 'a line of a flood that is a hundred bytes long with all that belongs to it, so that it is easily counted' | head -n 200000
echo 'the flood is over'
exec sleep 86406
";
/// Requests that are answered while the disk is full, at most and at least.
const FULL_FOR_MAX: u64 = 100;
const FULL_FOR_MIN: u64 = 20;

/// Starts a nuisance, waits until it has done its worst, and ends it.
fn let_loose(app: &App<'_>, process_type: &str, last_words: &str) {
    let instance = format!("{process_type}.1");
    let said = || {
        let lines = app.paas(&["logs", "-n", "1000", "-p", &instance]).expect_ok().stdout;
        lines.lines().filter(|line| line.ends_with(last_words)).count()
    };
    let before = said();
    scale(app, &format!("{process_type}=1"));
    wait_until("the nuisance has done its worst", SOON * 2, || (said() > before).then_some(()));
    scale(app, &format!("{process_type}=0"));
}

impl Chaos<'_> {
    /// Takes all the room there is for a while. Everything is up before: what would start
    /// without room may fail, and a failed start is no news.
    pub(super) fn fill_disk(&mut self) {
        // Drawn in any case: the order of what follows is the same for everybody.
        let answers = FULL_FOR_MIN + self.below(FULL_FOR_MAX - FULL_FOR_MIN);
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        expect_formation(self.host, self.app, &self.formation());
        let runs = |chaos: &Self| {
            let shims: Vec<u32> = ["web", "worker"].iter().flat_map(|kind| chaos.shims(kind)).collect();
            shims.into_iter().flat_map(children).filter_map(evidence::run_of).collect::<Vec<_>>()
        };
        let before = runs(self);
        let filler = Filler::fill(&self.host.root(), 0);
        let until = self.visitors.asked() + answers;
        wait_until("visitors are served on a full disk", SOON, || (self.visitors.asked() >= until).then_some(()));
        filler.give_back();
        expect_formation(self.host, self.app, &self.formation());
        assert_eq!(runs(self), before, "a full disk ended a process");
        self.kills.on_full_disk.extend(before);
    }

    /// Prints as fast as it goes.
    pub(super) fn flood(&mut self) {
        let_loose(self.loud, "flood", "the flood is over");
    }

    /// Forks as often as it can.
    pub(super) fn bomb(&mut self) {
        let_loose(self.loud, "bomb", "the bomb was stopped");
        wait_until("the bomb is gone with all that it started", SOON, || running(self.host, "bin/bomb").is_empty().then_some(()));
    }
}
