//! Releases: inserted as candidates, never updated. What became of one is an outcome.

use model::{AppNumber, Cause, ConfigVersion, Formation, Release, ReleaseVersion, SlugId};
use rusqlite::{Connection, Row, named_params, params};

use super::{NewEvent, Store, StoreError, apps, config, events, slugs, sql, stored};

/// A release to try.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// What it runs.
    pub slug: SlugId,
    /// The config vars it runs with.
    pub config_version: ConfigVersion,
    /// How many of each.
    pub formation: Formation,
    /// Why it exists.
    pub cause: Cause,
}

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReleaseState {
    /// It serves.
    Current,
    /// It served.
    Superseded,
    /// It was refused, or undone by itself after it had gone live.
    Failed,
    /// It is being tried.
    Candidate,
}

impl ReleaseState {
    /// The word that people see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::Candidate => "candidate",
        }
    }
}

/// A release and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRecord {
    /// The release.
    pub release: Release,
    /// What became of it.
    pub state: ReleaseState,
    /// Why it failed.
    pub failure: Option<String>,
    /// When traffic went over to it, in milliseconds since 1970 UTC.
    pub switched_unix_ms: Option<i64>,
}

impl Store {
    /// Makes the next release of an app, as a candidate: nothing that serves changes.
    pub async fn insert_candidate_release(&self, app: AppNumber, release: NewRelease, event: NewEvent) -> Result<Release, StoreError> {
        self.write("make a release", move |db, _| insert(db, app, release, &event)).await
    }

    /// The newest `count` releases of an app, newest first.
    pub async fn list_releases(&self, app: AppNumber, count: usize) -> Result<Vec<ReleaseRecord>, StoreError> {
        self.read("list releases", move |db, _| {
            let sql = format!("{SELECT} WHERE r.app = ?1 ORDER BY r.version DESC LIMIT ?2");
            sql::rows(db, &sql, params![app.0, sql::limit(count)], read)
        })
        .await
    }

    /// One release.
    pub async fn find_release(&self, app: AppNumber, version: ReleaseVersion) -> Result<Option<ReleaseRecord>, StoreError> {
        self.read("find a release", move |db, _| find(db, app, version)).await
    }

    /// The release that serves.
    pub async fn current_release(&self, app: AppNumber) -> Result<Option<ReleaseRecord>, StoreError> {
        self.read("find the current release", move |db, _| {
            let sql = format!("{SELECT} WHERE r.app = ?1 AND r.version = c.version");
            sql::row(db, &sql, [app.0], read)
        })
        .await
    }

    /// Where `rollback` without a version goes: the last good release before the current
    /// one whose slug is still there. Rolling back again goes further back, not forward.
    pub async fn rollback_target(&self, app: AppNumber) -> Result<Option<ReleaseRecord>, StoreError> {
        self.read("find a release to roll back to", move |db, _| {
            let Some(mut before) = apps::living(db, app)?.current else { return Ok(None) };
            // A rollback stands where the release stands that it went back to.
            while let Some(Cause::Rollback { to }) = find(db, app, before)?.map(|found| found.release.cause) {
                if to >= before {
                    break;
                }
                before = to;
            }
            let sql = format!(
                "{SELECT} WHERE r.app = ?1 AND r.version < ?2
                   AND EXISTS (SELECT 1 FROM slug_files f WHERE f.sha256 = r.slug)
                   AND EXISTS (SELECT 1 FROM release_outcomes o
                               WHERE o.app = r.app AND o.version = r.version AND o.outcome = 'switched')
                   AND NOT EXISTS (SELECT 1 FROM release_outcomes o
                                   WHERE o.app = r.app AND o.version = r.version AND o.outcome = 'rolled_back')
                 ORDER BY r.version DESC LIMIT 1"
            );
            sql::row(db, &sql, [app.0, before.0], read)
        })
        .await
    }
}

