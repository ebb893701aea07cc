//! The `release:` line: a command that runs once, before anything new starts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::engine::{OneOff, OneOffCommand, ReleaseMode, ReleaseTarget};
use model::{ExitStatus, Formation, InstanceId, ProcessType};
use tokio::sync::oneshot;

use super::AppCommand;
use super::task::AppTask;
use crate::limits::{RELEASE_PHASE_KILL_MAX, RELEASE_PHASE_SECONDS_MAX};
use crate::seams::{Lines, OneOffOutput};
use crate::services::Services;

impl AppTask {
    pub(super) fn start_release_phase(&mut self) {
        let Some(switching) = &mut self.switching else { return };
        let version = switching.candidate();
        let Some(in_play) = self.releases.get(&version) else { return };
        let runnable = &in_play.runnable;
        let command = runnable.manifest.commands.get(&ProcessType::release()).cloned().unwrap_or_default();
        let shown = model::text::clean(&command, crate::limits::REFUSAL_LINE_CHARS_MAX);
        switching.lines.step(format!("Running release phase: {shown}"));
        let (phase_cancel, cancelled) = oneshot::channel();
        switching.phase_cancel = Some(phase_cancel);
        let one_off = OneOff {
            app: self.identity.name.clone(),
            number: self.identity.number,
            version,
            release: ReleaseTarget {
                mode: ReleaseMode::Prepare,
                slug: runnable.release.slug,
                manifest: runnable.manifest.clone(),
                config: runnable.config.clone(),
                addon_env: self.addon_env.clone(),
                formation: Formation::default(),
            },
            instance: InstanceId { app: self.identity.name.clone(), process_type: ProcessType::release(), ordinal: 1 },
            command: OneOffCommand::Shell(command),
            env: BTreeMap::new(),
            timeout_s: Some(RELEASE_PHASE_SECONDS_MAX),
        };
        let (services, own, lines) = (self.services.clone(), self.own.clone(), switching.lines.clone());
        tokio::spawn(async move {
            // A panic must not leave the switch waiting.
            let run = tokio::spawn(run(services, one_off, lines, cancelled));
            let result = run.await.unwrap_or_else(|error| Err(format!("release phase broke off: {error}")));
            // The task is gone: so is its switch.
            let _ = own.send(AppCommand::ReleasePhaseEnded(version, result)).await;
        });
    }
}

async fn run(services: Arc<Services>, one_off: OneOff, lines: Lines, cancelled: oneshot::Receiver<()>) -> Result<(), String> {
    let session = services.engine.run_once(one_off, OneOffOutput::Lines(lines)).await.map_err(|failure| match failure.why {
        Some(why) => format!("{}: {why}", failure.what),
        None => failure.what,
    })?;
    let why = tokio::select! {
        status = session.wait() => return match status {
            ExitStatus::Code(0) => Ok(()),
            status => Err(format!("release phase {status}")),
        },
        () = tokio::time::sleep(Duration::from_secs(RELEASE_PHASE_SECONDS_MAX)) => {
            format!("release phase took longer than {RELEASE_PHASE_SECONDS_MAX} s")
        }
        _ = cancelled => "cancelled".to_owned(),
    };
    session.kill().await;
    // The next switch must not start its own beside it.
    if tokio::time::timeout(RELEASE_PHASE_KILL_MAX, session.wait()).await.is_err() {
        tracing::error!("a release phase does not end even after SIGKILL");
    }
    Err(why)
}
