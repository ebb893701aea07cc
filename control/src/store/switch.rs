//! The flip, and its opposite.
//!
//! ```text
//!              switch_release            another switch
//! candidate ──────────────────▶ current ────────────────▶ superseded
//!     │                            │
//!     └── fail_release ──▶ failed ◀┘ switch_back (it is undone while the new one goes live)
//! ```

use model::{AppNumber, ConfigVersion, ReleaseVersion};
use rusqlite::{Connection, params};

use super::{EventCode, NewEvent, Store, StoreError, apps, builds, events, formation, limits, releases, sql};

/// A release that is undone by itself after it had gone live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The release that served until now.
    pub version: ReleaseVersion,
    /// Why, for people.
    pub why: String,
}

/// What an earlier server left without an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interrupted {
    /// Builds that are closed now.
    pub builds: usize,
    /// Candidates that have failed now.
    pub releases: usize,
}

impl Store {
    /// The flip: what serves, its config, the formation, the outcome and the event move
    /// in one transaction. Returns the release that served before. Asking again for a
    /// release that serves already changes nothing.
    ///
    /// Config vars that were saved since the candidate was made stay, unless the
    /// candidate changes config itself: then it is refused with [`StoreError::ConfigMoved`].
    pub async fn switch_release(
        &self,
        app: AppNumber,
        version: ReleaseVersion,
        event: NewEvent,
    ) -> Result<Option<ReleaseVersion>, StoreError> {
        self.write("switch to a release", move |db, _| switch(db, app, version, None, &event)).await
    }

    /// As [`Store::switch_release`], for the watch window: the release that served until
    /// now has failed.
    pub async fn switch_back(
        &self,
        app: AppNumber,
        version: ReleaseVersion,
        undone: Undone,
        event: NewEvent,
    ) -> Result<Option<ReleaseVersion>, StoreError> {
        self.write("roll back", move |db, _| switch(db, app, version, Some(undone), &event)).await
    }

    /// Refuses a candidate: nothing that serves changes, its config was never the app's.
    pub async fn fail_release(&self, app: AppNumber, version: ReleaseVersion, why: String, event: NewEvent) -> Result<(), StoreError> {
        self.write("fail a release", move |db, _| {
            apps::living(db, app)?;
            refuse_decided(db, app, version)?;
            decide(db, app, version, "failed", Some(why), event.at_unix_ms)?;
            events::record(db, Some(app), &event)
        })
        .await
    }

    /// For the start of the server, when nothing can be under way: fails every candidate
    /// and closes every running build as interrupted, each with its event.
    pub async fn settle_interrupted(&self, at_unix_ms: i64) -> Result<Interrupted, StoreError> {
        self.write("settle what was interrupted", move |db, _| {
            let candidates = releases::candidates(db)?;
            for (app, version) in &candidates {
                let why = "the server ended while this release was tried";
                decide(db, *app, *version, "failed", Some(why.to_owned()), at_unix_ms)?;
                let text = format!("{version} was refused: {why}");
                let event = NewEvent::new(at_unix_ms, "paas", EventCode::ReleaseFailed, text);
                events::record(db, Some(*app), &event)?;
            }
            Ok(Interrupted { builds: builds::interrupt(db, at_unix_ms)?, releases: candidates.len() })
        })
        .await
    }
}

fn switch(
    db: &Connection,
    app: AppNumber,
    version: ReleaseVersion,
    undone: Option<Undone>,
    event: &NewEvent,
) -> Result<Option<ReleaseVersion>, StoreError> {
    let now = apps::living(db, app)?;
    if now.current == Some(version) {
        return Ok(now.current);
    }
    let candidate = refuse_decided(db, app, version)?;
    if candidate.parent != now.current || undone.as_ref().is_some_and(|undone| Some(undone.version) != now.current) {
        return Err(StoreError::CurrentMoved(version));
    }
    let sql = "SELECT config_base FROM releases WHERE app = ?1 AND version = ?2";
    let base = ConfigVersion(sql::value(db, sql, [app.0, version.0])?);
    let config = if now.config_version == base {
        candidate.config_version
    } else if candidate.config_version == base {
        now.config_version
    } else {
        return Err(StoreError::ConfigMoved);
    };
    if let Some(undone) = undone {
        decide(db, app, undone.version, "rolled_back", Some(undone.why), event.at_unix_ms)?;
    }
    decide(db, app, version, "switched", None, event.at_unix_ms)?;
    formation::take_over(db, app, &candidate.formation)?;
    let sql = "UPDATE app_current SET version = ?2, config_version = ?3 WHERE app = ?1";
    sql::execute(db, sql, [app.0, version.0, config.0])?;
    events::record(db, Some(app), event)?;
    Ok(now.current)
}

fn refuse_decided(db: &Connection, app: AppNumber, version: ReleaseVersion) -> Result<model::Release, StoreError> {
    let found = releases::find(db, app, version)?.ok_or(StoreError::NoSuchRelease(version))?;
    match found.state {
        releases::ReleaseState::Candidate => Ok(found.release),
        _ => Err(StoreError::ReleaseDecided(version)),
    }
}

fn decide(
    db: &Connection,
    app: AppNumber,
    version: ReleaseVersion,
    outcome: &str,
    detail: Option<String>,
    at_unix_ms: i64,
) -> Result<(), StoreError> {
    let detail = detail.map(|why| sql::cut(why, limits::REASON_BYTES_MAX));
    sql::execute(
        db,
        "INSERT INTO release_outcomes (app, version, outcome, at_unix_ms, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![app.0, version.0, outcome, at_unix_ms, detail],
    )?;
    Ok(())
}
