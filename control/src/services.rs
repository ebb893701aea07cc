//! What every part of control works with.

use std::future::Future;
use std::sync::Arc;

use model::ReleaseVersion;

use crate::app::AppIdentity;
use crate::memory::Ledger;
use crate::seams::{AppLogs, Builders, Databases, Engine, FrontDoor, Host, LoginKeys, Repositories};
use crate::store::{EventCode, NewEvent, Store, Undone};
use crate::story::Told;

/// The seams, the store and the clock.
pub struct Services {
    /// The store.
    pub store: Store,
    /// Runs apps.
    pub engine: Arc<dyn Engine>,
    /// The router.
    pub front_door: Arc<dyn FrontDoor>,
    /// Runs builds.
    pub builders: Arc<dyn Builders>,
    /// Databases.
    pub databases: Arc<dyn Databases>,
    /// Git repositories.
    pub repositories: Arc<dyn Repositories>,
    /// Logs.
    pub logs: Arc<dyn AppLogs>,
    /// SSH keys.
    pub login_keys: Arc<dyn LoginKeys>,
    /// The machine.
    pub host: Arc<dyn Host>,
    /// Memory that switches under way count on.
    pub memory: Ledger,
    /// Milliseconds since 1970 UTC.
    pub clock: fn() -> i64,
    /// Called when a task that must not end has ended: the server stops, apps do not.
    pub fatal: fn(&str),
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Services")
    }
}

impl Services {
    /// The time, in milliseconds since 1970 UTC.
    pub fn now_unix_ms(&self) -> i64 {
        (self.clock)()
    }

    /// Spawns a task whose panic ends the server: half a server is worse than none,
    /// since shims and router go on without it and the next one adopts them.
    pub fn spawn_critical(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        spawn_critical(name, task, self.fatal);
    }

    /// Keeps what went wrong with an instance as an event; the rest is in the log alone.
    pub async fn record_trouble(&self, identity: &AppIdentity, told: &Told) {
        let Some(code) = told.trouble else { return };
        let event = NewEvent::new(self.now_unix_ms(), "paas", code, told.event_text());
        if let Err(error) = self.store.record_event(Some(identity.number), event).await {
            tracing::error!(app = %identity.name, %error, "an event is not stored");
        }
    }

    /// THE flip: one transaction moves `app.current`, promotes its config and writes the event.
    pub async fn store_switch(&self, identity: &AppIdentity, version: ReleaseVersion, undo: Option<Undone>) -> Result<(), String> {
        let now = self.now_unix_ms();
        let stored = match undo {
            None => {
                let event = NewEvent::new(now, "paas", EventCode::ReleaseSwitched, format!("traffic switched to {version}"));
                self.store.switch_release(identity.number, version, event).await
            }
            Some(undone) => {
                let text = format!("{} was rolled back by itself, {version} serves: {}", undone.version, undone.why);
                let event = NewEvent::new(now, "paas", EventCode::ReleaseRolledBack, text);
                self.store.switch_back(identity.number, version, undone, event).await
            }
        };
        stored.map(|_| ()).map_err(|error| format!("the switch could not be stored: {error}"))
    }
}

/// Spawns a task whose panic calls `fatal` with its name.
pub fn spawn_critical(name: &'static str, task: impl Future<Output = ()> + Send + 'static, fatal: fn(&str)) {
    let task = tokio::spawn(task);
    tokio::spawn(async move {
        if task.await.is_err_and(|error| error.is_panic()) {
            fatal(name);
        }
    });
}
