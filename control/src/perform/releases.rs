//! `releases`, `releases:info`, `rollback`.

use std::sync::Arc;

use api::releases::{Info, InfoReply, ReleaseRow, Releases, ReleasesReply, Rollback, RollbackReply};
use api::{Failure, Kind, Role};
use model::{Cause, ReleaseVersion};

use super::Ask;
use crate::control::Control;
use crate::deploy::{Switch, refused_change};
use crate::limits::SHOWN_RELEASES_MAX;
use crate::store::{ReleaseRecord, ReleaseState};

impl Control {
    pub(super) async fn releases(&self, ask: &Ask, releases: Releases) -> Result<ReleasesReply, Failure> {
        let app = self.app_for(&ask.actor, &releases.app, Role::Viewer, "look at")?;
        let records = self.services.store.list_releases(app.identity.number, SHOWN_RELEASES_MAX).await?;
        Ok(ReleasesReply { releases: records.iter().map(release_row).collect() })
    }

    pub(super) async fn release_info(&self, ask: &Ask, info: Info) -> Result<InfoReply, Failure> {
        let app = self.app_for(&ask.actor, &info.app, Role::Viewer, "look at")?;
        let version = match &info.version {
            Some(word) => Some(word.parse::<ReleaseVersion>()?),
            None => app.view.borrow().current,
        };
        let record = match version {
            Some(version) => self.services.store.find_release(app.identity.number, version).await?,
            None => None,
        };
        let Some(record) = record else { return Err(no_release(info.version.as_deref())) };
        let slug = self.slug_of(app.identity.number, record.release.slug).await?;
        Ok(InfoReply {
            row: release_row(&record),
            commands: slug.manifest.commands.iter().map(|(t, c)| (t.to_string(), c.clone())).collect(),
            formation: record.release.formation.0.iter().map(|(t, n)| (t.to_string(), *n)).collect(),
            interpreter: slug.manifest.interpreter,
            buildpack: slug.manifest.buildpack,
            source_version: slug.manifest.source_version,
        })
    }

    pub(super) async fn rollback(self: &Arc<Self>, ask: &Ask, rollback: Rollback) -> Result<RollbackReply, Failure> {
        let app = self.app_for(&ask.actor, &rollback.app, Role::Deployer, "roll back")?;
        let turn = self.turn(&app, &ask.lines, &ask.cancel).await?;
        let number = app.identity.number;
        let store = &self.services.store;
        let target = match &rollback.version {
            Some(word) => store.find_release(number, word.parse()?).await?,
            None => store.rollback_target(number).await?,
        };
        let Some(target) = target else { return Err(no_release(rollback.version.as_deref())) };
        let to = target.release.version;
        if Some(to) == store.app(number).await?.current {
            return Err(Failure::new(Kind::Refused, "rollback.is_current", format!("{to} is what serves now")).fix("see `paas releases`"));
        }
        if matches!(target.state, ReleaseState::Failed | ReleaseState::Candidate) {
            let failure = Failure::new(Kind::Refused, "rollback.never_served", format!("{to} never served"));
            return Err(failure.why(target.failure.unwrap_or_default()).fix("pick one that did: `paas releases`"));
        }
        let slug = self.slug_of(number, target.release.slug).await?;
        let types = slug.manifest.commands.keys().cloned().collect();
        let formation = store.formation(number).await?.carried_over(&types, &slug.manifest.app_json.formation);
        let cause = Cause::Rollback { to };
        let release = self.insert_candidate(&app, slug.id, target.release.config_version, formation, cause, ask.actor.name()).await?;
        let version = release.version;
        let underway = self.begin_work(number, turn);
        let (manifest, lines, cancel) = (slug.manifest, ask.lines.clone(), underway.cancel());
        let switch = Switch { release, manifest, release_phase: rollback.run_release, accept_5xx: true, undo: None, lines, cancel };
        let switched = underway.while_wanted(ask.cancel.clone(), self.switch(&app, switch)).await;
        switched.map_err(|failure| {
            refused_change(failure, "nothing was rolled back", "look at `paas logs`, or pick another release: `paas releases`")
        })?;
        Ok(RollbackReply { to: to.to_string(), release: version.to_string() })
    }
}

fn no_release(version: Option<&str>) -> Failure {
    let what = match version {
        Some(version) => format!("there is no release {version}"),
        None => "there is no older release to go back to".to_owned(),
    };
    Failure::new(Kind::NotFound, "release.not_found", what).fix("name one of `paas releases`: paas rollback VERSION")
}

fn release_row(record: &ReleaseRecord) -> ReleaseRow {
    ReleaseRow {
        version: record.release.version.to_string(),
        description: record.release.cause.to_string(),
        actor: record.release.actor.clone(),
        created_unix_ms: record.release.created_unix_ms,
        state: record.state.as_str().to_owned(),
        failure: record.failure.clone(),
        slug: record.release.slug.to_string(),
    }
}
