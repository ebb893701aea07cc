//! Databases of apps: the managed cluster as a run of its own, or a SQLite file where the
//! box has no PostgreSQL.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use addons::limits::READY_TIMEOUT;
use addons::{Binaries, Cluster, ClusterError, Layout, Settings, Superuser};
use api::{Failure, Kind};
use control::seams::{BoxFuture, Database, Databases};
use model::{AppNumber, Secret};
use runner::runs::{LiveRun, Runs};
use tokio::sync::watch;
use tokio::time::Instant;

use super::keeper::{Keeper, State};
use super::postgres_run::{Commands, PostgresRun};
use super::{end_server, spawn_critical};

/// A cluster that is being made or started for the first time is waited for this long.
const FIRST_START_MAX: Duration = Duration::from_mins(2);
/// One that has just gone down is waited for this long; one that is down longer is not.
const DOWN_PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries to reach a cluster that runs and does not answer.
const ATTACH_PAUSE: Duration = Duration::from_secs(5);
/// The file that SQLite apps get, in `DATA_DIR`.
const SQLITE_URL: &str = "sqlite:////data/app.db";

/// Whether the cluster can be worked with.
#[derive(Debug, Clone)]
enum Readiness {
    /// It was never reached yet.
    Starting,
    /// It answers.
    Up,
    /// It does not, and is tried again all the time.
    Down {
        /// Since when.
        since: Instant,
        /// Why.
        failure: Failure,
    },
}

