//! The loop of an app's task, and the target that it gives to the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::engine::{AppObserved, AppTarget, ReleaseMode, ReleaseTarget};
use model::{ConfigVars, Formation, InstanceId, ProcessType, ReleaseVersion, RunId};
use tokio::sync::{mpsc, oneshot, watch};

use super::switching::Switching;
use super::{AppCommand, AppIdentity, AppStart, AppView, RunnableRelease};
use crate::services::Services;
use crate::story::Story;

/// A release that has something running, or should.
#[derive(Debug)]
pub(super) struct InPlay {
    pub(super) runnable: RunnableRelease,
    pub(super) mode: ReleaseMode,
    /// What a candidate will run; the current release runs the app's scale.
    pub(super) formation: Formation,
}

pub(super) struct AppTask {
    pub(super) services: Arc<Services>,
    pub(super) identity: AppIdentity,
    pub(super) releases: BTreeMap<ReleaseVersion, InPlay>,
    pub(super) current: Option<ReleaseVersion>,
    pub(super) formation: Formation,
    pub(super) stopped: bool,
    pub(super) addon_env: ConfigVars,
    pub(super) overlap: BTreeSet<ProcessType>,
    pub(super) restarts: BTreeMap<InstanceId, u64>,
    pub(super) switching: Option<Switching>,
    pub(super) observed: AppObserved,
    pub(super) releasing: BTreeSet<RunId>,
    pub(super) own: mpsc::Sender<AppCommand>,
    story: Story,
    adopting: bool,
    closing: Option<oneshot::Sender<()>>,
    view: watch::Sender<AppView>,
}

impl AppTask {
    pub(super) fn new(services: Arc<Services>, start: AppStart, own: mpsc::Sender<AppCommand>, view: watch::Sender<AppView>) -> Self {
        let current = start.current.as_ref().map(|r| r.release.version);
        let releases = start.current.into_iter().map(|runnable| {
            let in_play = InPlay { mode: ReleaseMode::Serve, formation: start.formation.clone(), runnable };
            (in_play.runnable.release.version, in_play)
        });
        Self {
            services,
            identity: start.identity,
            releases: releases.collect(),
            current,
            formation: start.formation,
            stopped: start.stopped,
            addon_env: start.addon_env,
            overlap: start.overlap,
            restarts: BTreeMap::new(),
            switching: None,
            observed: AppObserved::default(),
            releasing: BTreeSet::new(),
            own,
            story: Story::default(),
            adopting: start.adopting,
            closing: None,
            view,
        }
    }

    pub(super) async fn run(mut self, mut mailbox: mpsc::Receiver<AppCommand>) {
        let mut observed = self.services.engine.observed(&self.identity.name);
        self.publish_target();
        let first = observed.borrow_and_update().clone();
        self.look(&first).await;
        loop {
            tokio::select! {
                command = mailbox.recv() => {
                    let Some(command) = command else { return };
                    self.obey(command).await;
                }
                changed = observed.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = observed.borrow_and_update().clone();
                    self.look(&now).await;
                }
                () = Switching::cancelled(&mut self.switching) => self.cancel_switch().await,
            }
            self.publish_view();
            if self.closed() {
                return;
            }
        }
    }

    async fn obey(&mut self, command: AppCommand) {
        match command {
            AppCommand::Switch(request) => self.begin_switch(*request).await,
            AppCommand::Scale(formation) => {
                self.formation = formation;
                self.publish_target();
                self.publish_routes();
            }
            AppCommand::Restart(what, reply) => {
                let _ = reply.send(self.restart(what));
                self.publish_target();
            }
            AppCommand::SetStopped(stopped) => {
                self.stopped = stopped;
                self.publish_target();
                self.publish_routes();
            }
            AppCommand::SetOverlap(overlap) => {
                self.overlap = overlap;
                self.publish_target();
            }
            AppCommand::Close(reply) => {
                self.cancel_switch().await;
                self.releases.values_mut().for_each(|r| r.mode = ReleaseMode::Retire);
                self.closing = Some(reply);
                self.publish_target();
                self.publish_routes();
            }
            AppCommand::ReleasePhaseEnded(version, result) => self.release_phase_ended(version, result).await,
        }
    }

    async fn look(&mut self, observed: &AppObserved) {
        // The first look after a server start finds what an earlier server told.
        let silently = std::mem::take(&mut self.adopting) && !observed.instances.is_empty();
        for told in self.story.tell(observed, silently) {
            self.services.logs.write(self.identity.number, &told.process, &told.text);
            if told.trouble {
                self.services.record_trouble(&self.identity, &told).await;
            }
        }
        self.observed = observed.clone();
        self.step_switch().await;
        self.drop_retired();
        self.publish_routes();
        self.release_draining();
        self.publish_view();
    }

    /// A retired release leaves the target when nothing of it is left.
    fn drop_retired(&mut self) {
        let observed = &self.observed;
        let before = self.releases.len();
        // A candidate retires too until its release phase has ended.
        let candidate = self.switching.as_ref().map(Switching::candidate);
        self.releases.retain(|version, in_play| {
            in_play.mode != ReleaseMode::Retire || candidate == Some(*version) || observed.of(*version).any(|i| i.run.is_some())
        });
        if self.releases.len() != before {
            self.publish_target();
        }
    }

    /// Gives the engine what should be true now.
    pub(super) fn publish_target(&self) {
        let releases = self.releases.iter().map(|(version, in_play)| {
            let formation = match (self.stopped, self.current == Some(*version)) {
                (true, _) => Formation::default(),
                (false, true) => self.formation.clone(),
                (false, false) => in_play.formation.clone(),
            };
            let target = ReleaseTarget {
                mode: in_play.mode,
                slug: in_play.runnable.release.slug,
                manifest: in_play.runnable.manifest.clone(),
                config: in_play.runnable.config.clone(),
                addon_env: self.addon_env.clone(),
                formation,
            };
            (*version, target)
        });
        self.services.engine.set_target(AppTarget {
            app: self.identity.name.clone(),
            number: self.identity.number,
            releases: releases.collect(),
            overlap: self.overlap.clone(),
            restarts: self.restarts.clone(),
            probe_host: self.identity.hosts[0].clone(),
        });
    }

    pub(super) fn publish_view(&self) {
        let commands = self.current.and_then(|v| self.releases.get(&v)).map(|r| r.runnable.manifest.commands.clone());
        self.view.send_replace(AppView {
            current: self.current,
            commands: commands.unwrap_or_default(),
            formation: self.formation.clone(),
            stopped: self.stopped,
            modes: self.releases.iter().map(|(v, r)| (*v, r.mode)).collect(),
            observed: self.observed.clone(),
        });
    }

    fn closed(&mut self) -> bool {
        let empty = self.releases.is_empty() && self.observed.instances.iter().all(|i| i.run.is_none());
        if self.closing.is_none() || !empty {
            return false;
        }
        self.services.front_door.delete(&self.identity.name);
        if let Some(reply) = self.closing.take() {
            let _ = reply.send(());
        }
        true
    }
}
