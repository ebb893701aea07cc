//! Compares what is wanted of an app with its known instances. Pure.
//!
//! ```text
//! {v7: Yield, v8: Handover} + {bot.1 of v7 up}      → Down(bot.1 of v7)
//! {v7: Yield, v8: Handover} + {bot.1 of v7 gone}    → Up(bot.1 of v8)
//! ```

use std::collections::{BTreeMap, BTreeSet};

use model::engine::{AppTarget, InstancePhase, ReleaseTarget};
use model::{InstanceId, Ordinal, ProcessType, ReleaseVersion};

/// One instance of one release, below its app.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotKey {
    /// The release.
    pub version: ReleaseVersion,
    /// The process type.
    pub process_type: ProcessType,
    /// Counted from 1.
    pub ordinal: Ordinal,
}

impl SlotKey {
    fn is_same_instance(&self, other: &Self) -> bool {
        self.process_type == other.process_type && self.ordinal == other.ordinal
    }
}

/// What is known of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// It was told to be up last.
    pub wanted: bool,
    /// A run of it may exist.
    pub occupied: bool,
    /// Its phase.
    pub phase: InstancePhase,
    /// The restart counter that was acted on last.
    pub restart_seen: u64,
    /// A restart that was asked for is under way.
    pub restarting: bool,
}

/// One step towards the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Begin to know an instance.
    Create(SlotKey),
    /// It should run now.
    Up(SlotKey),
    /// It should not run.
    Down(SlotKey),
    /// Restart it once.
    Restart(SlotKey),
    /// It is down and in no release: nothing is left of it.
    Forget(SlotKey),
}

/// What follows from a target alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The instances of its releases.
    existing: BTreeSet<SlotKey>,
    /// Those that should run.
    wanted: BTreeSet<SlotKey>,
}

impl Plan {
    /// Draws it up. That of no target wants nothing.
    pub fn of(target: &AppTarget) -> Self {
        let existing = existing(target);
        Self { wanted: wanted(target, &existing), existing }
    }
}

/// The steps that can be taken now; others follow when something happens. `plan` is that
/// of the target, or the empty one to take everything down.
pub fn reconcile(target: &AppTarget, plan: &Plan, known: &BTreeMap<SlotKey, Known>) -> Vec<Step> {
    let Plan { existing, wanted } = plan;
    let mut steps: Vec<Step> = existing.iter().filter(|key| !known.contains_key(key)).cloned().map(Step::Create).collect();
    for (key, now) in known {
        if !wanted.contains(key) {
            if now.wanted || matches!(now.phase, InstancePhase::Failed | InstancePhase::Finished | InstancePhase::Backoff) {
                steps.push(Step::Down(key.clone()));
            } else if !now.occupied && !existing.contains(key) {
                steps.push(Step::Forget(key.clone()));
            }
        } else if needs_up(target, key, now) && is_free(target, key, known) {
            steps.push(Step::Up(key.clone()));
        }
    }
    steps.extend(restarts(target, known, wanted).into_iter().map(Step::Restart));
    steps
}

/// Whether two runs of a type may live at the same time.
pub fn overlaps(target: &AppTarget, process_type: &ProcessType) -> bool {
    target.overlap.contains(process_type)
}

/// Whether another release still has a run of an instance that must never run twice.
pub fn is_free(target: &AppTarget, key: &SlotKey, known: &BTreeMap<SlotKey, Known>) -> bool {
    overlaps(target, &key.process_type) || !known.iter().any(|(other, now)| other != key && other.is_same_instance(key) && now.occupied)
}

fn existing(target: &AppTarget) -> BTreeSet<SlotKey> {
    let mut keys = BTreeSet::new();
    for (version, release) in &target.releases {
        for (process_type, count) in counts(release) {
            keys.extend((1..=count).map(|ordinal| SlotKey { version: *version, process_type: process_type.clone(), ordinal }));
        }
    }
    keys
}

fn counts(release: &ReleaseTarget) -> impl Iterator<Item = (&ProcessType, u32)> {
    let runs = |t: &&ProcessType| t.stays_up() && release.manifest.commands.contains_key(*t);
    release.formation.0.iter().map(|(t, count)| (t, *count)).filter(move |(t, _)| runs(t))
}

/// Of two releases that both want an exclusive instance, the newer one has it.
fn wanted(target: &AppTarget, existing: &BTreeSet<SlotKey>) -> BTreeSet<SlotKey> {
    let mut taken: BTreeSet<(&ProcessType, Ordinal)> = BTreeSet::new();
    let mut wanted = BTreeSet::new();
    for key in existing.iter().rev() {
        let Some(release) = target.releases.get(&key.version) else { continue };
        let is_wanted = if overlaps(target, &key.process_type) {
            release.mode.runs_overlapping()
        } else {
            release.mode.runs_exclusive() && taken.insert((&key.process_type, key.ordinal))
        };
        if is_wanted {
            wanted.insert(key.clone());
        }
    }
    wanted
}

fn needs_up(target: &AppTarget, key: &SlotKey, now: &Known) -> bool {
    let candidate = target.releases.get(&key.version).is_some_and(|release| release.mode.is_candidate());
    // A candidate that failed is tried again only once somebody has decided to keep it.
    !now.wanted || (now.phase == InstancePhase::Failed && !candidate)
}

/// Restarts that may begin: of several serving web instances one after another.
fn restarts(target: &AppTarget, known: &BTreeMap<SlotKey, Known>, wanted: &BTreeSet<SlotKey>) -> Vec<SlotKey> {
    let mut web_busy = known.iter().any(|(key, now)| key.process_type.is_web() && now.restarting);
    let mut begin = Vec::new();
    for (key, now) in known {
        let asked = target.restarts.get(&instance(target, key)).copied().unwrap_or(0) > now.restart_seen;
        if !asked || !now.wanted || !wanted.contains(key) {
            continue;
        }
        let serves = matches!(now.phase, InstancePhase::Ready | InstancePhase::Unready);
        if key.process_type.is_web() && serves {
            if web_busy {
                continue;
            }
            web_busy = true;
        }
        begin.push(key.clone());
    }
    begin
}

/// The instance that people know.
pub fn instance(target: &AppTarget, key: &SlotKey) -> InstanceId {
    InstanceId { app: target.app.clone(), process_type: key.process_type.clone(), ordinal: key.ordinal }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
pub(crate) mod tests;
