//! The switch from one release to the next: a pure state machine in releases and
//! observations. It knows no path, pid, uid or port.
//!
//! ```text
//! Phases ──────ok──▶ Prepare ─new web ready─▶ Handover ─new others ready─▶ Flip ─stored─▶ Done
//!      │ failed         │ crash, timeout          │                          │ not stored
//!      ▼                ▼                         ▼                          ▼
//!    Failed ◀───────────┴──── new retires, old serves in full again ─────────┘
//! ```
//! Steps that have nothing to do are passed at once: no phases (`release:`, then
//! `predeploy`), no web, no other process types.

use model::engine::{AppObserved, InstanceObserved, InstancePhase, LastEnd, ReleaseMode};
use model::{Formation, ProcessType, ReleaseVersion, SlugManifest};
use std::collections::BTreeSet;

/// One switch.
#[derive(Debug, Clone)]
pub struct Rollout {
    plan: RolloutPlan,
    step: Step,
    told_ready: BTreeSet<String>,
    /// Why it was cancelled during its release phase, whose end is waited for.
    cancelled: Option<String>,
}

/// What is to be switched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutPlan {
    /// The release that serves now.
    pub old: Option<ReleaseVersion>,
    /// How many of each it runs.
    pub old_formation: Formation,
    /// The candidate.
    pub new: ReleaseVersion,
    /// How many of each it should run.
    pub new_formation: Formation,
    /// Types that may run in both at once.
    pub overlap: BTreeSet<ProcessType>,
    /// Commands that run one after the other before anything starts.
    pub phases: Vec<Phase>,
    /// Refuse the candidate if its `/` answers 5xx: the old release's did not. The engine
    /// asks a candidate that answers 5xx for a while before it calls it ready.
    pub refuse_5xx: bool,
}

/// A command of the author's that a deploy runs once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The Procfile's `release:` line.
    Release,
    /// `scripts.predeploy` of app.json.
    Predeploy,
    /// `scripts.dokku.postdeploy`, once the new release serves.
    Postdeploy,
    /// `scripts.postdeploy`, once the app's first release serves.
    FirstPostdeploy,
}

impl Phase {
    /// Its name for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Release => "release phase",
            Self::Predeploy => "predeploy",
            Self::Postdeploy => "postdeploy",
            Self::FirstPostdeploy => "first postdeploy",
        }
    }

    /// The process type that it has in logs.
    pub fn process_type(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Predeploy => "predeploy",
            Self::Postdeploy | Self::FirstPostdeploy => "postdeploy",
        }
    }

    /// What it runs, if the author wants it.
    pub fn command(self, manifest: &SlugManifest) -> Option<&str> {
        let scripts = &manifest.app_json;
        match self {
            Self::Release => manifest.commands.get(&ProcessType::release()),
            Self::Predeploy => scripts.predeploy.as_ref(),
            Self::Postdeploy => scripts.postdeploy.as_ref(),
            Self::FirstPostdeploy => scripts.first_postdeploy.as_ref(),
        }
        .map(String::as_str)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    NotStarted,
    /// The phase of this index runs.
    Phase(usize),
    Prepare,
    Handover,
    Flip,
    Done,
    Failed,
}

/// What a rollout is told.
#[derive(Debug)]
pub enum RolloutEvent<'a> {
    /// Begin.
    Start,
    /// The phase that ran has ended; `Err` says how it failed.
    PhaseEnded(Result<(), String>),
    /// The app as the engine sees it.
    Observed(&'a AppObserved),
    /// The flip is stored; `Err` says why not.
    Stored(Result<(), String>),
    /// Nobody wants it any more, and why. Ignored once the flip was asked for.
    Cancelled(String),
}

/// What a rollout asks for, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutAction {
    /// Run this phase.
    RunPhase(Phase),
    /// Set both modes.
    SetModes {
        /// Of the old release, if there is one.
        old: ReleaseMode,
        /// Of the new one.
        new: ReleaseMode,
    },
    /// Tell the author.
    Say(Told),
    /// Move `app.current` in one transaction, then report `Stored`.
    Flip,
    /// The new release serves.
    Succeeded,
    /// It does not, and why; everything is as before.
    Failed(String),
}

