//! The start of a server and of each app: what the store holds becomes tasks.

use std::sync::Arc;

use api::Failure;
use model::{AppNumber, ConfigVars, Formation};

use crate::app::{AppHandle, AppStart, RunnableRelease};
use crate::control::{Control, ControlSettings};
use crate::services::Services;
use crate::store::{App, EventCode};
use crate::watching::undone_note;

impl Control {
    /// Starts with what the store holds: what an earlier server left half done is
    /// settled, then every app gets its task.
    pub async fn start(services: Arc<Services>, settings: ControlSettings) -> Result<Arc<Self>, Failure> {
        let control = Arc::new(Self::new(services, settings));
        control.settle_interrupted().await?;
        for app in control.services.store.apps().await? {
            let start = control.app_start_or_none(&app, true).await?;
            if let Some(trouble) = &start.trouble
                && let Err(failure) = control.tell_trouble(app.number, trouble).await
            {
                tracing::error!(app = %app.name, %failure, "an event is not stored");
            }
            let handle = AppHandle::start(&control.services, start);
            control.insert(handle.clone());
            control.watch_on(&app, &handle).await;
            // An earlier server may have been killed while it made this one.
            if app.current.is_none()
                && let Err(failure) = control.make_places(app.number).await
            {
                tracing::error!(app = %app.name, %failure, "an app cannot be made whole");
            }
        }
        let event = control.event_of("paas", EventCode::ServerStarted, format!("the server {} started", control.settings.version));
        let told = control.services.store.record_event(None, event).await.map_err(Failure::from);
        // On a full disk, say. It is served all the same, and the next start does it again.
        for failure in [told.err(), control.settle_pushes().await.err(), control.publish_keys().await.err()].into_iter().flatten() {
            tracing::error!(%failure, causes = ?failure.causes, "a part of the start has failed");
        }
        // Only now: the apps' databases have made sure that the cluster is up.
        let wiping = control.clone();
        tokio::spawn(async move { wiping.wipe_destroyed().await });
        Ok(control)
    }

    /// Everything that an earlier server had begun and not ended has failed.
    async fn settle_interrupted(&self) -> Result<(), Failure> {
        let now = self.services.now_unix_ms();
        let undone = self.services.store.settle_interrupted(now).await?;
        tracing::debug!(?undone, "what an earlier server left undone has failed");
        Ok(())
    }

    /// With what an app's task starts, from what the store holds.
    pub(crate) async fn app_start(&self, app: &App, adopting: bool) -> Result<AppStart, Failure> {
        let store = &self.services.store;
        let current = match store.current_release(app.number).await? {
            None => None,
            Some(record) => {
                let config = store.config_of(app.number, record.release.config_version).await?;
                let slug = self.slug_of(app.number, record.release.slug).await?;
                Some(RunnableRelease { release: record.release, manifest: slug.manifest, config })
            }
        };
        let addon_env = match self.addon_env(app).await {
            // Nothing runs that could miss it; a deploy asks again.
            Err(failure) if adopting && current.is_none() => {
                tracing::error!(app = %app.name, %failure, causes = ?failure.causes, "the database of an app is not there");
                ConfigVars::default()
            }
            env => env?,
        };
        Ok(AppStart {
            identity: self.identity(&app.name, app.number, app.port)?,
            current,
            formation: store.formation(app.number).await?,
            stopped: app.stopped,
            addon_env,
            settings: store.type_settings(app.number).await?,
            kept: store.kept_paths(app.number).await?,
            adopting,
            trouble: None,
            note: self.undone(app.number).await?.as_ref().map(undone_note),
        })
    }

    /// As [`Control::app_start`]. An app that cannot be read whole starts without anything
    /// of it running: never without its config, and no other app has to suffer for it.
    pub(crate) async fn app_start_or_none(&self, app: &App, adopting: bool) -> Result<AppStart, Failure> {
        let failure = match self.app_start(app, adopting).await {
            Ok(start) => return Ok(start),
            Err(failure) => failure,
        };
        tracing::error!(app = %app.name, %failure, causes = ?failure.causes, "an app is not started");
        let why = failure.why.as_ref().or(failure.causes.first()).map(|why| format!(" ({why})")).unwrap_or_default();
        Ok(AppStart {
            identity: self.identity(&app.name, app.number, app.port)?,
            current: None,
            formation: Formation::default(),
            stopped: app.stopped,
            addon_env: ConfigVars::default(),
            settings: std::collections::BTreeMap::new(),
            kept: Vec::new(),
            adopting,
            trouble: Some(format!("not started: {failure}{why}")),
            note: None,
        })
    }

    async fn tell_trouble(&self, number: AppNumber, trouble: &str) -> Result<(), Failure> {
        self.services.logs.write(number, "start", trouble);
        let event = self.event_of("paas", EventCode::AppNotStarted, trouble.to_owned());
        Ok(self.services.store.record_event(Some(number), event).await?)
    }

    /// Starts the task of an app that was just made.
    pub(crate) async fn start_app(&self, app: &App) -> Result<AppHandle, Failure> {
        let start = self.app_start(app, false).await?;
        let handle = AppHandle::start(&self.services, start);
        self.insert(handle.clone());
        Ok(handle)
    }
}
