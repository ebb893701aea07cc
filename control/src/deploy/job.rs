//! One deploy, from its source to its switch.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use api::Failure;
use model::text::milliseconds;
use model::{Cause, ConfigVersion, Formation, ProcessType, Release, SlugId};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::recorder::Stage;
use super::{DeployRequest, Deployed};
use crate::app::AppHandle;
use crate::control::Control;
use crate::deploy::switch::Switch;
use crate::seams::{BuildRequest, BuiltSlug, Cancel, Lines, cancelled};
use crate::store::{EventCode, NewRelease, NewSlug};
use crate::turns::gave_up;

/// A deploy under way.
pub(super) struct Job {
    control: Arc<Control>,
    app: AppHandle,
    actor: String,
    commit: String,
    rebuild: bool,
    dry_run: bool,
    accept_5xx: bool,
    build: u32,
    lines: Lines,
    stage: Stage,
    cancel: Cancel,
    began: Instant,
}

impl Job {
    pub(super) fn new(
        control: Arc<Control>,
        app: AppHandle,
        request: &DeployRequest,
        build: u32,
        lines: Lines,
        stage: Stage,
        cancel: Cancel,
    ) -> Self {
        Self {
            control,
            app,
            actor: request.actor.clone(),
            commit: request.commit.clone(),
            rebuild: request.rebuild,
            dry_run: request.dry_run,
            accept_5xx: request.accept_5xx,
            build,
            lines,
            stage,
            cancel,
            began: Instant::now(),
        }
    }

    pub(super) async fn run(mut self, source: OwnedFd) -> Result<Option<Deployed>, Failure> {
        let turn = self.wait_for_others().await?;
        let Some(slug) = self.build(source).await? else { return Ok(None) };
        if *self.cancel.borrow() {
            return Err(gave_up());
        }
        let release = self.candidate(&slug).await?;
        // The slug has a release now that keeps it: others may build and clear away.
        drop(turn);
        let version = release.version;
        self.stage.send_replace(Some(format!("switching to {version}")));
        let switch = Switch {
            release,
            manifest: slug.manifest,
            release_phase: true,
            accept_5xx: self.accept_5xx,
            undo: None,
            lines: self.lines.clone(),
            cancel: self.cancel.clone(),
        };
        self.control.switch(&self.app, switch).await?;
        self.say_deployed().await;
        Ok(Some(Deployed { version, commit: self.commit.clone() }))
    }

    /// One build at a time per box.
    async fn wait_for_others(&mut self) -> Result<OwnedSemaphorePermit, Failure> {
        let building = self.control.building.clone();
        if let Ok(turn) = building.clone().try_acquire_owned() {
            return Ok(turn);
        }
        self.lines.step("Waiting for another build on this box to end");
        self.stage.send_replace(Some("waiting for another build".to_owned()));
        let turn = tokio::select! {
            turn = building.acquire_owned() => turn.map_err(|error| Failure::internal("the build queue is closed", &error))?,
            () = cancelled(&mut self.cancel) => return Err(gave_up()),
        };
        self.stage.send_replace(None);
        Ok(turn)
    }

    async fn build(&self, source: OwnedFd) -> Result<Option<BuiltSlug>, Failure> {
        let number = self.app.identity.number;
        let store = &self.control.services.store;
        let record = store.app(number).await?;
        let (_, config) = store.current_config(number).await?;
        // Collecting static files or generating a client may look at the database, as on Heroku.
        let mut variables = self.control.addon_env(&record).await?;
        for (key, value) in config.iter() {
            variables.set(key.clone(), value.clone())?;
        }
        let wanted = BuildRequest {
            app: self.app.identity.name.clone(),
            number,
            build: self.build,
            commit: self.commit.clone(),
            variables,
            use_cache: !self.rebuild,
            plan_only: self.dry_run,
            database: record.database.as_str(),
            formation: store.formation(number).await?,
        };
        self.control.services.builders.build(wanted, source, self.lines.clone(), self.cancel.clone()).await
    }

    /// Inserts the slug and a candidate release that runs it with the current config.
    async fn candidate(&self, slug: &BuiltSlug) -> Result<Release, Failure> {
        let number = self.app.identity.number;
        let store = &self.control.services.store;
        let new = NewSlug { slug: slug.id, bytes: slug.bytes, manifest: slug.manifest.clone() };
        store.insert_slug(number, new, self.control.services.now_unix_ms()).await?;
        let types = slug.manifest.commands.keys().cloned().collect();
        let formation = store.formation(number).await?.carried_over(&types, &slug.manifest.app_json.formation);
        let (config_version, _) = store.current_config(number).await?;
        let commit = self.commit.clone();
        let cause = if self.rebuild { Cause::Rebuild { commit } } else { Cause::Deploy { commit } };
        self.control.insert_candidate(&self.app, slug.id, config_version, formation, cause, &self.actor).await
    }

    async fn say_deployed(&self) {
        let identity = &self.app.identity;
        let formation = match self.control.services.store.formation(identity.number).await {
            Ok(formation) => formation,
            Err(error) => return tracing::error!(%error, "the scale of an app cannot be read"),
        };
        for (process_type, _) in formation.kept_up().filter(|(_, count)| *count == 0) {
            self.lines.problem(format!("{process_type} is scaled to 0: paas ps:scale {process_type}=1"));
        }
        let stopped = self.app.view.borrow().stopped;
        if stopped {
            self.lines.problem(format!("{} is stopped: paas ps:start", identity.name));
        }
        let all = milliseconds(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX));
        if formation.count(&ProcessType::web()) > 0 && !stopped {
            let (url, port_url) = self.control.urls(identity);
            self.lines.detail(format!("{url} and {port_url} (needs no DNS) deployed, {all} in all"));
        } else {
            self.lines.detail(format!("{} deployed, no web process runs, {all} in all", identity.name));
        }
    }
}

impl Control {
    /// Makes the next release of an app, as a candidate.
    pub(crate) async fn insert_candidate(
        &self,
        app: &AppHandle,
        slug: SlugId,
        config_version: ConfigVersion,
        formation: Formation,
        cause: Cause,
        actor: &str,
    ) -> Result<Release, Failure> {
        let event = self.event_of(actor, EventCode::ReleaseCreated, format!("new release: {cause}"));
        let release = NewRelease { slug, config_version, formation, cause };
        Ok(self.services.store.insert_candidate_release(app.identity.number, release, event).await?)
    }
}