/// What the author is told on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// These instances are started, web first.
    Starting(Vec<String>),
    /// This one is ready.
    Ready {
        /// `web.1`.
        instance: String,
        /// How long it took.
        after_ms: u64,
        /// `GET / -> 200`.
        check: Option<String>,
    },
    /// The old release's other processes stop before the new ones start.
    HandingOver(Vec<String>),
}

impl Rollout {
    /// A switch that has not begun.
    pub fn new(plan: RolloutPlan) -> Self {
        Self { plan, step: Step::NotStarted, told_ready: BTreeSet::new(), cancelled: None }
    }

    /// The switch that this is.
    pub fn plan(&self) -> &RolloutPlan {
        &self.plan
    }

    /// Other counts, as long as nothing was started; false if it is too late for that.
    pub fn replan(&mut self, old_formation: Formation, new_formation: Formation) -> bool {
        let early = matches!(self.step, Step::NotStarted | Step::Phase(_));
        if early {
            self.plan.old_formation = old_formation;
            self.plan.new_formation = new_formation;
        }
        early
    }

    /// What to do now.
    pub fn on_event(&mut self, event: RolloutEvent<'_>) -> Vec<RolloutAction> {
        match (self.step, event) {
            (Step::NotStarted, RolloutEvent::Start) => self.phase(0),
            (Step::Phase(index), RolloutEvent::PhaseEnded(ended)) => match (self.cancelled.take(), ended) {
                (Some(why), _) | (None, Err(why)) => self.fail(why),
                (None, Ok(())) => self.phase(index + 1),
            },
            // Two release phases at once could be two migrations at once.
            (Step::Phase(_), RolloutEvent::Cancelled(why)) => {
                self.cancelled = Some(why);
                Vec::new()
            }
            (Step::Prepare | Step::Handover, RolloutEvent::Observed(observed)) => self.observe(observed),
            (Step::Flip, RolloutEvent::Stored(Ok(()))) => {
                self.step = Step::Done;
                vec![RolloutAction::SetModes { old: ReleaseMode::Retire, new: ReleaseMode::Serve }, RolloutAction::Succeeded]
            }
            (Step::Flip, RolloutEvent::Stored(Err(why))) => self.fail(why),
            (Step::NotStarted | Step::Prepare | Step::Handover, RolloutEvent::Cancelled(why)) => self.fail(why),
            // A late report, or a cancel after the flip was asked for.
            _ => Vec::new(),
        }
    }

    fn phase(&mut self, index: usize) -> Vec<RolloutAction> {
        let Some(phase) = self.plan.phases.get(index) else { return self.prepare() };
        self.step = Step::Phase(index);
        vec![RolloutAction::RunPhase(*phase)]
    }

    fn prepare(&mut self) -> Vec<RolloutAction> {
        let all = names(&self.plan.new_formation, |_| true);
        let mut actions = Vec::new();
        if !all.is_empty() {
            actions.push(RolloutAction::Say(Told::Starting(all)));
        }
        if names(&self.plan.new_formation, |t| self.plan.overlap.contains(t)).is_empty() {
            actions.extend(self.hand_over());
        } else {
            self.step = Step::Prepare;
            actions.push(RolloutAction::SetModes { old: ReleaseMode::Serve, new: ReleaseMode::Prepare });
        }
        actions
    }

    fn hand_over(&mut self) -> Vec<RolloutAction> {
        let exclusive = |t: &ProcessType| !self.plan.overlap.contains(t);
        let starting = names(&self.plan.new_formation, exclusive);
        let stopping = self.plan.old.map(|_| names(&self.plan.old_formation, exclusive)).unwrap_or_default();
        if starting.is_empty() && stopping.is_empty() {
            self.step = Step::Flip;
            return vec![RolloutAction::Flip];
        }
        self.step = Step::Handover;
        let mut actions = Vec::new();
        if !stopping.is_empty() {
            actions.push(RolloutAction::Say(Told::HandingOver(stopping)));
        }
        actions.push(RolloutAction::SetModes { old: ReleaseMode::Yield, new: ReleaseMode::Handover });
        actions
    }

