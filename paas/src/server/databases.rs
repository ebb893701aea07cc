//! Databases of apps: the managed cluster as a run of its own, or a SQLite file where the
//! box has no PostgreSQL.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use addons::{Binaries, Cluster, ClusterError, ClusterHost, CommandOutput, Layout, Settings, Superuser};
use api::{Failure, Kind};
use control::seams::{BoxFuture, Database, Databases};
use model::{AppNumber, Secret};
use runner::runs::{Adopted, LiveRun, Output, RunRequest, Runs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::OnceCell;

use super::internal_run::spec;

/// Output of a command of the cluster that is read.
const COMMAND_OUTPUT_BYTES_MAX: u64 = 1024 * 1024;
/// How long the cluster may take to stop before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(20);
/// Pauses between starts of a cluster that keeps ending.
const RESTART_PAUSES: [Duration; 4] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
/// A cluster that lived this long starts its pauses anew.
const HEALTHY_AFTER: Duration = Duration::from_mins(1);
/// SIGINT: PostgreSQL ends its clients and stops; SIGTERM would wait for them.
const STOP_SIGNAL: i32 = 2;
/// The file that SQLite apps get, in `DATA_DIR`.
const SQLITE_URL: &str = "sqlite:////data/app.db";

/// Runs the cluster's processes.
struct ClusterRuns {
    runs: Runs,
    born_unix_ms: i64,
    next: AtomicU64,
    stopping: AtomicBool,
    live: Mutex<Option<LiveRun>>,
}

impl ClusterRuns {
    fn folder(&self, kind: &str) -> String {
        format!("{kind}-{}-{}", self.born_unix_ms, self.next.fetch_add(1, Ordering::Relaxed))
    }

    async fn command(&self, argv: Vec<String>, stdin: Option<Vec<u8>>) -> io::Result<CommandOutput> {
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        let (input, input_end) = io::pipe()?;
        let (output, output_end) = io::pipe()?;
        let (error, error_end) = io::pipe()?;
        let folder = self.folder("pgcommand");
        let mut spec = spec(&words, "/data", &[]);
        spec.stop_signal = STOP_SIGNAL;
        let order = RunRequest {
            profile: launch::Profile::Postgres,
            app: AppNumber::PLATFORM,
            folder: folder.clone(),
            subject: None,
            output: Output::Inherit { stdin: input.into(), stdout: output_end.into(), stderr: error_end.into(), terminal: false },
            descriptors: Vec::new(),
            spec,
        };
        let run = self.runs.start(order).await.map_err(io::Error::other)?;
        let feed = async {
            let mut sender = pipe::Sender::from_owned_fd(OwnedFd::from(input_end))?;
            // A command that does not read its input is fine.
            let _ = sender.write_all(&stdin.unwrap_or_default()).await;
            Ok::<_, io::Error>(())
        };
        let (fed, stdout, stderr) = tokio::join!(feed, read_all(output), read_all(error));
        fed?;
        let end = run.gone().await;
        self.runs.forget(AppNumber::PLATFORM, &folder)?;
        Ok(CommandOutput { code: i32::from(end.status.shell_code()), stdout: stdout?, stderr: stderr? })
    }

    async fn start_server(&self, argv: &[String]) -> Result<(LiveRun, String), String> {
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        let folder = self.folder("postgres");
        let mut spec = spec(&words, "/data", &[]);
        spec.stop_signal = STOP_SIGNAL;
        let order = RunRequest {
            profile: launch::Profile::Postgres,
            app: AppNumber::PLATFORM,
            folder: folder.clone(),
            subject: None,
            output: Output::Log("postgres".to_owned()),
            descriptors: Vec::new(),
            spec,
        };
        let run = self.runs.start(order).await.map_err(|error| error.to_string())?;
        self.hold(&run);
        Ok((run, folder))
    }

    fn hold(&self, run: &LiveRun) {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = Some(run.clone());
    }

    /// Starts the cluster again whenever it ends, until it is told to stop.
    async fn keep(self: Arc<Self>, argv: Vec<String>, mut run: LiveRun, mut folder: String) {
        let mut attempt = 0;
        loop {
            let began = tokio::time::Instant::now();
            let end = run.gone().await;
            if let Err(error) = self.runs.forget(AppNumber::PLATFORM, &folder) {
                tracing::warn!(%error, folder, "the run folder of PostgreSQL stays");
            }
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            tracing::warn!(status = %end.status, "PostgreSQL ended and is started again");
            if began.elapsed() >= HEALTHY_AFTER {
                attempt = 0;
            }
            loop {
                tokio::time::sleep(RESTART_PAUSES[attempt.min(RESTART_PAUSES.len() - 1)]).await;
                attempt += 1;
                if self.stopping.load(Ordering::SeqCst) {
                    return;
                }
                match self.start_server(&argv).await {
                    Ok(started) => {
                        (run, folder) = started;
                        break;
                    }
                    Err(error) => tracing::error!(error, "PostgreSQL cannot be started"),
                }
            }
        }
    }

    /// The cluster that an earlier server left running.
    async fn adopt(&self) -> Option<(LiveRun, String)> {
        for folder in self.runs.folders(AppNumber::PLATFORM).ok()? {
            if !folder.starts_with("postgres-") && !folder.starts_with("pgcommand-") {
                continue;
            }
            match self.runs.adopt(AppNumber::PLATFORM, &folder).await {
                Ok(Adopted::Live(run)) if folder.starts_with("postgres-") => return Some((run, folder)),
                Ok(Adopted::Live(run)) => {
                    let _ = run.kill().await;
                }
                Ok(_) => {
                    let _ = self.runs.forget(AppNumber::PLATFORM, &folder);
                }
                Err(error) => tracing::warn!(%error, folder, "a run folder of PostgreSQL cannot be read"),
            }
        }
        None
    }
}

async fn read_all(reader: io::PipeReader) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe::Receiver::from_owned_fd(reader.into())?.take(COMMAND_OUTPUT_BYTES_MAX).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// The seam to `addons`.
struct HostOfCluster(Arc<ClusterRuns>);

impl ClusterHost for HostOfCluster {
    fn run_to_end(&self, argv: Vec<String>, stdin: Option<Vec<u8>>) -> BoxFuture<'_, Result<CommandOutput, String>> {
        Box::pin(async move { self.0.command(argv, stdin).await.map_err(|error| error.to_string()) })
    }

    fn start_postgres(&self, argv: Vec<String>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let (run, folder) = match self.0.adopt().await {
                Some(adopted) => adopted,
                None => self.0.start_server(&argv).await?,
            };
            self.0.hold(&run);
            tokio::spawn(self.0.clone().keep(argv, run, folder));
            Ok(())
        })
    }
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
    runs: Arc<ClusterRuns>,
    binaries: Vec<Binaries>,
    cluster: Cluster,
    port: u16,
    started: OnceCell<()>,
}