const SELECT: &str = "
    SELECT a.name, r.version, r.slug, r.config_version, r.formation, r.cause, r.parent, r.actor, r.created_unix_ms,
           c.version AS current,
           (SELECT o.at_unix_ms FROM release_outcomes o
            WHERE o.app = r.app AND o.version = r.version AND o.outcome = 'switched') AS switched_unix_ms,
           (SELECT o.detail FROM release_outcomes o
            WHERE o.app = r.app AND o.version = r.version AND o.outcome IN ('failed', 'rolled_back')) AS failure
    FROM releases r JOIN apps a ON a.number = r.app JOIN app_current c ON c.app = r.app";

pub(super) fn find(db: &Connection, app: AppNumber, version: ReleaseVersion) -> Result<Option<ReleaseRecord>, StoreError> {
    sql::row(db, &format!("{SELECT} WHERE r.app = ?1 AND r.version = ?2"), [app.0, version.0], read)
}

/// Releases of living apps that have no outcome.
pub(super) fn candidates(db: &Connection) -> Result<Vec<(AppNumber, ReleaseVersion)>, StoreError> {
    let sql = "SELECT r.app, r.version FROM releases r JOIN apps a ON a.number = r.app
               WHERE a.destroyed_unix_ms IS NULL AND NOT EXISTS
                   (SELECT 1 FROM release_outcomes o WHERE o.app = r.app AND o.version = r.version)
               ORDER BY r.app, r.version";
    sql::rows(db, sql, [], |row| Ok((AppNumber(row.get(0)?), ReleaseVersion(row.get(1)?))))
}

fn insert(db: &Connection, app: AppNumber, new: NewRelease, event: &NewEvent) -> Result<Release, StoreError> {
    let now = apps::living(db, app)?;
    if !slugs::is_stored(db, app, new.slug)? {
        return Err(StoreError::SlugGone(new.slug));
    }
    config::refuse_unknown(db, app, new.config_version)?;
    let version = sql::value(
        db,
        "INSERT INTO releases (app, version, slug, config_version, config_base, formation, cause, parent, actor,
                               created_unix_ms)
         SELECT :app, coalesce(max(version), 0) + 1, :slug, :config, :base, :formation, :cause, :parent, :actor, :at
         FROM releases WHERE app = :app
         RETURNING version",
        named_params! {
            ":app": app.0,
            ":slug": new.slug.0,
            ":config": new.config_version.0,
            ":base": now.config_version.0,
            ":formation": stored::formation_text(&new.formation)?,
            ":cause": stored::cause_text(&new.cause)?,
            ":parent": now.current.map(|version| version.0),
            ":actor": event.actor,
            ":at": event.at_unix_ms,
        },
    )?;
    events::record(db, Some(app), event)?;
    Ok(Release {
        app: now.name,
        version: ReleaseVersion(version),
        slug: new.slug,
        config_version: new.config_version,
        formation: new.formation,
        cause: new.cause,
        parent: now.current,
        actor: event.actor.clone(),
        created_unix_ms: event.at_unix_ms,
    })
}

fn read(row: &Row<'_>) -> Result<ReleaseRecord, StoreError> {
    let version = ReleaseVersion(row.get("version")?);
    let current = row.get::<_, Option<u32>>("current")?.map(ReleaseVersion);
    let failure: Option<String> = row.get("failure")?;
    let switched_unix_ms: Option<i64> = row.get("switched_unix_ms")?;
    let state = match (&failure, switched_unix_ms) {
        (Some(_), _) => ReleaseState::Failed,
        (None, _) if current == Some(version) => ReleaseState::Current,
        (None, Some(_)) => ReleaseState::Superseded,
        (None, None) => ReleaseState::Candidate,
    };
    let release = Release {
        app: sql::word(row, "name")?,
        version,
        slug: sql::slug(row, "slug")?,
        config_version: ConfigVersion(row.get("config_version")?),
        formation: stored::formation(&row.get::<_, String>("formation")?)?,
        cause: stored::cause(&row.get::<_, String>("cause")?)?,
        parent: row.get::<_, Option<u32>>("parent")?.map(ReleaseVersion),
        actor: row.get("actor")?,
        created_unix_ms: row.get("created_unix_ms")?,
    };
    Ok(ReleaseRecord { release, state, failure, switched_unix_ms })
}