    fn observe(&mut self, observed: &AppObserved) -> Vec<RolloutAction> {
        if let Some(failed) = observed.of(self.plan.new).find(|i| i.phase == InstancePhase::Failed) {
            return self.fail(failure_of(failed));
        }
        if let Some(why) = self.answers_5xx(observed) {
            return self.fail(why);
        }
        let mut actions = self.tell_ready(observed);
        let mut ready = self.all_ready(observed, true);
        if self.step == Step::Handover {
            ready = ready && self.all_ready(observed, false) && self.old_exclusive_gone(observed);
        }
        if ready && self.step == Step::Prepare {
            actions.extend(self.hand_over());
        } else if ready {
            self.step = Step::Flip;
            actions.push(RolloutAction::Flip);
        }
        actions
    }

    fn answers_5xx(&self, observed: &AppObserved) -> Option<String> {
        let answers = |i: &&InstanceObserved| i.phase == InstancePhase::Ready && i.probe_status.is_some_and(|status| status >= 500);
        let ill = observed.of(self.plan.new).find(answers).filter(|_| self.plan.refuse_5xx)?;
        Some(ill.check.clone().unwrap_or_else(|| format!("{} answers 5xx", ill.instance.name())))
    }

    fn tell_ready(&mut self, observed: &AppObserved) -> Vec<RolloutAction> {
        let mut actions = Vec::new();
        for instance in observed.of(self.plan.new).filter(|i| i.phase == InstancePhase::Ready) {
            let name = instance.instance.name();
            if self.told_ready.insert(name.clone()) {
                actions.push(RolloutAction::Say(Told::Ready {
                    instance: name,
                    after_ms: instance.ready_after_ms.unwrap_or(0),
                    check: instance.check.clone(),
                }));
            }
        }
        actions
    }

    fn all_ready(&self, observed: &AppObserved, overlapping: bool) -> bool {
        let mut wanted = self.plan.new_formation.instances().filter(|(t, _)| self.plan.overlap.contains(*t) == overlapping);
        wanted.all(|(process_type, ordinal)| {
            observed.of(self.plan.new).any(|i| {
                i.instance.process_type == *process_type
                    && i.instance.ordinal == ordinal
                    && matches!(i.phase, InstancePhase::Ready | InstancePhase::Finished)
            })
        })
    }

    fn old_exclusive_gone(&self, observed: &AppObserved) -> bool {
        let Some(old) = self.plan.old else { return true };
        observed.of(old).filter(|i| !self.plan.overlap.contains(&i.instance.process_type)).all(|i| i.run.is_none())
    }

    fn fail(&mut self, why: String) -> Vec<RolloutAction> {
        let started = matches!(self.step, Step::Prepare | Step::Handover | Step::Flip);
        self.step = Step::Failed;
        let mut actions = Vec::new();
        if started {
            actions.push(RolloutAction::SetModes { old: ReleaseMode::Serve, new: ReleaseMode::Retire });
        }
        actions.push(RolloutAction::Failed(why));
        actions
    }
}

fn names(formation: &Formation, wanted: impl Fn(&ProcessType) -> bool) -> Vec<String> {
    formation.instances().filter(|(t, _)| wanted(t)).map(|(t, ordinal)| format!("{t}.{ordinal}")).collect()
}

fn failure_of(instance: &InstanceObserved) -> String {
    let name = instance.instance.name();
    match &instance.last_end {
        Some(LastEnd { reason: model::StopReason::Exited, status, .. }) => format!("{name} {status} before it was ready"),
        Some(LastEnd { reason: reason @ model::StopReason::CheckFailed { .. }, .. }) => {
            let code = reason.code().map(|code| format!(" ({code})")).unwrap_or_default();
            format!("{name}: {reason}{code}")
        }
        Some(end) => {
            let code = end.reason.code().map(|code| format!(" ({code})")).unwrap_or_default();
            format!("{name} {}{code}", end.reason)
        }
        None => format!("{name} could not be started"),
    }
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
