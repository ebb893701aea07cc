//! `apps:rename` and `apps:destroy`: an app closes before its name or its life ends. If
//! that cannot be stored, it runs again as before.

use api::apps::{CreateReply, Destroy, DestroyReply, Rename};
use api::{Failure, Kind, Role};
use model::AppName;

use super::Ask;
use crate::app::{AppHandle, AppStart};
use crate::control::Control;
use crate::limits::{CANCEL_AGAIN, SESSIONS_END_MAX, WIPE_MAX};
use crate::seams::{Cancel, Lines};
use crate::store::{EventCode, StoreError};
use crate::turns::Turn;

impl Control {
    /// Renames by stopping under the old name and starting under the new one: `APP`, the
    /// host name and every run carry the name.
    pub(super) async fn rename(&self, ask: &Ask, rename: Rename) -> Result<CreateReply, Failure> {
        let app = self.app_for(&ask.actor, &rename.app, Role::Owner, "rename")?;
        let name: AppName = rename.to.parse()?;
        let _turn = self.turn(&app, &ask.lines, &ask.cancel).await?;
        let number = app.identity.number;
        // Nearly everything that can fail comes before anything stops.
        if self.find(&name).is_some_and(|other| other.identity.number != number) {
            return Err(StoreError::AppNameTaken(name).into());
        }
        let mut start = self.app_start(&self.services.store.app(number).await?, false).await?;
        let identity = self.identity(&name, number, app.identity.port)?;
        let event = self.event(ask, EventCode::AppRenamed, format!("{} is now {name}", app.identity.name));
        app.close().await?;
        // The old name is free only now: whoever takes it finds nothing of this app.
        let renamed = self.services.store.rename_app(number, name, event).await;
        if renamed.is_ok() {
            self.forget(&app.identity.name);
            start.identity = identity;
        }
        let handle = self.start_again(&app, start);
        Ok(self.created(&handle, renamed?.database))
    }

    pub(super) async fn destroy(&self, ask: &Ask, destroy: Destroy) -> Result<DestroyReply, Failure> {
        let app = self.app_for(&ask.actor, &destroy.app, Role::Owner, "destroy")?;
        let name = &app.identity.name;
        if destroy.confirm != name.as_str() {
            return Err(Failure::new(Kind::Refused, "app.not_confirmed", format!("{name} was not destroyed"))
                .why("the name that confirms it is another")
                .fix(format!("paas apps:destroy -a {name} --confirm {name}")));
        }
        let _turn = self.turn_by_force(&app, &ask.lines, &ask.cancel).await?;
        let number = app.identity.number;
        let record = self.services.store.app(number).await?;
        // For the case that it stays: one that cannot be started can be destroyed too.
        let start = self.app_start_or_none(&record, false).await?;
        app.close().await?;
        let event = self.event(ask, EventCode::AppDestroyed, format!("{name} was destroyed"));
        if let Err(error) = self.services.store.destroy_app(number, event).await {
            self.start_again(&app, start);
            return Err(error.into());
        }
        self.forget(name);
        self.sessions.end_of_app(number);
        if tokio::time::timeout(SESSIONS_END_MAX, app.pushing.write()).await.is_err() {
            tracing::warn!(app = %name, "git of a push is still in the repository of a destroyed app");
        }
        self.wipe_destroyed().await;
        self.publish_keys().await?;
        Ok(DestroyReply { name: name.to_string() })
    }

    /// The task of an app whose own was closed.
    fn start_again(&self, app: &AppHandle, start: AppStart) -> AppHandle {
        let handle = app.succeeded_by(&self.services, start);
        self.insert(handle.clone());
        // What was scaled or stopped between the look and the start.
        handle.reload();
        handle
    }

    /// The turn, with everything that stands before it cancelled.
    async fn turn_by_force(&self, app: &AppHandle, lines: &Lines, cancel: &Cancel) -> Result<Turn, Failure> {
        let turn = self.turn(app, lines, cancel);
        tokio::pin!(turn);
        loop {
            if let Some(other) = self.underway_of(app.identity.number) {
                other.raise.send_replace(true);
            }
            // One that waited longer may have begun meanwhile.
            if let Ok(turn) = tokio::time::timeout(CANCEL_AGAIN, &mut turn).await {
                return turn;
            }
        }
    }

    /// Removes what is left on the box of destroyed apps; what cannot be removed now is
    /// tried again at the next start.
    pub(crate) async fn wipe_destroyed(&self) {
        let numbers = match self.services.store.unwiped_apps().await {
            Ok(numbers) => numbers,
            Err(error) => return tracing::warn!(%error, "destroyed apps cannot be listed"),
        };
        for number in numbers {
            // Wiping runs in a sandbox of its own.
            let Ok(_work) = self.work() else { return };
            let wiped = async {
                self.services.databases.remove(number).await?;
                self.services.engine.remove(number).await?;
                self.services.store.mark_wiped(number, self.services.now_unix_ms()).await?;
                Ok::<_, Failure>(())
            };
            let late = || Failure::new(Kind::Host, "app.not_wiped", "removing it takes too long");
            let wiped = tokio::time::timeout(WIPE_MAX, wiped).await;
            if let Err(failure) = wiped.unwrap_or_else(|_| Err(late())) {
                tracing::warn!(app = number.0, %failure, causes = ?failure.causes, "leftovers of a destroyed app stay until the next start");
            }
        }
    }
}
