//! The switch from one release to the next: a pure state machine in releases and
//! observations. It knows no path, pid, uid or port.
//!
//! ```text
//! Phases ──────ok──▶ Prepare ─new web ready─▶ Handover ─new others ready─▶ Flip ─stored─▶ Done
//!      │ failed         │ crash, timeout          │                          │ not stored
//!      ▼                ▼                         ▼                          ▼
//!    Failed ◀───────────┴──── new retires, old serves in full again ─────────┘
//! ```
//! A web that may not run twice (`ps:overlap web off`, or no memory for two) is handed
//! over last, alone: `Handover ─others ready─▶ Swap ─new web ready─▶ Flip`.
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
    /// The old web stops before the new one starts; its requests are held.
    pub swap_web: bool,
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

/// Types that are switched together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// They run in both releases for a while.
    Overlapping,
    /// They stop in the old one first.
    Exclusive,
    /// The web, where it stops in the old one first.
    Web,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    NotStarted,
    /// The phase of this index runs.
    Phase(usize),
    Prepare,
    Handover,
    Swap,
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
    /// How the webs of both stand to each other from the next modes on.
    Web(Web),
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

/// How the webs of the old and the new release stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Web {
    /// Both may run.
    Beside,
    /// Only the old one runs so far.
    Later,
    /// One of them runs at a time; requests are held in between.
    Alone,
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
    /// The check of a first release is answered with 5xx; it is taken all the same.
    Ill(String),
    /// The old release's other processes stop before the new ones start.
    HandingOver(Vec<String>),
    /// The same of its web.
    Swapping(Vec<String>),
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

    /// Which types run twice, as long as nothing was started.
    pub fn set_overlap(&mut self, overlap: BTreeSet<ProcessType>, swap_web: bool) {
        if matches!(self.step, Step::NotStarted | Step::Phase(_)) {
            self.plan.overlap = overlap;
            self.plan.swap_web = swap_web;
        }
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
            (Step::Prepare | Step::Handover | Step::Swap, RolloutEvent::Observed(observed)) => self.observe(observed),
            (Step::Flip, RolloutEvent::Stored(Ok(()))) => {
                self.step = Step::Done;
                vec![RolloutAction::SetModes { old: ReleaseMode::Retire, new: ReleaseMode::Serve }, RolloutAction::Succeeded]
            }
            (Step::Flip, RolloutEvent::Stored(Err(why))) => self.fail(why),
            (Step::NotStarted | Step::Prepare | Step::Handover | Step::Swap, RolloutEvent::Cancelled(why)) => self.fail(why),
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
        if self.plan.swap_web {
            actions.push(RolloutAction::Web(Web::Later));
        }
        if self.starting(Group::Overlapping).is_empty() {
            actions.extend(self.hand_over());
        } else {
            self.step = Step::Prepare;
            actions.push(RolloutAction::SetModes { old: ReleaseMode::Serve, new: ReleaseMode::Prepare });
        }
        actions
    }

    fn hand_over(&mut self) -> Vec<RolloutAction> {
        let stopping = self.stopping(Group::Exclusive);
        if self.starting(Group::Exclusive).is_empty() && stopping.is_empty() {
            return self.swap();
        }
        self.step = Step::Handover;
        let mut actions = Vec::new();
        if !stopping.is_empty() {
            actions.push(RolloutAction::Say(Told::HandingOver(stopping)));
        }
        actions.push(RolloutAction::SetModes { old: ReleaseMode::Yield, new: ReleaseMode::Handover });
        actions
    }

    fn swap(&mut self) -> Vec<RolloutAction> {
        if !self.plan.swap_web {
            self.step = Step::Flip;
            return vec![RolloutAction::Flip];
        }
        self.step = Step::Swap;
        vec![
            RolloutAction::Say(Told::Swapping(self.stopping(Group::Web))),
            RolloutAction::Web(Web::Alone),
            RolloutAction::SetModes { old: ReleaseMode::Yield, new: ReleaseMode::Handover },
        ]
    }

    fn group(&self, process_type: &ProcessType) -> Group {
        if self.plan.swap_web && process_type.is_web() {
            Group::Web
        } else if self.plan.overlap.contains(process_type) {
            Group::Overlapping
        } else {
            Group::Exclusive
        }
    }

    fn starting(&self, group: Group) -> Vec<String> {
        names(&self.plan.new_formation, |t| self.group(t) == group)
    }

    fn stopping(&self, group: Group) -> Vec<String> {
        self.plan.old.map(|_| names(&self.plan.old_formation, |t| self.group(t) == group)).unwrap_or_default()
    }

    fn observe(&mut self, observed: &AppObserved) -> Vec<RolloutAction> {
        if let Some(failed) = observed.of(self.plan.new).find(|i| i.phase == InstancePhase::Failed) {
            return self.fail(failure_of(failed));
        }
        if let Some(why) = self.answers_5xx(observed) {
            return self.fail(why);
        }
        let mut actions = self.tell_ready(observed);
        let needed: &[Group] = match self.step {
            Step::Prepare => &[Group::Overlapping],
            Step::Handover => &[Group::Overlapping, Group::Exclusive],
            _ => &[Group::Overlapping, Group::Exclusive, Group::Web],
        };
        // What overlaps may be there still.
        if !needed.iter().all(|group| self.is_ready(observed, *group) && (*group == Group::Overlapping || self.is_gone(observed, *group))) {
            return actions;
        }
        actions.extend(match self.step {
            Step::Prepare => self.hand_over(),
            Step::Handover => self.swap(),
            _ => {
                self.step = Step::Flip;
                vec![RolloutAction::Flip]
            }
        });
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
                if self.plan.old.is_none() && instance.probe_status.is_some_and(|status| status >= 500) {
                    actions.push(RolloutAction::Say(Told::Ill(instance.check.clone().unwrap_or_default())));
                }
            }
        }
        actions
    }

    fn is_ready(&self, observed: &AppObserved, group: Group) -> bool {
        let mut wanted = self.plan.new_formation.instances().filter(|(t, _)| self.group(t) == group);
        wanted.all(|(process_type, ordinal)| {
            observed.of(self.plan.new).any(|i| {
                i.instance.process_type == *process_type
                    && i.instance.ordinal == ordinal
                    && matches!(i.phase, InstancePhase::Ready | InstancePhase::Finished)
            })
        })
    }

    fn is_gone(&self, observed: &AppObserved, group: Group) -> bool {
        let Some(old) = self.plan.old else { return true };
        observed.of(old).filter(|i| self.group(&i.instance.process_type) == group).all(|i| i.run.is_none())
    }

    fn fail(&mut self, why: String) -> Vec<RolloutAction> {
        let started = matches!(self.step, Step::Prepare | Step::Handover | Step::Swap | Step::Flip);
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