/// Follows the cluster's runs: each is waited for and prepared for apps.
async fn attend(cluster: Cluster, keeper: Arc<Keeper>, readiness: watch::Sender<Readiness>) {
    let mut states = keeper.state();
    loop {
        let state = states.borrow_and_update().clone();
        match state {
            State::Starting => {}
            State::Up(run) => attach(&cluster, &run, &readiness).await,
            State::Down(failure) => go_down(&readiness, failure),
            State::Stopped => {
                return go_down(&readiness, Failure::new(Kind::Unavailable, "database.stopped", "the database cluster was stopped"));
            }
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

/// Returns once it answers, or has ended.
async fn attach(cluster: &Cluster, run: &LiveRun, readiness: &watch::Sender<Readiness>) {
    loop {
        let attached = tokio::select! {
            attached = cluster.attach(READY_TIMEOUT) => attached,
            _ = run.gone() => return,
        };
        match attached {
            Ok(()) => {
                readiness.send_replace(Readiness::Up);
                return;
            }
            Err(error) => {
                let failure = unavailable(&error);
                tracing::error!(causes = ?failure.causes, "PostgreSQL runs and cannot be used");
                go_down(readiness, failure);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(ATTACH_PAUSE) => {}
            _ = run.gone() => return,
        }
    }
}

fn go_down(readiness: &watch::Sender<Readiness>, failure: Failure) {
    readiness.send_modify(|now| {
        let since = match now {
            Readiness::Down { since, .. } => *since,
            Readiness::Starting | Readiness::Up => Instant::now(),
        };
        *now = Readiness::Down { since, failure };
    });
}

/// What a cluster needs to know.
#[derive(Debug)]
pub struct DatabaseSettings {
    /// The root folder.
    pub root: PathBuf,
    /// The cluster's port.
    pub port: u16,
    /// The superuser's password on the Unix socket.
    pub superuser: Superuser,
    /// The machine's memory.
    pub memory_bytes: u64,
    /// When this server was born, in milliseconds since 1970 UTC.
    pub born_unix_ms: i64,
}

/// Databases on this machine.
pub struct LocalDatabases {
    root: PathBuf,
    binaries: Vec<Binaries>,
    cluster: Cluster,
    port: u16,
    keeper: Arc<Keeper>,
    readiness: watch::Sender<Readiness>,
    is_attended: AtomicBool,
}

impl LocalDatabases {
    /// Looks for PostgreSQL. A cluster that was made before is adopted or started at once,
    /// whether or not somebody asks for it.
    pub fn start(runs: &Runs, settings: DatabaseSettings) -> Self {
        let binaries = addons::find_binaries();
        let layout = Layout {
            data: "/data".to_owned(),
            socket: "/run/postgresql".to_owned(),
            socket_on_host: settings.root.join("postgres").join("socket"),
        };
        let commands = Commands::new(runs.clone(), settings.born_unix_ms);
        let wanted = Settings { layout, port: settings.port, memory_bytes: settings.memory_bytes, superuser: settings.superuser };
        let cluster = Cluster::new(Arc::new(commands), binaries.clone(), wanted);
        let run = PostgresRun { cluster: cluster.clone(), port: settings.port };
        let keeper = Keeper::new(Box::new(run), runs.clone(), settings.root.clone(), settings.born_unix_ms);
        let (readiness, is_attended) = (watch::Sender::new(Readiness::Starting), AtomicBool::new(false));
        let databases = Self { root: settings.root, binaries, cluster, port: settings.port, keeper, readiness, is_attended };
        if databases.is_made() {
            databases.begin();
        }
        databases
    }

    /// Whether there is a cluster on the disk.
    fn is_made(&self) -> bool {
        self.root.join("postgres").join("cluster").symlink_metadata().is_ok()
    }

    fn begin(&self) {
        if !self.is_attended.swap(true, Ordering::SeqCst) {
            self.keeper.begin();
            let attended = attend(self.cluster.clone(), self.keeper.clone(), self.readiness.clone());
            spawn_critical("databases", attended, end_server);
        }
    }

    /// Waits for the cluster: long for its first start, a moment for one that comes back,
    /// not at all for one that stays away.
    async fn up(&self) -> Result<(), Failure> {
        self.begin();
        let mut readiness = self.readiness.subscribe();
        let deadline = Instant::now() + FIRST_START_MAX;
        loop {
            let (until, failure) = match &*readiness.borrow_and_update() {
                Readiness::Up => return Ok(()),
                Readiness::Starting => (deadline, unavailable(&ClusterError::Slow)),
                Readiness::Down { since, failure } => ((*since + DOWN_PATIENCE).min(deadline), failure.clone()),
            };
            if !matches!(tokio::time::timeout_at(until, readiness.changed()).await, Ok(Ok(()))) {
                return Err(failure);
            }
        }
    }

    async fn ensure_postgres(&self, number: AppNumber, password: Option<Secret>) -> Result<Database, Failure> {
        let ensured = async {
            self.up().await?;
            self.cluster.ensure_tenant(number, password.as_ref()).await.map_err(|error| unavailable(&error))
        };
        match (ensured.await, password) {
            (Ok(tenant), _) => Ok(Database { kind: "postgresql", url: Some(tenant.url), password: Some(tenant.password), note: None }),
            // What serves must not stop because the cluster is down: it comes back by itself.
            (Err(failure), Some(password)) => {
                tracing::error!(%failure, causes = ?failure.causes, app = number.0, "the database cannot be checked, its known address is used");
                let url = format!("postgresql://r{number}:{}@127.0.0.1:{}/d{number}", password.reveal(), self.port);
                Ok(Database { kind: "postgresql", url: Some(Secret::new(url)), password: Some(password), note: None })
            }
            (Err(failure), None) => Err(failure),
        }
    }
}

/// An error of the cluster, for people.
pub fn unavailable(error: &ClusterError) -> Failure {
    Failure::new(Kind::Host, "database.unavailable", "the database cluster cannot be used")
        .fix("see the lines of PostgreSQL in the server's log; the disk may be full")
        .caused_by(error)
}

impl Databases for LocalDatabases {
    fn kind(&self) -> &'static str {
        if self.binaries.is_empty() { "sqlite" } else { "postgresql" }
    }

    fn ensure(&self, number: AppNumber, kind: &str, password: Option<Secret>) -> BoxFuture<'_, Result<Database, Failure>> {
        let kind = kind.to_owned();
        Box::pin(async move {
            match kind.as_str() {
                "postgresql" => self.ensure_postgres(number, password).await,
                "sqlite" => Ok(Database { kind: "sqlite", url: Some(Secret::new(SQLITE_URL)), password: None, note: None }),
                _ => Ok(Database { kind: "none", url: None, password: None, note: None }),
            }
        })
    }

    fn remove(&self, number: AppNumber) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            if !self.is_made() {
                return Ok(());
            }
            self.up().await?;
            self.cluster.drop_tenant(number).await.map_err(|error| unavailable(&error))
        })
    }

    fn info(&self, number: AppNumber) -> BoxFuture<'_, Result<api::pg::InfoReply, Failure>> {
        Box::pin(async move {
            self.up().await?;
            let info = self.cluster.info(number).await.map_err(|error| unavailable(&error))?;
            Ok(api::pg::InfoReply {
                kind: "postgresql".to_owned(),
                version: info.as_ref().map(|i| format!("PostgreSQL {}", i.version)),
                database: info.as_ref().map(|i| i.database.as_str().to_owned()),
                bytes: info.as_ref().map(|i| i.bytes),
                connections: info.map(|i| (i.connections, i.connections_max)),
            })
        })
    }

    fn psql(&self) -> Result<String, Failure> {
        self.binaries.first().map(|binaries| binaries.program("psql")).ok_or_else(|| {
            Failure::new(Kind::Host, "database.no_postgresql", "this box has no PostgreSQL").fix("sudo apt install postgresql")
        })
    }

    fn summary(&self) -> String {
        let Some(binaries) = self.binaries.first() else {
            let gone = if self.is_made() { "PostgreSQL was uninstalled, its cluster is still here" } else { "none on this box" };
            return gone.to_owned();
        };
        let state = match &*self.readiness.borrow() {
            Readiness::Up => "up".to_owned(),
            Readiness::Down { failure, .. } => {
                let why = failure.causes.first().map(|cause| format!(" ({cause})")).unwrap_or_default();
                format!("DOWN: {failure}{why}")
            }
            Readiness::Starting if self.keeper.has_begun() => "starting".to_owned(),
            Readiness::Starting => "not started yet".to_owned(),
        };
        format!("PostgreSQL {} {state}", binaries.major)
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.keeper.stop())
    }
}
