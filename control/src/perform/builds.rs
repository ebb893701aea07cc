//! `deploy`, `builds` and their like.

use std::sync::Arc;

use api::builds::{BuildRow, Builds, BuildsReply, Cancel, CancelReply, Deploy, DeployReply, Output, OutputReply, PurgeCache, Rebuild};
use api::{Failure, Kind, Role};

use super::Ask;
use crate::app::AppHandle;
use crate::control::Control;
use crate::deploy::DeployRequest;
use crate::limits::SHOWN_RELEASES_MAX;
use crate::store::Build;

impl Control {
    pub(super) async fn deploy_reference(self: &Arc<Self>, ask: &Ask, deploy: Deploy) -> Result<DeployReply, Failure> {
        let app = self.app_for(&ask.actor, &deploy.app, Role::Deployer, "deploy")?;
        self.deploy_commit(ask, &app, deploy.reference.as_deref(), false).await
    }

    pub(super) async fn rebuild(self: &Arc<Self>, ask: &Ask, rebuild: Rebuild) -> Result<DeployReply, Failure> {
        let app = self.app_for(&ask.actor, &rebuild.app, Role::Deployer, "rebuild")?;
        let Some(current) = self.services.store.current_release(app.identity.number).await? else {
            return Err(nothing_to_build(&app));
        };
        let slug = self.slug_of(app.identity.number, current.release.slug).await?;
        self.deploy_commit(ask, &app, Some(&slug.manifest.source_version), true).await
    }

    async fn deploy_commit(
        self: &Arc<Self>,
        ask: &Ask,
        app: &AppHandle,
        reference: Option<&str>,
        rebuild: bool,
    ) -> Result<DeployReply, Failure> {
        let turn = self.turn(app, &ask.lines, &ask.cancel).await?;
        let number = app.identity.number;
        let references = match reference {
            Some(reference) => vec![reference.to_owned()],
            None => self.deploy_branches(app).await?.iter().map(|b| format!("refs/heads/{b}")).collect(),
        };
        let mut commit = None;
        for reference in &references {
            commit = self.services.repositories.resolve(number, reference).await?;
            if commit.is_some() {
                break;
            }
        }
        let Some(commit) = commit else {
            return match reference {
                None => Err(nothing_to_build(app)),
                Some(reference) => Err(Failure::new(
                    Kind::NotFound,
                    "deploy.no_such_ref",
                    format!("the repository of {} has no `{reference}`", app.identity.name),
                )
                .fix("push it first: git push paas BRANCH")),
            };
        };
        let (folder, reason) = (self.root_of(app).await?, Arc::default());
        let source = self.services.repositories.export(number, &commit, folder, ask.lines.clone(), Arc::clone(&reason)).await?;
        let request = DeployRequest {
            actor: ask.actor.name().to_owned(),
            commit,
            rebuild,
            dry_run: false,
            accept_5xx: false,
            lines: ask.lines.clone(),
            cancel: ask.cancel.clone(),
            reason,
            turn,
        };
        match self.deploy(app, request, source).await? {
            Some(deployed) => Ok(DeployReply { release: deployed.version.to_string(), commit: deployed.commit }),
            None => Err(nothing_to_build(app)),
        }
    }

    pub(super) async fn builds(&self, ask: &Ask, builds: Builds) -> Result<BuildsReply, Failure> {
        let app = self.app_for(&ask.actor, &builds.app, Role::Viewer, "look at")?;
        let builds = self.services.store.list_builds(app.identity.number, SHOWN_RELEASES_MAX).await?;
        Ok(BuildsReply { builds: builds.iter().map(build_row).collect() })
    }

    pub(super) async fn build_output(&self, ask: &Ask, output: Output) -> Result<OutputReply, Failure> {
        let app = self.app_for(&ask.actor, &output.app, Role::Viewer, "look at")?;
        let found = self.services.store.find_build(app.identity.number, output.number).await?;
        let Some(found) = found else {
            let what = output.number.map_or_else(|| "there is no build yet".to_owned(), |n| format!("there is no build {n}"));
            return Err(Failure::new(Kind::NotFound, "build.not_found", what).fix("see `paas builds`"));
        };
        let mut kept = self.services.store.build_output(app.identity.number, found.number).await?;
        if kept.is_removed {
            kept.lines.push(" !     the output of this build was removed to make room for younger ones".to_owned());
        }
        Ok(OutputReply { build: build_row(&found), lines: kept.lines })
    }

    pub(super) fn cancel_build(&self, ask: &Ask, cancel: &Cancel) -> Result<CancelReply, Failure> {
        let app = self.app_for(&ask.actor, &cancel.app, Role::Deployer, "cancel a build of")?;
        let running = self.underway_of(app.identity.number).filter(|running| running.build.is_some());
        if let Some(running) = &running {
            running.raise.send_replace(true);
        }
        Ok(CancelReply { number: running.and_then(|running| running.build) })
    }

    pub(super) async fn purge_cache(&self, ask: &Ask, purge: PurgeCache) -> Result<CancelReply, Failure> {
        let app = self.app_for(&ask.actor, &purge.app, Role::Deployer, "purge the build cache of")?;
        let _turn = self.turn(&app, &ask.lines, &ask.cancel).await?;
        self.services.builders.purge_cache(app.identity.number).await?;
        Ok(CancelReply { number: None })
    }
}

fn nothing_to_build(app: &AppHandle) -> Failure {
    Failure::new(Kind::Refused, "deploy.nothing", format!("{} has nothing to build yet", app.identity.name))
        .fix("push first: git push paas main")
}

fn build_row(build: &Build) -> BuildRow {
    BuildRow {
        number: build.number,
        commit: build.commit.clone(),
        state: build.state.as_str().to_owned(),
        failure: build.failure.as_ref().map(|f| f.what.clone()),
        actor: build.actor.clone(),
        started_unix_ms: build.started_unix_ms,
        took_ms: build.ended_unix_ms.map(|ended| u64::try_from(ended - build.started_unix_ms).unwrap_or(0)),
        release: build.version.map(|v| v.to_string()),
    }
}
