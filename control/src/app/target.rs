//! What an app's task tells others: the target to the engine, the view to whoever looks.

use model::engine::{AppTarget, ReleaseTarget};
use model::{Formation, ProcessType, ReleaseVersion};
use tokio::sync::watch;

use super::AppView;
use super::task::{AppTask, InPlay};
use crate::rollout::Web;

impl AppTask {
    /// Gives the engine what should be true now.
    pub(super) fn publish_target(&self) {
        let releases = self.releases.iter().map(|(version, in_play)| (*version, self.target_of(*version, in_play)));
        self.services.engine.set_target(AppTarget {
            app: self.identity.name.clone(),
            number: self.identity.number,
            releases: releases.collect(),
            overlap: self.overlap_now(),
            limits: self.limits_now(),
            restarts: self.restarts.clone(),
            probe_host: self.identity.hosts[0].clone(),
        });
    }

    fn target_of(&self, version: ReleaseVersion, in_play: &InPlay) -> ReleaseTarget {
        let formation = match (self.stopped, self.current == Some(version)) {
            (true, _) => Formation::default(),
            (false, true) => self.formation.clone(),
            (false, false) => in_play.formation.clone(),
        };
        // The old web runs on until all else is handed over.
        let mut formation = formation;
        if self.web == Web::Later && self.switching.as_ref().is_some_and(|s| s.candidate() == version) {
            formation.0.remove(&ProcessType::web());
        }
        ReleaseTarget {
            mode: in_play.mode,
            slug: in_play.runnable.release.slug,
            manifest: in_play.runnable.manifest.clone(),
            config: in_play.runnable.config.clone(),
            addon_env: self.addon_env.clone(),
            formation,
            kept: self.kept.clone(),
        }
    }

    /// Where others may look from now on.
    pub(super) fn view(&self) -> watch::Receiver<AppView> {
        self.publish_view();
        self.view.subscribe()
    }

    pub(super) fn publish_view(&self) {
        let commands = self.current.and_then(|v| self.releases.get(&v)).map(|r| r.runnable.manifest.commands.clone());
        self.view.send_replace(AppView {
            current: self.current,
            commands: commands.unwrap_or_default(),
            formation: self.formation.clone(),
            stopped: self.stopped,
            modes: self.modes(),
            observed: self.observed.clone(),
            trouble: self.trouble.clone(),
            note: self.note.clone(),
        });
    }
}
