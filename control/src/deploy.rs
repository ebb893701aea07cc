//! From a commit to a release that serves: build, candidate, switch. Whatever fails on
//! the way leaves a record and changes nothing else.

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::{Failure, Kind};
use model::{AppNumber, Cause, ConfigVersion, Formation, ProcessType, Release, ReleaseVersion, SlugId, SlugManifest};
use tokio::sync::mpsc;

use crate::app::{AppHandle, RunnableRelease, SwitchRequest};
use crate::control::Control;
use crate::limits::{BUILD_FREE_BYTES_MIN, PUSH_LINES_QUEUED_MAX, SWITCH_MAX};
use crate::seams::{BuildRequest, BuiltSlug, Cancel, Lines, failure_lines};
use crate::store::{BuildEnd, BuildFailure, BuildState, EventCode, NewEvent, NewRelease, NewSlug, StoreError};
use crate::story::duration;

/// What to deploy.
#[derive(Debug)]
pub struct DeployRequest {
    /// Who wants it.
    pub actor: String,
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
    /// `builds:rebuild`: without caches, and said so in the release.
    pub rebuild: bool,
    /// Stop after the plan.
    pub dry_run: bool,
    /// Where progress goes.
    pub lines: Lines,
    /// Raised when nobody wants it any more.
    pub cancel: Cancel,
    /// Why it was cancelled, if the reason is another than "somebody asked".
    pub reason: Arc<OnceLock<Failure>>,
}

/// What was deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// The new release.
    pub version: ReleaseVersion,
    /// Its commit.
    pub commit: String,
}

impl Control {
    /// Builds `source` and switches to it. The caller holds [`AppHandle::deploying`].
    /// `Ok(None)` is a dry run.
    pub async fn deploy(&self, app: &AppHandle, request: DeployRequest, source: OwnedFd) -> Result<Option<Deployed>, Failure> {
        self.check_space()?;
        let began = tokio::time::Instant::now();
        let number = app.identity.number;
        let short = request.commit.get(..7).unwrap_or_default();
        let event = self.event_of(&request.actor, EventCode::BuildStarted, format!("build of {short} started"));
        let build = self.services.store.begin_build(number, request.commit.clone(), event).await?;
        let (kept, recorder) = self.record_lines(app, build, &request.lines);
        let result = self.deploy_recorded(app, &request, build, source, &kept, began).await;
        let result = result.map_err(|failure| request.reason.get().cloned().unwrap_or(failure));
        drop(kept);
        // The log is whole before anybody is told that it ended.
        let _ = recorder.await;
        if let Err(failure) = &result {
            self.services.store.append_build_lines(number, build, failure_lines(failure)).await?;
        }
        self.finish(&request, number, build, &result).await?;
        self.collect_garbage().await;
        result
    }

    async fn finish(&self, request: &DeployRequest, number: AppNumber, build: u32, result: &Result<Option<Deployed>, Failure>) -> Result<(), Failure> {
        let cancelled = *request.cancel.borrow() && request.reason.get().is_none();
        let (state, code, text) = match result {
            Ok(Some(deployed)) => (BuildState::Succeeded, EventCode::BuildSucceeded, format!("build {build} is {}", deployed.version)),
            Ok(None) => (BuildState::Refused, EventCode::BuildRefused, format!("build {build} was a dry run")),
            Err(_) if cancelled => (BuildState::Cancelled, EventCode::BuildCancelled, format!("build {build} was cancelled")),
            Err(failure) => (BuildState::Failed, EventCode::BuildFailed, format!("build {build} failed: {}", failure.what)),
        };
        let failure = result.as_ref().err().map(|f| BuildFailure { code: f.code.clone(), what: f.what.clone() });
        let version = result.as_ref().ok().and_then(|deployed| deployed.as_ref().map(|d| d.version));
        let end = BuildEnd { state, failure, slug: None, version };
        Ok(self.services.store.finish_build(number, build, end, self.event_of(&request.actor, code, text)).await?)
    }

    async fn deploy_recorded(
        &self,
        app: &AppHandle,
        request: &DeployRequest,
        build: u32,
        source: OwnedFd,
        lines: &Lines,
        began: tokio::time::Instant,
    ) -> Result<Option<Deployed>, Failure> {
        let Some(slug) = self.build(app, request, build, source, lines).await? else { return Ok(None) };
        let built_in = began.elapsed();
        if *request.cancel.borrow() {
            return Err(cancelled());
        }
        let cause = match request.rebuild {
            true => Cause::Rebuild { commit: request.commit.clone() },
            false => Cause::Deploy { commit: request.commit.clone() },
        };
        let release = self.candidate(app, &slug, cause, &request.actor).await?;
        let version = release.version;
        let formation = release.formation.clone();
        self.switch(app, release, slug.manifest, true, lines.clone(), request.cancel.clone()).await?;
        self.say_deployed(app, &formation, lines, built_in, began.elapsed());
        Ok(Some(Deployed { version, commit: request.commit.clone() }))
    }

    async fn build(&self, app: &AppHandle, request: &DeployRequest, build: u32, source: OwnedFd, lines: &Lines) -> Result<Option<BuiltSlug>, Failure> {
        let mut cancel = request.cancel.clone();
        let turn = self.building.try_acquire();
        let _turn = match turn {
            Ok(turn) => turn,
            Err(_) => {
                lines.step("Waiting for another build on this box to end");
                tokio::select! {
                    turn = self.building.acquire() => turn.map_err(|error| Failure::internal("the build queue is closed", &error))?,
                    _ = cancel.wait_for(|c| *c) => return Err(cancelled()),
                }
            }
        };
        let record = self.services.store.app(app.identity.number).await?;
        let (_, config) = self.services.store.current_config(app.identity.number).await?;
        let wanted = BuildRequest {
            app: app.identity.name.clone(),
            number: app.identity.number,
            build,
            commit: request.commit.clone(),
            config,
            use_cache: !request.rebuild,
            plan_only: request.dry_run,
            database: record.database.as_str(),
            formation: app.view.borrow().formation.clone(),
        };
        self.services.builders.build(wanted, source, lines.clone(), request.cancel.clone()).await
    }

