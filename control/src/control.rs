//! Control itself: the apps there are, and what concerns all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use api::{Failure, Role};
use model::{AppName, AppNumber, ConfigVars, EnvKey, Hostname};
use tokio::sync::Semaphore;

use crate::access::Actor;
use crate::app::{AppHandle, AppIdentity};
use crate::limits::SHOWN_WORD_CHARS_MAX;
use crate::services::Services;
use crate::sessions::Sessions;
use crate::store::App;
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
    pub(crate) working: Arc<tokio::sync::RwLock<()>>,
}

impl Control {
    pub(crate) fn new(services: Arc<Services>, settings: ControlSettings) -> Self {
        Self {
            services,
            settings,
            building: Arc::new(Semaphore::new(1)),
            apps: RwLock::default(),
            underway: Mutex::default(),
            sessions: Sessions::default(),
            stopping: AtomicBool::new(false),
            working: Arc::default(),
        }
    }

    pub(crate) fn identity(&self, name: &AppName, number: AppNumber, port: u16) -> Result<AppIdentity, Failure> {
        let host = format!("{name}.{}", self.settings.domain).parse()?;
        Ok(AppIdentity { name: name.clone(), number, port, hosts: vec![host] })
    }

    /// `DATABASE_URL`, looked up at each start and each switch, never in a release.
    pub(crate) async fn addon_env(&self, app: &App) -> Result<ConfigVars, Failure> {
        let password = self.services.store.addon_value(app.number, "database", "password").await?;
        let database = self.services.databases.ensure(app.number, app.database.as_str(), password.clone()).await?;
        let mut env = ConfigVars::default();
        if let (Some(url), Ok(key)) = (database.url, "DATABASE_URL".parse::<EnvKey>()) {
            env.set(key, url)?;
        }
        if let Some(new) = database.password.filter(|new| password.as_ref() != Some(new)) {
            self.services.store.set_addon_value(app.number, "database", "password", new).await?;
        }
        Ok(env)
    }

    /// The app of that name, if this actor may do that much with it.
    pub fn app_for(&self, actor: &Actor, name: &str, role: Role, operation: &str) -> Result<AppHandle, Failure> {
        // A name that no app can have is no app, whatever is wrong with it.
        let Ok(parsed) = name.parse::<AppName>() else {
            return Err(Failure::no_such_app(&model::text::clean(name, SHOWN_WORD_CHARS_MAX)));
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
