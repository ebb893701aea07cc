//! Switching to a candidate, whatever made it: a deploy, a config change, a rollback.

use std::sync::Arc;
use std::time::Duration;

use api::{Failure, Kind};
use model::{AppNumber, Cause, ConfigVars, KeptPath, Release, ReleaseVersion, SlugManifest};
use tokio::sync::watch;

use crate::app::phases::{self, phases_after, phases_before, say_phase};
use crate::app::{AppHandle, RunnableRelease, SwitchRequest};
use crate::control::Control;
use crate::limits::SWITCH_MAX;
use crate::rollout::Phase;
use crate::seams::{Cancel, Lines, cancelled};
use crate::store::{EventCode, StoreError, Undone};
use crate::watch::Before;
use crate::watching::Watched;

/// A candidate to switch to.
pub(crate) struct Switch {
    pub(crate) release: Release,
    pub(crate) manifest: SlugManifest,
    /// Whether its `release:` line and its deploy scripts run.
    pub(crate) release_phase: bool,
    /// Whether it may answer 5xx where the release before did not.
    pub(crate) accept_5xx: bool,
    /// The release that it undoes, which serves and is not well.
    pub(crate) undo: Option<Undone>,
    pub(crate) lines: Lines,
    pub(crate) cancel: Cancel,
}

/// What is left to do once the candidate serves.
struct After {
    phases: Vec<Phase>,
    runnable: RunnableRelease,
    addon_env: ConfigVars,
    kept: Vec<KeptPath>,
    lines: Lines,
}

impl Control {
    /// Switches to a candidate; its failure is recorded as its outcome.
    pub(crate) async fn switch(self: &Arc<Self>, app: &AppHandle, switch: Switch) -> Result<(), Failure> {
        let (number, version) = (app.identity.number, switch.release.version);
        let result = self.try_switch(app, switch).await;
        match &result {
            // Whoever hears that it serves and asks at once is answered by it.
            Ok(()) => self.services.front_door.applied().await,
            Err(failure) => self.record_refusal(number, version, failure).await,
        }
        result
    }

    async fn try_switch(self: &Arc<Self>, app: &AppHandle, switch: Switch) -> Result<(), Failure> {
        let number = app.identity.number;
        let config = self.services.store.config_of(number, switch.release.config_version).await?;
        let addon_env = self.addon_env(&self.services.store.app(number).await?).await?;
        let formation = switch.release.formation.clone();
        let runnable = RunnableRelease { release: switch.release, manifest: switch.manifest, config };
        let after = After {
            phases: phases_after(switch.release_phase, runnable.release.parent.is_none(), &runnable.manifest),
            runnable: runnable.clone(),
            addon_env: addon_env.clone(),
            kept: self.services.store.kept_paths(number).await?,
            lines: switch.lines.clone(),
        };
        let (give_up, cancel) = watch::channel(None);
        let (release_phase, accept_5xx, undo, lines) = (switch.release_phase, switch.accept_5xx, switch.undo, switch.lines);
        let watched = self.to_be_watched(app, &runnable, release_phase).await;
        let switching =
            app.switch(|reply| SwitchRequest { runnable, formation, addon_env, release_phase, accept_5xx, undo, lines, cancel, reply });
        tokio::pin!(switching);
        let mut caller = switch.cancel;
        // The app's own clocks (boot timeout, stop grace) end long before this one.
        let given_up = tokio::select! {
            result = &mut switching => Err(result),
            () = cancelled(&mut caller) => Ok("cancelled".to_owned()),
            () = tokio::time::sleep(SWITCH_MAX) => Ok(format!("not ready after {} min", SWITCH_MAX.as_secs() / 60)),
        };
        match given_up {
            Err(result) => result?,
            Ok(why) => {
                give_up.send_replace(Some(why));
                switching.await?;
            }
        }
        if let Some(watched) = watched {
            self.watch(app, watched);
        }
        self.after_switch(app, after, caller).await;
        Ok(())
    }

    /// A first release has nothing to go back to; a rollback is what a person wanted.
    async fn to_be_watched(&self, app: &AppHandle, runnable: &RunnableRelease, release_phase: bool) -> Option<Watched> {
        let back_to = runnable.release.parent?;
        if matches!(runnable.release.cause, Cause::Rollback { .. }) {
            return None;
        }
        let traffic = self.services.front_door.traffic(&app.identity.name).await;
        let before = Before::of(back_to, &app.view.borrow().observed, traffic.as_ref());
        let migrated = !phases_before(release_phase, &runnable.manifest).is_empty();
        Some(Watched { version: runnable.release.version, back_to, before, migrated, age: Duration::ZERO })
    }

    /// The release serves, whatever comes of these: a failure is only told.
    async fn after_switch(&self, app: &AppHandle, after: After, mut cancel: Cancel) {
        let After { phases, runnable, addon_env, kept, lines } = after;
        for phase in phases {
            say_phase(&lines, phase, &runnable.manifest);
            let one_off = phases::one_off(&app.identity, &runnable, &addon_env, &kept, phase);
            let ran = phases::run(&self.services, phase, one_off, lines.clone(), cancelled(&mut cancel)).await;
            let Err(why) = ran else { continue };
            let version = runnable.release.version;
            let text = if why == "cancelled" { format!("{} cancelled", phase.words()) } else { why };
            lines.problem(format!("{text}; {version} serves all the same: paas logs -a {}", app.identity.name));
            let event = self.event_of("paas", EventCode::PostdeployFailed, format!("{version}: {text}; it serves all the same"));
            if let Err(error) = self.services.store.record_event(Some(app.identity.number), event).await {
                tracing::error!(%error, %version, "the failure of a postdeploy is not stored");
            }
        }
    }

    async fn record_refusal(&self, number: AppNumber, version: ReleaseVersion, failure: &Failure) {
        let event = self.event_of("paas", EventCode::ReleaseFailed, failure.what.clone());
        match self.services.store.fail_release(number, version, failure.what.clone(), event).await {
            // A switch that went through just as it was given up is no failure.
            Ok(()) | Err(StoreError::ReleaseDecided(_)) => {}
            // The next start of the server fails every candidate that is left.
            Err(error) => tracing::error!(%error, %version, "the failure of a release is not stored"),
        }
    }
}

/// The same refusal for something that was not pushed.
pub(crate) fn refused_change(mut failure: Failure, undone: &str, fix: &str) -> Failure {
    if failure.kind == Kind::Failed {
        failure.what = format!("{}; {undone}", failure.what);
        failure.fix = Some(fix.to_owned());
    }
    failure
}