    /// Inserts the slug and a candidate release that runs it with the current config.
    async fn candidate(&self, app: &AppHandle, slug: &BuiltSlug, cause: Cause, actor: &str) -> Result<Release, Failure> {
        let number = app.identity.number;
        let store = &self.services.store;
        let new = NewSlug { slug: slug.id, bytes: slug.bytes, manifest: slug.manifest.clone() };
        store.insert_slug(number, new, self.services.now_unix_ms()).await?;
        let types = slug.manifest.commands.keys().cloned().collect();
        let formation = app.view.borrow().formation.carried_over(&types);
        let (config_version, _) = store.current_config(number).await?;
        self.insert_candidate(app, slug.id, config_version, formation, cause, actor).await
    }

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

    /// Switches to a candidate; its failure is recorded as its outcome.
    pub(crate) async fn switch(
        &self,
        app: &AppHandle,
        release: Release,
        manifest: SlugManifest,
        release_phase: bool,
        lines: Lines,
        cancel: Cancel,
    ) -> Result<(), Failure> {
        let number = app.identity.number;
        let version = release.version;
        let config = self.services.store.config_of(number, release.config_version).await?;
        let formation = release.formation.clone();
        let runnable = RunnableRelease { release, manifest, config };
        // The app's own clocks (boot timeout, stop grace) end long before this one.
        let (give_up, also_cancel) = tokio::sync::watch::channel(false);
        let switching = app.switch(|reply| SwitchRequest { runnable, formation, release_phase, lines, cancel: also_cancel, reply });
        tokio::pin!(switching);
        let mut cancel = cancel;
        let deadline = tokio::time::sleep(SWITCH_MAX);
        tokio::pin!(deadline);
        let (mut late, mut heard) = (false, false);
        let result = loop {
            tokio::select! {
                result = &mut switching => break result,
                () = &mut deadline, if !late => {
                    late = true;
                    give_up.send_replace(true);
                }
                // An error means that its sender is gone: nobody will cancel any more.
                cancelled = cancel.wait_for(|c| *c), if !heard => {
                    heard = true;
                    give_up.send_replace(late || cancelled.is_ok());
                }
            }
        };
        if let Err(failure) = &result {
            let event = self.event_of("paas", EventCode::ReleaseFailed, failure.what.clone());
            // A switch that went through just as it was given up is no failure.
            match self.services.store.fail_release(number, version, failure.what.clone(), event).await {
                Err(StoreError::ReleaseDecided(_)) => {}
                other => other?,
            }
        }
        result
    }

    fn say_deployed(&self, app: &AppHandle, formation: &Formation, lines: &Lines, built_in: Duration, in_all: Duration) {
        for (process_type, count) in &formation.0 {
            if *count == 0 && process_type.stays_up() {
                lines.problem(format!("{process_type} is scaled to 0: paas ps:scale {process_type}=1"));
            }
        }
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let switched_in = in_all.saturating_sub(built_in);
        lines.detail(format!("Time: build {}, start and switch {}", duration(ms(built_in)), duration(ms(switched_in))));
        let all = duration(ms(in_all));
        if formation.count(&ProcessType::web()) > 0 {
            let (url, port_url) = self.urls(&app.identity);
            lines.detail(format!("{url} and {port_url} (needs no DNS) deployed, {all} in all"));
        } else {
            lines.detail(format!("{} deployed, no web process, {all} in all", app.identity.name));
        }
    }

    /// A channel for lines that reaches the client and, whole, the build log.
    fn record_lines(&self, app: &AppHandle, build: u32, client: &Lines) -> (Lines, tokio::task::JoinHandle<()>) {
        let (sender, mut receiver) = mpsc::channel::<String>(PUSH_LINES_QUEUED_MAX);
        let (client, store, number) = (client.clone(), self.services.store.clone(), app.identity.number);
        let recorder = tokio::spawn(async move {
            let mut batch = Vec::new();
            while receiver.recv_many(&mut batch, PUSH_LINES_QUEUED_MAX).await > 0 {
                for line in &batch {
                    client.raw(line.clone());
                }
                if let Err(error) = store.append_build_lines(number, build, std::mem::take(&mut batch)).await {
                    tracing::error!(%error, build, "lines of a build log are not stored");
                }
            }
        });
        (Lines(sender), recorder)
    }

    fn check_space(&self) -> Result<(), Failure> {
        let (free, total) = self.services.builders.disk_bytes()?;
        if free >= BUILD_FREE_BYTES_MIN {
            return Ok(());
        }
        let mb = |bytes: u64| bytes / 1_000_000;
        Err(Failure::new(Kind::Host, "disk.full", format!("not enough space to build: {} MB free of {} MB", mb(free), mb(total)))
            .why(format!("a build needs at least {} MB", mb(BUILD_FREE_BYTES_MIN)))
            .fix("remove what is not needed any more: `paas builds:cache purge`, `paas apps:destroy` of old apps; then push again"))
    }
}

impl Control {
    pub(crate) fn event_of(&self, actor: &str, code: EventCode, text: String) -> NewEvent {
        NewEvent::new(self.services.now_unix_ms(), actor, code, text)
    }
}

pub(crate) fn cancelled() -> Failure {
    Failure::new(Kind::Failed, "build.cancelled", "cancelled, nothing was deployed").fix("push again, or `paas deploy`")
}
