//! Control itself: the apps there are, and what concerns all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use api::{Failure, Kind, Role};
use model::{AppName, AppNumber, ConfigVars, EnvKey, Hostname, ProcessType};
use tokio::sync::Semaphore;

use crate::access::Actor;
use crate::app::{AppHandle, AppIdentity, AppStart, RunnableRelease};
use crate::services::Services;
use crate::sessions::Sessions;
use crate::store::{App, EventCode};
use crate::turns::Cancellable;

/// What control must know of the box.
#[derive(Debug, Clone)]
pub struct ControlSettings {
    /// Apps answer as `APP.<domain>`.
    pub domain: Hostname,
    /// Where the router listens.
    pub http: SocketAddr,
    /// How people reach this box: a name or an address.
    pub public_address: String,
    /// The login user of `ssh paas@box`.
    pub login_user: String,
    /// Lasting ports of apps.
    pub app_ports: RangeInclusive<u16>,
    /// `root` or `rootless`.
    pub mode: &'static str,
    /// This server's version.
    pub version: &'static str,
}

/// Decides over every app of a box.
#[derive(Debug)]
pub struct Control {
    /// The store and the seams.
    pub services: Arc<Services>,
    pub(crate) settings: ControlSettings,
    /// One build at a time per box: what builds must not starve what serves.
    pub(crate) building: Arc<Semaphore>,
    apps: RwLock<BTreeMap<AppName, AppHandle>>,
    pub(crate) underway: Mutex<HashMap<AppNumber, Cancellable>>,
    pub(crate) sessions: Sessions,
    /// `stop --all` is under way: what is started now would outlive it.
    pub(crate) stopping: AtomicBool,
}

impl Control {
    /// Refuses new work once everything is being stopped.
    pub(crate) fn check_not_stopping(&self) -> Result<(), Failure> {
        if !self.stopping.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(Failure::new(Kind::Unavailable, "server.stopping", "the server is stopping everything").fix("start it again: paas server"))
    }

    /// Starts with what the store holds: what an earlier server left half done is
    /// settled, then every app gets its task.
    pub async fn start(services: Arc<Services>, settings: ControlSettings) -> Result<Arc<Self>, Failure> {
        let control = Arc::new(Self {
            services,
            settings,
            building: Arc::new(Semaphore::new(1)),
            apps: RwLock::default(),
            underway: Mutex::default(),
            sessions: Sessions::default(),
            stopping: AtomicBool::new(false),
        });
        control.settle_interrupted().await?;
        for app in control.services.store.apps().await? {
            let start = control.app_start(&app, true).await?;
            control.insert(AppHandle::start(&control.services, start));
            // An earlier server may have been killed while it made this one.
            if app.current.is_none()
                && let Err(failure) = control.make_places(app.number).await
            {
                tracing::error!(app = %app.name, %failure, "an app cannot be made whole");
            }
        }
        control.settle_pushes().await?;
        control.publish_keys().await?;
        let event = control.event_of("paas", EventCode::ServerStarted, format!("the server {} started", control.settings.version));
        control.services.store.record_event(None, event).await?;
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
            Ok(env) => env,
            // One database must not keep every other app of the box down. What has a
            // release has its password too; a deploy asks again.
            Err(failure) if adopting => {
                tracing::error!(app = %app.name, %failure, causes = ?failure.causes, "the database of an app is not there");
                ConfigVars::default()
            }
            Err(failure) => return Err(failure),
        };
        Ok(AppStart {
            identity: self.identity(&app.name, app.number, app.port)?,
            current,
            formation: store.formation(app.number).await?,
            stopped: app.stopped,
            addon_env,
            overlap: [ProcessType::web()].into(),
            adopting,
        })
    }

    /// Starts the task of an app that was just made.
    pub(crate) async fn start_app(&self, app: &App) -> Result<AppHandle, Failure> {
        let start = self.app_start(app, false).await?;
        let handle = AppHandle::start(&self.services, start);
        self.insert(handle.clone());
        Ok(handle)
    }

    pub(crate) fn identity(&self, name: &AppName, number: AppNumber, port: u16) -> Result<AppIdentity, Failure> {
        let host = format!("{name}.{}", self.settings.domain).parse()?;
        Ok(AppIdentity { name: name.clone(), number, port, hosts: vec![host] })
    }

    /// `DATABASE_URL`, looked up at each start and each switch, never in a release.
    pub(crate) async fn addon_env(&self, app: &App) -> Result<ConfigVars, Failure> {
        let password = self.services.store.addon_value(app.number, "database", "password").await?;
        let database = self.services.databases.ensure(app.number, app.database.as_str(), password).await?;
        let mut env = ConfigVars::default();
        if let (Some(url), Ok(key)) = (database.url, "DATABASE_URL".parse::<EnvKey>()) {
            env.set(key, url)?;
        }
        if let Some(password) = database.password {
            self.services.store.set_addon_value(app.number, "database", "password", password).await?;
        }
        Ok(env)
    }

    /// The app of that name, if this actor may do that much with it.
    pub fn app_for(&self, actor: &Actor, name: &str, role: Role, operation: &str) -> Result<AppHandle, Failure> {
        // A name that no app can have is no app, whatever is wrong with it.
        let Ok(parsed) = name.parse::<AppName>() else {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
            return Err(Failure::no_such_app(&shown));
        };
        actor.may(&parsed, role, operation)?;
        self.find(&parsed).ok_or_else(|| Failure::no_such_app(parsed.as_str()))
    }

    /// The app of that name.
    pub fn find(&self, name: &AppName) -> Option<AppHandle> {
        self.apps.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Every app that this actor may see, in the order of their names.
    pub fn visible(&self, actor: &Actor) -> Vec<AppHandle> {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        apps.values().filter(|app| actor.role_on(&app.identity.name).is_some()).cloned().collect()
    }

    pub(crate) fn insert(&self, app: AppHandle) {
        self.apps.write().unwrap_or_else(PoisonError::into_inner).insert(app.identity.name.clone(), app);
    }

    pub(crate) fn forget(&self, name: &AppName) {
        self.apps.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// URLs of an app: by name, and by its lasting port.
    pub fn urls(&self, identity: &AppIdentity) -> (String, String) {
        let port = self.settings.http.port();
        let suffix = if port == 80 { String::new() } else { format!(":{port}") };
        let host = identity.hosts.first().map_or("", Hostname::as_str);
        (format!("http://{host}{suffix}/"), format!("http://{}:{}/", self.settings.public_address, identity.port))
    }

    /// The branches that deploy.
    pub async fn deploy_branches(&self, app: &AppHandle) -> Result<BTreeSet<String>, Failure> {
        Ok(self.services.store.app(app.identity.number).await?.deploy_branches.into_iter().collect())
    }

    /// The folder of the repository that is the app, if not its top.
    pub async fn root_of(&self, app: &AppHandle) -> Result<Option<String>, Failure> {
        Ok(self.services.store.app(app.identity.number).await?.root)
    }
}
