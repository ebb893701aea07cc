//! The cluster: made once, started, made ready for apps.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{AppNumber, Secret};
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::session::{HOME, visit};
use super::{Binaries, ClusterHost, Tenant, files};
use crate::limits::{MAJOR_VERSION_MIN, READY_PAUSE, READY_PAUSE_MAX, SHOWN_OUTPUT_BYTES_MAX};

/// Owns every app's database; nobody can log in as it.
pub(super) const ADMIN: &str = "paas_admin";
/// Owns the schema `public` of every app's database; every app's role is a member, and can
/// use that in its own database only.
pub(super) const TENANTS: &str = "paas_tenants";
/// What an app's database is copied from.
pub(super) const TEMPLATE: &str = "paas_tenant";

/// How the superuser proves itself on the Unix socket.
#[derive(Debug, Clone)]
pub enum Superuser {
    /// By the user of the connecting process, which the cluster's own passwd file must
    /// name: for a machine where apps are other users.
    Peer {
        /// The name in that passwd file.
        system_user: String,
    },
    /// By a password: where apps run as the same user, and the kernel would vouch for them.
    Password(Secret),
}

/// Where things are for the cluster's processes and for the caller.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Folder of the cluster as its processes see it; theirs alone. `cluster` is made in it.
    pub data: String,
    /// Folder of the Unix socket as they see it; it exists.
    pub socket: String,
    /// The same folder as the caller sees it; the caller may enter it.
    pub socket_on_host: PathBuf,
}

/// What must be known of a cluster to run it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its folders.
    pub layout: Layout,
    /// Its TCP port on 127.0.0.1.
    pub port: u16,
    /// The machine's memory in bytes.
    pub memory_bytes: u64,
    /// How the superuser comes in. The method can change at any start; the password is set
    /// when the cluster is made.
    pub superuser: Superuser,
}

