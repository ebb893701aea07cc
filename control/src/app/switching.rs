//! Carrying out a switch: what the rollout asks for, done with the engine and the store.

use api::{Failure, Kind};
use model::engine::{OneOff, OneOffCommand, ReleaseMode, ReleaseTarget};
use model::{InstanceId, ProcessType, ReleaseVersion};
use tokio::sync::oneshot;

use super::task::{AppTask, InPlay};
use super::{AppCommand, SwitchRequest};
use crate::limits::RELEASE_PHASE_SECONDS_MAX;
use crate::rollout::{Rollout, RolloutAction, RolloutEvent, RolloutPlan, Told};
use crate::seams::{Cancel, Lines, OneOffOutput};
use crate::story::duration;

/// A switch under way.
pub(super) struct Switching {
    rollout: Rollout,
    lines: Lines,
    cancel: Cancel,
    cancelled: bool,
    phase_cancel: Option<oneshot::Sender<()>>,
    reply: Option<oneshot::Sender<Result<(), Failure>>>,
}

impl Switching {
    /// The release that is being switched to.
    pub(super) fn candidate(&self) -> ReleaseVersion {
        self.rollout.plan().new
    }

    /// Resolves when the switch under way is cancelled; never if there is none.
    pub(super) async fn cancelled(switching: &mut Option<Self>) {
        let Some(switching) = switching.as_mut().filter(|s| !s.cancelled) else {
            return std::future::pending().await;
        };
        if switching.cancel.wait_for(|cancelled| *cancelled).await.is_err() {
            // The sender is gone without having cancelled: nobody will.
            switching.cancelled = true;
            return std::future::pending().await;
        }
        switching.cancelled = true;
    }
}

impl AppTask {
    pub(super) async fn begin_switch(&mut self, request: SwitchRequest) {
        if self.switching.is_some() {
            let failure = Failure::new(Kind::Unavailable, "app.switching", format!("{} is switching releases", self.identity.name));
            let _ = request.reply.send(Err(failure.fix("try again when it is done")));
            return;
        }
        let version = request.runnable.release.version;
        let plan = RolloutPlan {
            old: self.current,
            old_formation: if self.stopped { model::Formation::default() } else { self.formation.clone() },
            new: version,
            new_formation: if self.stopped { model::Formation::default() } else { request.formation.clone() },
            overlap: self.overlap.clone(),
            release_phase: request.release_phase && request.runnable.manifest.commands.contains_key(&ProcessType::release()),
        };
        self.releases.insert(version, InPlay { runnable: request.runnable, mode: ReleaseMode::Retire, formation: request.formation });
        self.switching = Some(Switching {
            rollout: Rollout::new(plan),
            lines: request.lines,
            cancel: request.cancel,
            cancelled: false,
            phase_cancel: None,
            reply: Some(request.reply),
        });
        self.advance(RolloutEvent::Start).await;
    }

    pub(super) async fn step_switch(&mut self) {
        if self.switching.is_some() {
            let observed = self.observed.clone();
            self.advance(RolloutEvent::Observed(&observed)).await;
        }
    }

    pub(super) async fn cancel_switch(&mut self) {
        if let Some(switching) = &mut self.switching {
            switching.phase_cancel.take();
            self.advance(RolloutEvent::Cancelled).await;
        }
    }

    pub(super) async fn release_phase_ended(&mut self, version: ReleaseVersion, result: Result<(), String>) {
        if self.switching.as_ref().is_some_and(|s| s.rollout.plan().new == version) {
            self.advance(RolloutEvent::ReleasePhaseEnded(result)).await;
        }
    }

    async fn advance(&mut self, event: RolloutEvent<'_>) {
        let Some(switching) = &mut self.switching else { return };
        let mut actions: std::collections::VecDeque<_> = switching.rollout.on_event(event).into();
        while let Some(action) = actions.pop_front() {
            let Some(switching) = &mut self.switching else { return };
            match action {
                RolloutAction::Say(told) => say(&switching.lines, switching.rollout.plan().new, &told),
                RolloutAction::RunReleasePhase => self.start_release_phase(),
                RolloutAction::SetModes { old, new } => self.set_modes(old, new),
                RolloutAction::Flip => {
                    let stored = self.flip().await;
                    if let Some(switching) = &mut self.switching {
                        actions.extend(switching.rollout.on_event(RolloutEvent::Stored(stored)));
                    }
                }
                RolloutAction::Succeeded => self.end_switch(Ok(())),
                RolloutAction::Failed(why) => {
                    let version = switching.rollout.plan().new;
                    self.end_switch(Err(self.refusal(version, &why)));
                }
            }
        }
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
        let Some(plan) = self.switching.as_ref().map(|s| s.rollout.plan().clone()) else { return Ok(()) };
        let formation = self.releases.get(&plan.new).map(|r| r.formation.clone()).unwrap_or_default();
        self.services.store_switch(&self.identity, plan.new).await?;
        self.current = Some(plan.new);
        self.formation = formation;
        if let Some(switching) = &self.switching {
            let stopping = plan.old.map(|old| format!(", stopping {old}")).unwrap_or_default();
            switching.lines.step(format!("Switched traffic to {}{stopping}", plan.new));
        }
        Ok(())
    }

