//! A real cluster in a folder of its own, run by a user without privileges.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use addons::limits::READY_TIMEOUT;
use addons::{BoxFuture, Cluster, ClusterError, ClusterHost, CommandOutput, Layout, Settings, Superuser, Tenant, find_binaries};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

/// Debian's `nobody`: initdb wants a user that the system knows.
const UNPRIVILEGED: u32 = 65_534;

/// Runs commands directly, as `nobody` when the tests run as root.
#[derive(Default)]
pub(crate) struct DirectHost {
    server: Mutex<Option<Child>>,
}

impl DirectHost {
    fn command(argv: &[String]) -> Command {
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        as_unprivileged(&mut command);
        command
    }

    /// Starts the command that becomes the server.
    pub(crate) fn start(&self, argv: &[String]) {
        let child = Self::command(argv).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        *self.server.lock().expect("lock") = Some(child.expect("started"));
    }

    /// Ends the server with a signal and waits for its death.
    pub(crate) fn end(&self, signal: Signal) {
        if let Some(mut server) = self.server.lock().expect("lock").take() {
            let pid = Pid::from_raw(server.id().cast_signed());
            kill(pid, signal).expect("signalled");
            server.wait().expect("reaped");
        }
    }
}

impl Drop for DirectHost {
    fn drop(&mut self) {
        self.end(Signal::SIGINT);
    }
}

impl ClusterHost for DirectHost {
    fn run_to_end(&self, argv: Vec<String>, stdin: Option<Vec<u8>>) -> BoxFuture<'_, Result<CommandOutput, String>> {
        Box::pin(async move {
            let mut input = tempfile::tempfile().map_err(|error| error.to_string())?;
            std::io::Write::write_all(&mut input, &stdin.unwrap_or_default()).map_err(|error| error.to_string())?;
            std::io::Seek::rewind(&mut input).map_err(|error| error.to_string())?;
            let output = Self::command(&argv).stdin(input).output().map_err(|error| error.to_string())?;
            Ok(CommandOutput { code: output.status.code().unwrap_or(128), stdout: output.stdout, stderr: output.stderr })
        })
    }
}

pub(crate) fn as_unprivileged(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    if geteuid().is_root() {
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }
}

/// A cluster that is stopped and removed with its test.
pub(crate) struct TestCluster {
    pub(crate) cluster: Cluster,
    pub(crate) host: Arc<DirectHost>,
    pub(crate) settings: Settings,
    folder: TempDir,
}

impl TestCluster {
    pub(crate) fn new(superuser: Superuser) -> Self {
        let folder = tempfile::Builder::new().prefix("pg").tempdir().expect("folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).expect("mode");
        let [data, socket] = ["data", "socket"].map(|name| folder.path().join(name));
        for path in [&data, &socket] {
            fs::create_dir(path).expect("folder");
            if geteuid().is_root() {
                chown(path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).expect("owner");
            }
        }
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("mode");
        let port = TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address").port();
        let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
        let layout = Layout { data: text(&data), socket: text(&socket), socket_on_host: socket };
        let settings = Settings { layout, port, memory_bytes: 1 << 30, superuser };
        let host = Arc::new(DirectHost::default());
        Self { cluster: cluster(&host, &settings), host, settings, folder }
    }

    /// A started cluster whose superuser has a password.
    pub(crate) async fn started() -> Self {
        let superuser = Superuser::Password(addons::generate_password().expect("random"));
        let test = Self::new(superuser);
        test.start(&test.cluster).await.expect("started");
        test
    }

    /// Makes the cluster if there is none, starts it and prepares it for apps, as whoever
    /// has `cluster` would.
    pub(crate) async fn start(&self, cluster: &Cluster) -> Result<(), ClusterError> {
        self.host.start(&cluster.prepare().await?);
        cluster.attach(READY_TIMEOUT).await
    }

    /// The same cluster as another server would see it, with other settings.
    pub(crate) fn seen_with(&self, superuser: Superuser) -> Cluster {
        cluster(&self.host, &Settings { superuser, ..self.settings.clone() })
    }

    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// A client of a role, by TCP as an app would come.
    pub(crate) async fn connect(&self, database: &str, role: &str, password: &str) -> Result<Client, tokio_postgres::Error> {
        let port = self.settings.port;
        connect(&format!("postgresql://{role}:{password}@127.0.0.1:{port}/{database}")).await
    }
}

fn cluster(host: &Arc<DirectHost>, settings: &Settings) -> Cluster {
    let binaries = find_binaries();
    assert!(!binaries.is_empty(), "PostgreSQL is missing: install the Debian package postgresql");
    Cluster::new(Arc::clone(host) as Arc<dyn ClusterHost>, binaries, settings.clone())
}

/// A connected client; its connection ends with it.
pub(crate) struct Client {
    pub(crate) sql: tokio_postgres::Client,
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

pub(crate) async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (sql, connection) = tokio_postgres::connect(url, NoTls).await?;
    let connection = tokio::spawn(async {
        let _ = connection.await;
    });
    Ok(Client { sql, connection })
}

pub(crate) async fn open(tenant: &Tenant) -> Client {
    connect(tenant.url.reveal()).await.expect("the app's own database opens")
}

impl Client {
    pub(crate) async fn works(&self, statement: &str) {
        if let Err(error) = self.sql.batch_execute(statement).await {
            panic!("{statement}: {error:?}");
        }
    }

    /// The statement is refused for want of rights.
    pub(crate) async fn is_denied(&self, statement: &str) {
        let error = self.sql.batch_execute(statement).await.expect_err(statement);
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {error:?}");
    }
}