/// Why the cluster cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No usable PostgreSQL server on this machine.
    #[error("PostgreSQL {MAJOR_VERSION_MIN} or newer is not installed")]
    NotInstalled,
    /// The cluster was made by a version that is not installed any more.
    #[error("the database cluster needs PostgreSQL {cluster}, which is not installed")]
    VersionMissing {
        /// The cluster's major version.
        cluster: String,
    },
    /// The host could not run a command.
    #[error("{step} could not be run: {reason}")]
    Host {
        /// What was tried.
        step: &'static str,
        /// The host's word for it.
        reason: String,
    },
    /// A command failed.
    #[error("{step} failed: {output}")]
    Command {
        /// What was tried.
        step: &'static str,
        /// The end of what it said.
        output: String,
    },
    /// No connection.
    #[error("no connection to PostgreSQL")]
    Connect(#[source] tokio_postgres::Error),
    /// The cluster did not answer in time.
    #[error("PostgreSQL did not answer in time")]
    Slow,
    /// A statement failed.
    #[error("PostgreSQL refused a statement")]
    Sql(#[source] tokio_postgres::Error),
    /// The machine gave no random bytes.
    #[error("no random bytes for a password")]
    Random(#[source] std::io::Error),
}

/// The cluster of this machine; cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    host: Arc<dyn ClusterHost>,
    binaries: Arc<[Binaries]>,
    pub(super) settings: Arc<Settings>,
    /// Tenants that this run of the server is known to have whole.
    ensured: Arc<Mutex<BTreeMap<AppNumber, Tenant>>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Cluster {
    /// A cluster with these binaries (see [`crate::find_binaries`], newest first). Nothing
    /// is made or started yet.
    pub fn new(host: Arc<dyn ClusterHost>, binaries: Vec<Binaries>, settings: Settings) -> Self {
        Self { host, binaries: binaries.into(), settings: Arc::new(settings), ensured: Arc::default() }
    }

    /// Makes the cluster if there is none; returns the command that becomes its server and
    /// can be started again and again, one at a time: a start removes what a killed one left.
    /// SIGINT stops it; SIGTERM would wait for the clients.
    pub async fn prepare(&self) -> Result<Vec<String>, ClusterError> {
        let version = self.command("reading the cluster's version", files::cluster_version(&self.settings.layout), None);
        let version = String::from_utf8_lossy(&version.await?).trim().to_owned();
        if version.is_empty() {
            let binaries = self.binaries.first().ok_or(ClusterError::NotInstalled)?;
            let argv = files::initdb(&self.settings.layout, &self.settings.superuser, binaries);
            let password = match &self.settings.superuser {
                Superuser::Peer { .. } => Vec::new(),
                Superuser::Password(password) => password.reveal().as_bytes().to_vec(),
            };
            self.command("initdb", argv, Some(password)).await?;
            return Ok(files::start(&self.settings, binaries));
        }
        let fitting = self.binaries.iter().find(|binaries| version == binaries.major.to_string());
        let binaries = fitting.ok_or(ClusterError::VersionMissing { cluster: version })?;
        Ok(files::start(&self.settings, binaries))
    }

    /// Waits until a started or adopted cluster answers, and prepares it for apps.
    pub async fn attach(&self, within: Duration) -> Result<(), ClusterError> {
        self.ensured().clear();
        let deadline = Instant::now() + within;
        let mut pause = READY_PAUSE;
        loop {
            match visit(&self.settings, HOME, async |client| prepare_home(client).await).await {
                Ok(()) => break,
                Err(error) if is_starting(&error) && Instant::now() + pause < deadline => {}
                Err(error) => return Err(error),
            }
            sleep(pause).await;
            pause = (pause * 2).min(READY_PAUSE_MAX);
        }
        let template = visit(&self.settings, HOME, async |client| begin_template(client).await).await?;
        if template == Template::Begun {
            visit(&self.settings, TEMPLATE, async |client| fill_template(client).await).await?;
            visit(&self.settings, HOME, async |client| close_template(client).await).await?;
        }
        Ok(())
    }

    pub(super) fn ensured(&self) -> MutexGuard<'_, BTreeMap<AppNumber, Tenant>> {
        self.ensured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn command(&self, step: &'static str, argv: Vec<String>, stdin: Option<Vec<u8>>) -> Result<Vec<u8>, ClusterError> {
        let ended = self.host.run_to_end(argv, stdin).await;
        let output = ended.map_err(|reason| ClusterError::Host { step, reason })?;
        if output.code == 0 {
            return Ok(output.stdout);
        }
        let said = if output.stderr.is_empty() { output.stdout } else { output.stderr };
        let shown = &said[said.len().saturating_sub(SHOWN_OUTPUT_BYTES_MAX)..];
        Err(ClusterError::Command { step, output: String::from_utf8_lossy(shown).trim().to_owned() })
    }
}

/// Whether a failed visit means that the server is not yet there; a refused password or
/// user will not become better.
fn is_starting(error: &ClusterError) -> bool {
    match error {
        ClusterError::Connect(error) => match error.code() {
            Some(code) => [SqlState::CANNOT_CONNECT_NOW, SqlState::TOO_MANY_CONNECTIONS].contains(code),
            None => true,
        },
        ClusterError::Slow => true,
        _ => false,
    }
}

async fn prepare_home(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(&format!(
            "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
             REVOKE ALL ON SCHEMA public FROM PUBLIC;
             DO $$ BEGIN
               IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ADMIN}') THEN CREATE ROLE {ADMIN} NOLOGIN; END IF;
               IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{TENANTS}') THEN CREATE ROLE {TENANTS} NOLOGIN; END IF;
             END $$;"
        ))
        .await
}

#[derive(Debug, PartialEq, Eq)]
enum Template {
    Ready,
    Begun,
}

/// The template is whole once it accepts no connection any more; one that was left half
/// done is made anew.
async fn begin_template(client: &Client) -> Result<Template, tokio_postgres::Error> {
    let found = client.query_opt("SELECT datallowconn FROM pg_database WHERE datname = $1", &[&TEMPLATE]).await?;
    match found {
        Some(row) if !row.get::<_, bool>(0) => return Ok(Template::Ready),
        Some(_) => client.batch_execute(&format!("DROP DATABASE {TEMPLATE} WITH (FORCE)")).await?,
        None => {}
    }
    client.batch_execute(&format!("CREATE DATABASE {TEMPLATE} TEMPLATE template0 OWNER {ADMIN}")).await?;
    client.batch_execute(&format!("REVOKE ALL ON DATABASE {TEMPLATE} FROM PUBLIC")).await?;
    Ok(Template::Begun)
}

async fn fill_template(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(&format!(
            "ALTER SCHEMA public OWNER TO {TENANTS};
             REVOKE ALL ON SCHEMA public FROM PUBLIC;"
        ))
        .await
}

async fn close_template(client: &Client) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(&format!("ALTER DATABASE {TEMPLATE} WITH ALLOW_CONNECTIONS false")).await
}
