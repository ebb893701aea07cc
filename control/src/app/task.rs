//! The loop of an app's task. It starts with a target and only then looks: an app that
//! was renamed is known to the engine by its new name from its first target on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::engine::{AppObserved, ReleaseMode};
use model::{ConfigVars, Formation, InstanceId, KeptPath, ProcessType, ReleaseVersion, RunId};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::switching::Switching;
use super::{AppCommand, AppIdentity, AppStart, AppView, RunnableRelease};
use crate::limits::{CLOSE_MAX, HOLD_MAX_MS, STOP_TIMEOUT_S};
use crate::rollout::Web;
use crate::services::Services;
use crate::store::EventCode;
use crate::store::TypeSettings;
use crate::story::Story;

/// A release that has something running, or should.
#[derive(Debug)]
pub(super) struct InPlay {
    pub(super) runnable: RunnableRelease,
    pub(super) mode: ReleaseMode,
    /// What a candidate will run; the current release runs the app's scale.
    pub(super) formation: Formation,
}

/// An app that is going away.
struct Closing {
    reply: oneshot::Sender<()>,
    deadline: Instant,
}

pub(super) struct AppTask {
    pub(super) services: Arc<Services>,
    pub(super) identity: AppIdentity,
    pub(super) releases: BTreeMap<ReleaseVersion, InPlay>,
    pub(super) current: Option<ReleaseVersion>,
    pub(super) formation: Formation,
    pub(super) stopped: bool,
    pub(super) addon_env: ConfigVars,
    pub(super) settings: BTreeMap<ProcessType, TypeSettings>,
    pub(super) kept: Vec<KeptPath>,
    pub(super) web: Web,
    /// How long the router holds requests while nothing serves.
    pub(super) hold_ms: u64,
    pub(super) restarts: BTreeMap<InstanceId, u64>,
    pub(super) switching: Option<Switching>,
    pub(super) observed: AppObserved,
    pub(super) releasing: BTreeSet<RunId>,
    pub(super) own: mpsc::Sender<AppCommand>,
    pub(super) view: watch::Sender<AppView>,
    pub(super) trouble: Option<String>,
    pub(super) note: Option<String>,
    story: Story,
    adopting: bool,
    closing: Option<Closing>,
}