impl LocalDatabases {
    /// Looks for PostgreSQL; starts nothing yet.
    pub fn new(runs: Runs, settings: DatabaseSettings) -> Self {
        let runs = Arc::new(ClusterRuns {
            runs,
            born_unix_ms: settings.born_unix_ms,
            next: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            live: Mutex::new(None),
        });
        let binaries = addons::find_binaries();
        let layout = Layout {
            data: "/data".to_owned(),
            socket: "/run/postgresql".to_owned(),
            socket_on_host: settings.root.join("postgres").join("socket"),
        };
        let wanted = Settings { layout, port: settings.port, memory_bytes: settings.memory_bytes, superuser: settings.superuser };
        let cluster = Cluster::new(Arc::new(HostOfCluster(runs.clone())), binaries.clone(), wanted);
        Self { runs, binaries, cluster, port: settings.port, started: OnceCell::new() }
    }

    /// Starts the cluster once; a failed start is tried again at the next call.
    async fn up(&self) -> Result<(), ClusterError> {
        self.started.get_or_try_init(|| self.cluster.start()).await.copied()
    }

    async fn ensure_postgres(&self, number: AppNumber, password: Option<Secret>) -> Result<Database, Failure> {
        let ensured = async {
            self.up().await?;
            self.cluster.ensure_tenant(number, password.as_ref()).await
        };
        match (ensured.await, password) {
            (Ok(tenant), _) => Ok(Database { kind: "postgresql", url: Some(tenant.url), password: Some(tenant.password), note: None }),
            // What serves must not stop because the cluster is down: it comes back by itself.
            (Err(error), Some(password)) => {
                tracing::error!(%error, app = number.0, "the database cannot be checked, its known address is used");
                let url = format!("postgresql://r{number}:{}@127.0.0.1:{}/d{number}", password.reveal(), self.port);
                Ok(Database { kind: "postgresql", url: Some(Secret::new(url)), password: Some(password), note: None })
            }
            (Err(error), None) => Err(unavailable(&error)),
        }
    }
}

fn unavailable(error: &ClusterError) -> Failure {
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
            if self.binaries.is_empty() || !self.started.initialized() {
                return Ok(());
            }
            self.cluster.drop_tenant(number).await.map_err(|error| unavailable(&error))
        })
    }

    fn info(&self, number: AppNumber) -> BoxFuture<'_, Result<api::pg::InfoReply, Failure>> {
        Box::pin(async move {
            self.up().await.map_err(|error| unavailable(&error))?;
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
        match (self.binaries.first(), self.started.initialized()) {
            (None, _) => "none on this box".to_owned(),
            (Some(binaries), true) => format!("PostgreSQL {} up", binaries.major),
            (Some(binaries), false) => format!("PostgreSQL {}, not started yet", binaries.major),
        }
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.runs.stopping.store(true, Ordering::SeqCst);
            let live = self.runs.live.lock().unwrap_or_else(PoisonError::into_inner).take();
            let live = match live {
                Some(live) => Some(live),
                None => self.runs.adopt().await.map(|(run, _)| run),
            };
            if let Some(live) = live
                && live.stop(STOP_GRACE).await.is_ok()
            {
                live.gone().await;
            }
        })
    }
}
