//! Events: anything that happened, kept. They are written in the transaction of the
//! change that they tell of.

use model::{AppName, AppNumber};
use rusqlite::{Connection, Row, named_params};

use super::{Store, StoreError, limits, sql};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)+) => {
        /// What can happen. A code that was once written is never renamed or given a
        /// second meaning; reading keeps codes that are not in this list.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventCode {
            $($(#[$doc])* $name,)+
        }

        impl EventCode {
            /// Every code.
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code as it is stored: `release.switched`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }
        }
    };
}

codes! {
    /// An app was made.
    AppCreated = "app.created",
    /// An app got another name.
    AppRenamed = "app.renamed",
    /// A setting of an app was changed.
    AppSet = "app.set",
    /// A server found an app that it could not start.
    AppNotStarted = "app.not_started",
    /// An app was destroyed.
    AppDestroyed = "app.destroyed",
    /// Config vars were saved without a release (`--no-restart`, or nothing deployed yet).
    ConfigSaved = "config.saved",
    /// A build started.
    BuildStarted = "build.started",
    /// A build made a slug and its release went live.
    BuildSucceeded = "build.succeeded",
    /// A build failed, or its release did.
    BuildFailed = "build.failed",
    /// A push was refused before anything was built.
    BuildRefused = "build.refused",
    /// A person cancelled a build.
    BuildCancelled = "build.cancelled",
    /// The server ended while a build ran.
    BuildInterrupted = "build.interrupted",
    /// A release was made and is being tried.
    ReleaseCreated = "release.created",
    /// Traffic went over to a release.
    ReleaseSwitched = "release.switched",
    /// A release was refused; the one before keeps serving.
    ReleaseFailed = "release.failed",
    /// A command that runs once a release serves has failed; it serves all the same.
    PostdeployFailed = "release.postdeploy_failed",
    /// A release that went live is not well, and is left as it is.
    ReleaseWarned = "release.warned",
    /// A release that had gone live was undone by itself.
    ReleaseRolledBack = "release.rolled_back",
    /// `ps:scale`.
    ProcessesScaled = "ps.scaled",
    /// `ps:limits`, `ps:overlap`.
    ProcessesSet = "ps.set",
    /// `storage:keep`.
    StorageKept = "storage.kept",
    /// `ps:restart`.
    ProcessesRestarted = "ps.restarted",
    /// `ps:stop`.
    ProcessesStopped = "ps.stopped",
    /// `ps:start`.
    ProcessesStarted = "ps.started",
    /// An instance ended by itself and is started again.
    InstanceCrashed = "instance.crashed",
    /// An instance was restarted because its check failed.
    InstanceRestarted = "instance.restarted",
    /// The port doctor found why nothing answers on an instance's port.
    InstancePort = "instance.port",
    /// An instance was killed while the kernel was out of memory.
    InstanceOutOfMemory = "instance.out_of_memory",
    /// An instance would not die.
    InstanceStuck = "instance.stuck",
    /// A person started a one-off command.
    RunStarted = "run.started",
    /// The hook said yes and the ref moved.
    PushMoved = "push.moved",
    /// The hook said yes and the ref did not move.
    PushLost = "push.lost",
    /// A person got a key or a role.
    AccessAdded = "access.added",
    /// A person lost a key or a role.
    AccessRemoved = "access.removed",
    /// The server started.
    ServerStarted = "server.started",
    /// The server was told to stop.
    ServerStopped = "server.stopped",
}

/// An event to write: who, when, what.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Milliseconds since 1970 UTC; also the time of the change itself.
    pub at_unix_ms: i64,
    /// Who did it, for people; `paas` for the platform itself.
    pub actor: String,
    /// What happened.
    pub code: EventCode,
    /// The sentence that people read. Never a secret.
    pub text: String,
}

impl NewEvent {
    /// An event of this time.
    pub fn new(at_unix_ms: i64, actor: impl Into<String>, code: EventCode, text: impl Into<String>) -> Self {
        Self { at_unix_ms, actor: actor.into(), code, text: text.into() }
    }
}

/// An event as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// Its number; grows with time.
    pub number: i64,
    /// Milliseconds since 1970 UTC.
    pub at_unix_ms: i64,
    /// The app it is about, by the name that it has now.
    pub app: Option<AppName>,
    /// Who did it.
    pub actor: String,
    /// The code, maybe one that only another version knows.
    pub code: String,
    /// The sentence.
    pub text: String,
}

impl Store {
    /// Writes an event that belongs to no other change; `app` is none for the box.
    pub async fn record_event(&self, app: Option<AppNumber>, event: NewEvent) -> Result<(), StoreError> {
        self.write("write an event", move |db, _| record(db, app, &event)).await
    }

    /// The newest `count` events of one app or of everything, oldest first.
    pub async fn list_events(&self, app: Option<AppNumber>, count: usize) -> Result<Vec<EventRecord>, StoreError> {
        self.read("list events", move |db, _| {
            let parameters = named_params! { ":app": app.map(|app| app.0), ":count": sql::limit(count) };
            let mut events = sql::rows(
                db,
                "SELECT e.number, e.at_unix_ms, a.name, e.actor, e.code, e.text
                 FROM events e LEFT JOIN apps a ON a.number = e.app
                 WHERE :app IS NULL OR e.app = :app
                 ORDER BY e.number DESC LIMIT :count",
                parameters,
                read,
            )?;
            events.reverse();
            Ok(events)
        })
        .await
    }
}

/// Writes an event in the transaction that it belongs to.
pub(super) fn record(db: &Connection, app: Option<AppNumber>, event: &NewEvent) -> Result<(), StoreError> {
    sql::execute(
        db,
        "INSERT INTO events (at_unix_ms, app, actor, code, detail, text)
         VALUES (:at, :app, :actor, :code, 'null', :text)",
        named_params! {
            ":at": event.at_unix_ms,
            ":app": app.map(|app| app.0),
            ":actor": event.actor,
            ":code": event.code.as_str(),
            ":text": sql::cut(event.text.clone(), limits::EVENT_TEXT_BYTES_MAX),
        },
    )?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<EventRecord, StoreError> {
    let app = match row.get::<_, Option<String>>("name")? {
        Some(_) => Some(sql::word(row, "name")?),
        None => None,
    };
    Ok(EventRecord {
        number: row.get("number")?,
        at_unix_ms: row.get("at_unix_ms")?,
        app,
        actor: row.get("actor")?,
        code: row.get("code")?,
        text: row.get("text")?,
    })
}