impl AppTask {
    pub(super) fn new(services: Arc<Services>, start: AppStart, own: mpsc::Sender<AppCommand>) -> Self {
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
            // Nothing of a stopped app is found, so nothing of it was told before.
            adopting: start.adopting && !start.stopped,
            formation: start.formation,
            stopped: start.stopped,
            addon_env: start.addon_env,
            settings: start.settings,
            kept: start.kept,
            web: Web::Beside,
            hold_ms: HOLD_MAX_MS,
            restarts: BTreeMap::new(),
            switching: None,
            observed: AppObserved::default(),
            releasing: BTreeSet::new(),
            own,
            view: watch::Sender::new(AppView::default()),
            trouble: start.trouble,
            note: start.note,
            story: Story::default(),
            closing: None,
        }
    }

    pub(super) async fn run(mut self, mut mailbox: mpsc::Receiver<AppCommand>, reload: Arc<Notify>) {
        self.publish_target();
        let mut observed = self.services.engine.observed(&self.identity.name);
        let first = observed.borrow_and_update().clone();
        self.look(&first).await;
        loop {
            let deadline = self.closing.as_ref().map(|closing| closing.deadline);
            tokio::select! {
                // What was stored before a command was sent counts for it.
                biased;
                () = reload.notified() => self.reload().await,
                command = mailbox.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                changed = observed.changed() => match changed {
                    Ok(()) => {
                        let now = observed.borrow_and_update().clone();
                        self.look(&now).await;
                    }
                    // Nobody keeps this app any more: half a server is worse than none.
                    Err(_) => return (self.services.fatal)("engine"),
                },
                why = Switching::cancelled(&mut self.switching) => self.cancel_switch(why).await,
                () = at(deadline) => self.give_up_closing(),
            }
            self.publish_view();
            if self.closed(&mut mailbox) {
                return;
            }
        }
    }

    async fn obey(&mut self, command: AppCommand) {
        match command {
            AppCommand::Switch(request) => self.begin_switch(*request).await,
            AppCommand::Restart(what, reply) => {
                let restarted = self.restart(what.as_deref());
                self.publish_target();
                let _ = reply.send(restarted);
            }
            AppCommand::Close(reply) => self.close(reply).await,
            AppCommand::Note(version, text) => {
                if self.current == Some(version) {
                    self.note = Some(text);
                }
            }
            AppCommand::PhaseEnded(version, result) => self.phase_ended(version, result).await,
        }
    }

    /// The store has the last word on the scale and on `ps:stop`, in whatever order the
    /// requests that changed them are done with.
    async fn reload(&mut self) {
        let number = self.identity.number;
        let store = &self.services.store;
        let stored = async {
            let (app, formation) = (store.app(number).await?, store.formation(number).await?);
            Ok::<_, crate::store::StoreError>((app.stopped, formation, store.type_settings(number).await?, store.kept_paths(number).await?))
        };
        match stored.await {
            Ok((stopped, formation, settings, kept)) => {
                self.formation = formation;
                self.settings = settings;
                self.kept = kept;
                if stopped != self.stopped {
                    self.stopped = stopped;
                    self.stopped_amid_switch().await;
                }
                self.publish_target();
                self.publish_routes();
            }
            Err(error) => tracing::error!(app = %self.identity.name, %error, "the scale of an app cannot be read"),
        }
    }

    async fn look(&mut self, observed: &AppObserved) {
        self.observed = observed.clone();
        // Visitors first: what is kept below waits for the disk.
        self.publish_routes();
        self.release_draining();
        // The first look that finds something after a server start finds what an earlier
        // server told.
        let silently = self.adopting;
        self.adopting &= observed.instances.is_empty();
        // Before the switch goes on: the end of an instance stands before what it leads to.
        for told in self.story.tell(observed, silently) {
            self.services.logs.write(self.identity.number, &told.process, &told.text);
            self.services.record_trouble(&self.identity, &told).await;
            if let (Some(EventCode::InstancePort), Some(switching)) = (told.trouble, &self.switching) {
                // Its author waits: nothing comes of that release until its boot timeout.
                switching.lines.problem(&told.text);
            }
        }
        self.step_switch().await;
        self.drop_retired();
    }

    /// A retired release leaves the target when nothing of it is left.
    pub(super) fn drop_retired(&mut self) {
        let observed = &self.observed;
        let before = self.releases.len();
        // A candidate retires too until its phases have ended.
        let candidate = self.switching.as_ref().map(Switching::candidate);
        self.releases.retain(|version, in_play| {
            in_play.mode != ReleaseMode::Retire || candidate == Some(*version) || observed.of(*version).any(|i| i.run.is_some())
        });
        if self.releases.len() != before || self.settle_web() {
            self.publish_target();
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    async fn close(&mut self, reply: oneshot::Sender<()>) {
        // Who may take longer to stop is waited for longer.
        let longest = self.settings.values().filter_map(|of| of.stop_timeout_s).max().unwrap_or(0).saturating_sub(STOP_TIMEOUT_S);
        self.closing = Some(Closing { reply, deadline: Instant::now() + CLOSE_MAX + Duration::from_secs(longest.into()) });
        self.cancel_switch(format!("{} is going away", self.identity.name)).await;
        self.releases.values_mut().for_each(|r| r.mode = ReleaseMode::Retire);
        self.publish_routes();
        self.publish_target();
        self.drop_retired();
    }

    /// Something does not die. It gets no traffic, and the engine goes on trying.
    fn give_up_closing(&mut self) {
        let alive = self.observed.instances.iter().filter(|i| i.run.is_some()).map(|i| i.instance.name());
        tracing::error!(app = %self.identity.name, alive = ?alive.collect::<Vec<_>>(), "an app goes away while processes of it do not end");
        self.releases.clear();
        self.observed = AppObserved::default();
        self.publish_target();
    }

    /// Whoever waited for the end finds that nobody gets in any more.
    fn closed(&mut self, mailbox: &mut mpsc::Receiver<AppCommand>) -> bool {
        let empty = self.releases.is_empty() && self.observed.instances.iter().all(|i| i.run.is_none());
        match self.closing.take_if(|_| empty) {
            None => false,
            Some(Closing { reply, .. }) => {
                self.services.front_door.delete(&self.identity.name);
                mailbox.close();
                let _ = reply.send(());
                true
            }
        }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
