//! Carrying out a switch: what the rollout asks for, done with the engine and the store.

use std::collections::{BTreeSet, VecDeque};

use api::{Failure, Kind};
use model::engine::ReleaseMode;
use model::text::milliseconds;
use model::{Cause, Formation, ReleaseVersion};
use tokio::sync::{oneshot, watch};

use super::SwitchRequest;
use super::overlap::Admission;
use super::task::{AppTask, InPlay};
use crate::app::phases::phases_before;
use crate::limits::{REFUSAL_LINE_CHARS_MAX, REFUSAL_LINES_MAX};
use crate::rollout::{Rollout, RolloutAction, RolloutEvent, RolloutPlan, Told};
use crate::seams::Lines;
use crate::store::Undone;
use crate::watching::undone_words;

/// A switch under way.
pub(super) struct Switching {
    pub(super) rollout: Rollout,
    pub(super) lines: Lines,
    cancel: watch::Receiver<Option<String>>,
    cancelled: bool,
    undo: Option<Undone>,
    pub(super) admission: Admission,
    /// Dropped when the phase that runs should end.
    pub(super) phase_cancel: Option<oneshot::Sender<()>>,
    reply: oneshot::Sender<Result<(), Failure>>,
}

impl Switching {
    /// The release that is being switched to.
    pub(super) fn candidate(&self) -> ReleaseVersion {
        self.rollout.plan().new
    }

    /// Resolves with why when the switch under way is cancelled; never if there is none.
    pub(super) async fn cancelled(switching: &mut Option<Self>) -> String {
        let Some(switching) = switching.as_mut().filter(|s| !s.cancelled) else {
            return std::future::pending().await;
        };
        let why = switching.cancel.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        // Without a reason its sender is gone: whoever asked no longer waits for it.
        switching.cancelled = true;
        why.unwrap_or_else(|| "cancelled".to_owned())
    }
}

impl AppTask {
    pub(super) async fn begin_switch(&mut self, request: SwitchRequest) {
        if self.switching.is_some() || self.is_closing() {
            let failure = Failure::new(Kind::Unavailable, "app.switching", format!("{} is switching releases", self.identity.name));
            let _ = request.reply.send(Err(failure.fix("try again when it is done")));
            return;
        }
        let version = request.runnable.release.version;
        let plan = RolloutPlan {
            refuse_5xx: !request.accept_5xx && self.answers_below_500(),
            old: self.current,
            old_formation: self.unless_stopped(&self.formation),
            new: version,
            new_formation: self.unless_stopped(&request.formation),
            // As soon as it is known.
            overlap: BTreeSet::new(),
            swap_web: false,
            phases: phases_before(request.release_phase, &request.runnable.manifest),
        };
        self.addon_env = request.addon_env;
        self.releases.insert(version, InPlay { runnable: request.runnable, mode: ReleaseMode::Retire, formation: request.formation });
        self.switching = Some(Switching {
            rollout: Rollout::new(plan),
            lines: request.lines,
            cancel: request.cancel,
            cancelled: false,
            undo: request.undo,
            admission: Admission::default(),
            phase_cancel: None,
            reply: request.reply,
        });
        self.admit();
        self.advance(RolloutEvent::Start).await;
    }

    /// Whether the release that serves answered its last check, and not with a 5xx.
    fn answers_below_500(&self) -> bool {
        let Some(current) = self.current else { return false };
        let statuses: Vec<u16> = self.observed.of(current).filter_map(|i| i.probe_status).collect();
        !statuses.is_empty() && statuses.iter().all(|status| *status < 500)
    }

    fn unless_stopped(&self, formation: &Formation) -> Formation {
        if self.stopped { Formation::default() } else { formation.clone() }
    }

    pub(super) async fn step_switch(&mut self) {
        if self.switching.is_some() {
            let observed = self.observed.clone();
            self.advance(RolloutEvent::Observed(&observed)).await;
        }
    }

    pub(super) async fn cancel_switch(&mut self, why: String) {
        if let Some(switching) = &mut self.switching {
            switching.phase_cancel.take();
            self.advance(RolloutEvent::Cancelled(why)).await;
        }
        self.drop_retired();
    }

    pub(super) async fn phase_ended(&mut self, version: ReleaseVersion, result: Result<(), String>) {
        if self.switching.as_ref().is_some_and(|s| s.candidate() == version) {
            self.admit();
            self.advance(RolloutEvent::PhaseEnded(result)).await;
        }
        self.drop_retired();
    }

    /// `ps:stop` or `ps:start` during a switch.
    pub(super) async fn stopped_amid_switch(&mut self) {
        let Some(candidate) = self.switching.as_ref().map(Switching::candidate) else { return };
        let old = self.unless_stopped(&self.formation);
        let new = self.releases.get(&candidate).map(|r| self.unless_stopped(&r.formation)).unwrap_or_default();
        let replanned = self.switching.as_mut().is_some_and(|s| s.rollout.replan(old, new));
        if !replanned && self.stopped {
            // What it waits for will not come up.
            self.cancel_switch("stopped with ps:stop".to_owned()).await;
        }
    }

