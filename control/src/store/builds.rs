//! Builds. One without an outcome is running.

use model::{AppNumber, ReleaseVersion};
use rusqlite::{Connection, Row, named_params, params};

use super::{EventCode, NewEvent, Store, StoreError, apps, build_output, events, limits, sql};

/// What became of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BuildState {
    /// It runs.
    Running,
    /// Its release went live.
    Succeeded,
    /// It, or its release, failed.
    Failed,
    /// The push was refused before anything was built.
    Refused,
    /// A person cancelled it.
    Cancelled,
    /// The server ended while it ran.
    Interrupted,
}

impl BuildState {
    const ALL: [Self; 6] = [Self::Running, Self::Succeeded, Self::Failed, Self::Refused, Self::Cancelled, Self::Interrupted];

    /// The word that people see and that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Why a build did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildFailure {
    /// A stable code for scripts: [`api::Failure::code`].
    pub code: String,
    /// What happened, one sentence.
    pub what: String,
}

/// A build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The app.
    pub app: AppNumber,
    /// Its number within the app, from 1.
    pub number: u32,
    /// The commit.
    pub commit: String,
    /// Who pushed.
    pub actor: String,
    /// When it started, in milliseconds since 1970 UTC.
    pub started_unix_ms: i64,
    /// What became of it.
    pub state: BuildState,
    /// Why it did not succeed.
    pub failure: Option<BuildFailure>,
    /// When it ended, in milliseconds since 1970 UTC.
    pub ended_unix_ms: Option<i64>,
    /// The release that it became.
    pub version: Option<ReleaseVersion>,
}

/// How a build ended.
#[derive(Debug, Clone)]
pub struct BuildEnd {
    /// Anything but `Running`.
    pub state: BuildState,
    /// Why it did not succeed.
    pub failure: Option<BuildFailure>,
    /// The release that it became.
    pub version: Option<ReleaseVersion>,
}

impl Store {
    /// Opens a build and returns its number.
    pub async fn begin_build(&self, app: AppNumber, commit: String, event: NewEvent) -> Result<u32, StoreError> {
        self.write("begin a build", move |db, _| begin(db, app, &commit, &event)).await
    }

    /// Closes a build.
    pub async fn finish_build(&self, app: AppNumber, build: u32, end: BuildEnd, event: NewEvent) -> Result<(), StoreError> {
        self.write("finish a build", move |db, _| {
            let found = find(db, app, build)?.ok_or(StoreError::NoSuchBuild(build))?;
            if found.state != BuildState::Running {
                return Err(StoreError::BuildEnded(build));
            }
            finish(db, app, build, end, event.at_unix_ms)?;
            events::record(db, Some(app), &event)
        })
        .await
    }

    /// The newest `count` builds of an app, newest first.
    pub async fn list_builds(&self, app: AppNumber, count: usize) -> Result<Vec<Build>, StoreError> {
        self.read("list builds", move |db, _| {
            let sql = format!("{SELECT} WHERE b.app = ?1 ORDER BY b.number DESC LIMIT ?2");
            sql::rows(db, &sql, params![app.0, sql::limit(count)], read)
        })
        .await
    }

    /// One build; without a number the newest.
    pub async fn find_build(&self, app: AppNumber, build: Option<u32>) -> Result<Option<Build>, StoreError> {
        self.read("find a build", move |db, _| match build {
            Some(number) => find(db, app, number),
            None => sql::row(db, &format!("{SELECT} WHERE b.app = ?1 ORDER BY b.number DESC LIMIT 1"), [app.0], read),
        })
        .await
    }
}

const SELECT: &str = "
    SELECT b.app, b.number, b.commit_id, b.actor, b.started_unix_ms,
           o.state, o.failure_code, o.failure_what, o.ended_unix_ms, o.version
    FROM builds b LEFT JOIN build_outcomes o ON o.app = b.app AND o.build = b.number";

fn find(db: &Connection, app: AppNumber, build: u32) -> Result<Option<Build>, StoreError> {
    sql::row(db, &format!("{SELECT} WHERE b.app = ?1 AND b.number = ?2"), [app.0, build], read)
}

/// Closes every build that runs, as interrupted; answers how many there were.
pub(super) fn interrupt(db: &Connection, at_unix_ms: i64) -> Result<usize, StoreError> {
    let running = sql::rows(db, &format!("{SELECT} WHERE o.build IS NULL"), [], read)?;
    for build in &running {
        let what = "the server ended while this build ran".to_owned();
        let failure = BuildFailure { code: "build.interrupted".to_owned(), what };
        let end = BuildEnd { state: BuildState::Interrupted, failure: Some(failure), version: None };
        finish(db, build.app, build.number, end, at_unix_ms)?;
        let text = format!("build {} was interrupted: the server ended while it ran", build.number);
        let event = NewEvent::new(at_unix_ms, "paas", EventCode::BuildInterrupted, text);
        events::record(db, Some(build.app), &event)?;
    }
    Ok(running.len())
}

fn begin(db: &Connection, app: AppNumber, commit: &str, event: &NewEvent) -> Result<u32, StoreError> {
    apps::living(db, app)?;
    let number = sql::value(
        db,
        "INSERT INTO builds (app, number, commit_id, actor, started_unix_ms)
         SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4 FROM builds WHERE app = ?1
         RETURNING number",
        params![app.0, commit, event.actor, event.at_unix_ms],
    )?;
    sql::execute(db, "INSERT INTO build_logs (app, build) VALUES (?1, ?2)", [app.0, number])?;
    build_output::remove_oldest(db, app)?;
    events::record(db, Some(app), event)?;
    Ok(number)
}

fn finish(db: &Connection, app: AppNumber, build: u32, end: BuildEnd, at_unix_ms: i64) -> Result<(), StoreError> {
    let (code, what) = end.failure.map(|failure| (failure.code, failure.what)).unzip();
    sql::execute(
        db,
        "INSERT INTO build_outcomes (app, build, state, failure_code, failure_what, version, ended_unix_ms)
         VALUES (:app, :build, :state, :code, :what, :version, :at)",
        named_params! {
            ":app": app.0,
            ":build": build,
            ":state": end.state.as_str(),
            ":code": code,
            ":what": what.map(|what| sql::cut(what, limits::REASON_BYTES_MAX)),
            ":version": end.version.map(|version| version.0),
            ":at": at_unix_ms,
        },
    )?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Build, StoreError> {
    let state = match row.get::<_, Option<String>>("state")? {
        None => BuildState::Running,
        Some(word) => BuildState::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or(StoreError::Unreadable { column: "build_outcomes.state", value: word })?,
    };
    let code: Option<String> = row.get("failure_code")?;
    let what: Option<String> = row.get("failure_what")?;
    Ok(Build {
        app: AppNumber(row.get("app")?),
        number: row.get("number")?,
        commit: row.get("commit_id")?,
        actor: row.get("actor")?,
        started_unix_ms: row.get("started_unix_ms")?,
        state,
        failure: code.zip(what).map(|(code, what)| BuildFailure { code, what }),
        ended_unix_ms: row.get("ended_unix_ms")?,
        version: row.get::<_, Option<u32>>("version")?.map(ReleaseVersion),
    })
}