    fn end_switch(&mut self, result: Result<(), Failure>) {
        let Some(mut switching) = self.switching.take() else { return };
        self.publish_view();
        if let Some(reply) = switching.reply.take() {
            let _ = reply.send(result);
        }
    }

    fn refusal(&self, version: ReleaseVersion, why: &str) -> Failure {
        let keeps = self.current.map_or_else(|| "nothing serves yet".to_owned(), |v| format!("{v} keeps serving"));
        let failure = Failure::new(Kind::Failed, "release.refused", format!("{version} refused ({why}); {keeps}"));
        let ended = self.observed.of(version).filter_map(|i| i.last_end.as_ref()).max_by_key(|end| end.at_unix_ms);
        let failure = match ended.filter(|end| !end.last_lines.is_empty()) {
            Some(end) => {
                let skip = end.last_lines.len().saturating_sub(crate::limits::REFUSAL_LINES_MAX);
                failure.why(format!("its last lines were:\n{}", end.last_lines[skip..].iter().map(|l| format!("  {l}")).collect::<Vec<_>>().join("\n")))
            }
            None => failure,
        };
        failure.fix(format!("see `paas logs -a {}`; once it starts, push again", self.identity.name))
    }

    fn start_release_phase(&mut self) {
        let Some(switching) = &mut self.switching else { return };
        let version = switching.rollout.plan().new;
        let Some(in_play) = self.releases.get(&version) else { return };
        let command = in_play.runnable.manifest.commands.get(&ProcessType::release()).cloned().unwrap_or_default();
        switching.lines.step(format!("Running release phase: {command}"));
        let (phase_cancel, cancelled) = oneshot::channel();
        switching.phase_cancel = Some(phase_cancel);
        let one_off = OneOff {
            app: self.identity.name.clone(),
            number: self.identity.number,
            version,
            release: ReleaseTarget {
                mode: ReleaseMode::Prepare,
                slug: in_play.runnable.release.slug,
                manifest: in_play.runnable.manifest.clone(),
                config: in_play.runnable.config.clone(),
                addon_env: self.addon_env.clone(),
                formation: model::Formation::default(),
            },
            instance: InstanceId { app: self.identity.name.clone(), process_type: ProcessType::release(), ordinal: 1 },
            command: OneOffCommand::Shell(command),
            env: std::collections::BTreeMap::new(),
            timeout_s: Some(RELEASE_PHASE_SECONDS_MAX),
        };
        let (services, own, lines) = (self.services.clone(), self.own.clone(), switching.lines.clone());
        tokio::spawn(async move {
            let result = run_release_phase(&services, one_off, lines, cancelled).await;
            let _ = own.send(AppCommand::ReleasePhaseEnded(version, result)).await;
        });
    }
}

async fn run_release_phase(
    services: &crate::services::Services,
    one_off: OneOff,
    lines: Lines,
    cancelled: oneshot::Receiver<()>,
) -> Result<(), String> {
    let session = services.engine.run_once(one_off, OneOffOutput::Lines(lines)).await.map_err(|f| f.what)?;
    let limit = std::time::Duration::from_secs(RELEASE_PHASE_SECONDS_MAX);
    tokio::select! {
        status = session.wait() => match status {
            model::ExitStatus::Code(0) => Ok(()),
            status => Err(format!("release phase {status}")),
        },
        () = tokio::time::sleep(limit) => {
            session.kill().await;
            Err(format!("release phase took longer than {RELEASE_PHASE_SECONDS_MAX} s"))
        }
        _ = cancelled => {
            session.kill().await;
            Err("cancelled".to_owned())
        }
    }
}

fn say(lines: &Lines, version: ReleaseVersion, told: &Told) {
    match told {
        Told::Starting(names) => lines.step(format!("Release {version}: starting {}", names.join(", "))),
        Told::Ready { instance, after_ms, check } => {
            let check = check.as_ref().map(|c| format!(" ({c})")).unwrap_or_default();
            lines.detail(format!("{instance} healthy after {}{check}", duration(*after_ms)));
        }
        Told::HandingOver(names) => lines.step(format!("Stopping {} of the old release first", names.join(", "))),
    }
}