    async fn advance(&mut self, event: RolloutEvent<'_>) {
        let Some(switching) = &mut self.switching else { return };
        let mut actions: VecDeque<_> = switching.rollout.on_event(event).into();
        while let Some(action) = actions.pop_front() {
            let Some(switching) = &mut self.switching else { return };
            match action {
                RolloutAction::Say(Told::Swapping(names)) => self.say_swapping(&names),
                RolloutAction::Web(web) => self.set_web(web),
                RolloutAction::Say(told) => say(&switching.lines, switching.rollout.plan(), &told),
                RolloutAction::RunPhase(phase) => self.start_phase(phase),
                RolloutAction::SetModes { old, new } => self.set_modes(old, new),
                RolloutAction::Flip => {
                    let stored = self.flip().await;
                    if let Some(switching) = &mut self.switching {
                        actions.extend(switching.rollout.on_event(RolloutEvent::Stored(stored)));
                    }
                }
                RolloutAction::Succeeded => self.end_switch(Ok(())),
                RolloutAction::Failed(why) => {
                    let version = switching.candidate();
                    self.end_switch(Err(self.refusal(version, &why)));
                }
            }
        }
    }

    fn say_swapping(&self, names: &[String]) {
        let Some(switching) = &self.switching else { return };
        let old = switching.rollout.plan().old.map(|old| format!(" of {old}")).unwrap_or_default();
        let why = switching.admission.why_swap.as_deref().unwrap_or("web does not run twice");
        let text = format!("stopping {}{old} first, requests are held meanwhile: {why}", names.join(", "));
        switching.lines.detail(&text);
        self.services.logs.write(self.identity.number, "release", &text);
    }

    fn set_modes(&mut self, old: ReleaseMode, new: ReleaseMode) {
        let Some(plan) = self.switching.as_ref().map(|s| s.rollout.plan().clone()) else { return };
        if let Some(in_play) = plan.old.and_then(|v| self.releases.get_mut(&v)) {
            in_play.mode = old;
        }
        if let Some(in_play) = self.releases.get_mut(&plan.new) {
            in_play.mode = new;
        }
        // Routes first: at the flip the new release takes traffic before the old drains.
        self.publish_routes();
        self.publish_target();
    }

    /// Moves `app.current`; from here on the new release is the one that serves.
    async fn flip(&mut self) -> Result<(), String> {
        let Some((plan, undo)) = self.switching.as_ref().map(|s| (s.rollout.plan().clone(), s.undo.clone())) else { return Ok(()) };
        self.services.store_switch(&self.identity, plan.new, undo.clone()).await?;
        self.current = Some(plan.new);
        self.trouble = None;
        if let Some(released) = self.releases.get(&plan.new) {
            match undo {
                Some(undone) => self.note = Some(undone_words(undone.version, &undone.why)),
                None if matches!(released.runnable.release.cause, Cause::Rollback { .. }) => {}
                None => self.note = None,
            }
            // As the store does it.
            self.formation = self.formation.taken_over(&released.formation);
        }
        if let Some(switching) = &self.switching {
            let stopping = plan.old.map(|old| format!(", stopping {old}")).unwrap_or_default();
            switching.lines.step(format!("Switched traffic to {}{stopping}", plan.new));
        }
        Ok(())
    }

    /// Whoever waits hears of it when everyone else may see it too.
    fn end_switch(&mut self, result: Result<(), Failure>) {
        let Some(Switching { reply, lines, .. }) = self.switching.take() else { return };
        drop(lines);
        self.publish_view();
        let _ = reply.send(result);
    }

    fn refusal(&self, version: ReleaseVersion, why: &str) -> Failure {
        let keeps = self.current.map_or_else(|| "nothing serves yet".to_owned(), |v| format!("{v} keeps serving"));
        let failure = Failure::new(Kind::Failed, "release.refused", format!("{version} refused ({why}); {keeps}"));
        let ended = self.observed.of(version).filter_map(|i| i.last_end.as_ref()).max_by_key(|end| end.at_unix_ms);
        let hint = ended.and_then(|end| Some((end.run.instance.name(), end.flight.hint.as_ref()?)));
        let found = hint.as_ref().map(|(name, hint)| format!("{name} {}", hint.found));
        let last_lines = ended.filter(|end| !end.last_lines.is_empty()).map(|end| {
            let skip = end.last_lines.len().saturating_sub(REFUSAL_LINES_MAX);
            let lines = end.last_lines[skip..].iter().map(|l| format!("\n  {}", model::text::clean(l, REFUSAL_LINE_CHARS_MAX)));
            format!("its last lines were:{}", lines.collect::<String>())
        });
        let why: Vec<String> = found.into_iter().chain(last_lines).collect();
        let failure = if why.is_empty() { failure } else { failure.why(why.join("\n")) };
        let fix = hint.map_or_else(|| format!("see `paas logs -a {}`", self.identity.name), |(_, hint)| hint.fix.clone());
        failure.fix(format!("{fix}; once it starts, push again"))
    }
}

fn say(lines: &Lines, plan: &RolloutPlan, told: &Told) {
    match told {
        Told::Starting(names) => lines.step(format!("Release {}: starting {}", plan.new, names.join(", "))),
        Told::Ready { instance, after_ms, check: Some(check) } => {
            lines.detail(format!("{instance} healthy after {} ({check})", milliseconds(*after_ms)));
        }
        Told::Ready { instance, after_ms, check: None } => lines.detail(format!("{instance} up for {}", milliseconds(*after_ms))),
        Told::HandingOver(names) => {
            let old = plan.old.map(|old| format!(" of {old}")).unwrap_or_default();
            lines.detail(format!("stopping {}{old} first: only web runs twice", names.join(", ")));
        }
        Told::Ill(check) => lines.problem(format!("{check}: taken all the same, there is no release before it to compare with")),
        // Told with its reason, see `say_swapping`.
        Told::Swapping(_) => {}
    }
}
