//! Commands of the author's that a deploy runs once: `release:` and `predeploy` before
//! anything new starts, `postdeploy` when the new release serves.

use std::collections::BTreeMap;
use std::time::Duration;

use model::engine::{OneOff, OneOffCommand, ReleaseMode, ReleaseTarget};
use model::{ConfigVars, ExitStatus, Formation, InstanceId, KeptPath, ProcessType, SlugManifest};
use tokio::sync::oneshot;

use super::task::AppTask;
use super::{AppCommand, AppIdentity, RunnableRelease};
use crate::limits::{REFUSAL_LINE_CHARS_MAX, RELEASE_PHASE_KILL_MAX, RELEASE_PHASE_SECONDS_MAX};
use crate::rollout::Phase;
use crate::seams::{Lines, OneOffOutput};
use crate::services::Services;

/// What runs before anything of a release starts, in order.
pub(crate) fn phases_before(wanted: bool, manifest: &SlugManifest) -> Vec<Phase> {
    let phases = [Phase::Release, Phase::Predeploy].into_iter();
    phases.filter(|phase| wanted && phase.command(manifest).is_some()).collect()
}

/// What runs once a release serves, in order.
pub(crate) fn phases_after(wanted: bool, is_first: bool, manifest: &SlugManifest) -> Vec<Phase> {
    let phases = [Phase::FirstPostdeploy, Phase::Postdeploy].into_iter();
    phases.filter(|phase| wanted && (is_first || *phase != Phase::FirstPostdeploy) && phase.command(manifest).is_some()).collect()
}

/// A phase as a process beside the app, with the release's code and config.
pub(crate) fn one_off(
    identity: &AppIdentity,
    runnable: &RunnableRelease,
    addon_env: &ConfigVars,
    kept: &[KeptPath],
    phase: Phase,
) -> OneOff {
    let process_type = phase.process_type().parse().unwrap_or_else(|_| ProcessType::release());
    OneOff {
        app: identity.name.clone(),
        number: identity.number,
        version: runnable.release.version,
        release: ReleaseTarget {
            mode: ReleaseMode::Prepare,
            slug: runnable.release.slug,
            manifest: runnable.manifest.clone(),
            config: runnable.config.clone(),
            addon_env: addon_env.clone(),
            formation: Formation::default(),
            kept: kept.to_vec(),
        },
        instance: InstanceId { app: identity.name.clone(), process_type, ordinal: 1 },
        command: OneOffCommand::Shell(phase.command(&runnable.manifest).unwrap_or_default().to_owned()),
        env: BTreeMap::new(),
        timeout_s: Some(RELEASE_PHASE_SECONDS_MAX),
    }
}

/// The step in the push that opens a phase.
pub(crate) fn say_phase(lines: &Lines, phase: Phase, manifest: &SlugManifest) {
    let shown = model::text::clean(phase.command(manifest).unwrap_or_default(), REFUSAL_LINE_CHARS_MAX);
    lines.step(format!("Running {}: {shown}", phase.words()));
}

impl AppTask {
    pub(super) fn start_phase(&mut self, phase: Phase) {
        let Some(switching) = &mut self.switching else { return };
        let version = switching.candidate();
        let Some(in_play) = self.releases.get(&version) else { return };
        say_phase(&switching.lines, phase, &in_play.runnable.manifest);
        let (phase_cancel, cancelled) = oneshot::channel();
        switching.phase_cancel = Some(phase_cancel);
        let one_off = one_off(&self.identity, &in_play.runnable, &self.addon_env, &self.kept, phase);
        let (services, own, lines) = (self.services.clone(), self.own.clone(), switching.lines.clone());
        tokio::spawn(async move {
            // A panic must not leave the switch waiting.
            let run = tokio::spawn(async move { run(&services, phase, one_off, lines, async { drop(cancelled.await) }).await });
            let result = run.await.unwrap_or_else(|error| Err(format!("{} broke off: {error}", phase.words())));
            // The task is gone: so is its switch.
            let _ = own.send(AppCommand::PhaseEnded(version, result)).await;
        });
    }
}

/// Runs a phase to its end; `Err` says how it failed.
pub(crate) async fn run(
    services: &Services,
    phase: Phase,
    one_off: OneOff,
    lines: Lines,
    cancelled: impl Future<Output = ()>,
) -> Result<(), String> {
    let words = phase.words();
    let session = services.engine.run_once(one_off, OneOffOutput::Lines(lines)).await.map_err(|failure| match failure.why {
        Some(why) => format!("{}: {why}", failure.what),
        None => failure.what,
    })?;
    let why = tokio::select! {
        status = session.wait() => return match status {
            ExitStatus::Code(0) => Ok(()),
            status => Err(format!("{words} {status}")),
        },
        () = tokio::time::sleep(Duration::from_secs(RELEASE_PHASE_SECONDS_MAX)) => {
            format!("{words} took longer than {RELEASE_PHASE_SECONDS_MAX} s")
        }
        () = cancelled => "cancelled".to_owned(),
    };
    session.kill().await;
    // The next switch must not start its own beside it.
    if tokio::time::timeout(RELEASE_PHASE_KILL_MAX, session.wait()).await.is_err() {
        tracing::error!(phase = words, "a command of a deploy does not end even after SIGKILL");
    }
    Err(why)
}
