//! PostgreSQL as runs of the platform: its server, and commands beside it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use addons::{Cluster, ClusterHost, CommandOutput};
use api::Failure;
use control::seams::BoxFuture;
use model::AppNumber;
use runner::runs::{LiveRun, Output, RunRequest, Runs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

use super::databases::unavailable;
use super::internal_run::{kill_to_end, spec};
use super::keeper::Platform;

/// Output of a command of the cluster that is read.
const COMMAND_OUTPUT_BYTES_MAX: u64 = 1024 * 1024;
/// A command of the cluster that takes longer is stuck; making a cluster takes seconds.
const COMMAND_MAX: Duration = Duration::from_mins(5);
/// How long the cluster may take to stop before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(20);
/// SIGINT: PostgreSQL ends its clients and stops; SIGTERM would wait for them.
const STOP_SIGNAL: i32 = 2;

fn order(folder: String, argv: &[String], output: Output) -> RunRequest {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let mut spec = spec(&words, "/data", &[]);
    spec.stop_signal = STOP_SIGNAL;
    let (profile, app) = (launch::Profile::Postgres, AppNumber::PLATFORM);
    RunRequest { profile, app, folder, subject: None, output, descriptors: Vec::new(), spec }
}

/// Runs the cluster's commands.
pub struct Commands {
    runs: Runs,
    born_unix_ms: i64,
    next: AtomicU64,
}

impl Commands {
    /// `born_unix_ms` tells this server's runs from those of earlier ones.
    pub fn new(runs: Runs, born_unix_ms: i64) -> Self {
        Self { runs, born_unix_ms, next: AtomicU64::new(0) }
    }

    async fn run(&self, argv: Vec<String>, stdin: Option<Vec<u8>>) -> io::Result<CommandOutput> {
        let (input, input_end) = io::pipe()?;
        let (output, output_end) = io::pipe()?;
        let (error, error_end) = io::pipe()?;
        let folder = format!("pgcommand-{}-{}", self.born_unix_ms, self.next.fetch_add(1, Ordering::Relaxed));
        let stdio = Output::Inherit { stdin: input.into(), stdout: output_end.into(), stderr: error_end.into(), terminal: false };
        let run = self.runs.start(order(folder.clone(), &argv, stdio)).await.map_err(io::Error::other)?;
        let talk = converse(&run, input_end, stdin.unwrap_or_default(), output, error);
        let talked = tokio::time::timeout(COMMAND_MAX, talk).await;
        if !matches!(talked, Ok(Ok(_))) && kill_to_end(&run).await.is_none() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "a command of the cluster cannot be killed"));
        }
        self.runs.forget(AppNumber::PLATFORM, &folder)?;
        talked.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "a command of the cluster took too long and was killed")))
    }
}

async fn converse(
    run: &LiveRun,
    input: io::PipeWriter,
    stdin: Vec<u8>,
    output: io::PipeReader,
    error: io::PipeReader,
) -> io::Result<CommandOutput> {
    let feed = async {
        let mut sender = pipe::Sender::from_owned_fd(OwnedFd::from(input))?;
        // A command that does not read its input is fine.
        let _ = sender.write_all(&stdin).await;
        Ok::<_, io::Error>(())
    };
    let (fed, stdout, stderr) = tokio::join!(feed, read_all(output), read_all(error));
    fed?;
    let end = run.gone().await;
    Ok(CommandOutput { code: i32::from(end.status.shell_code()), stdout: stdout?, stderr: stderr? })
}

async fn read_all(reader: io::PipeReader) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe::Receiver::from_owned_fd(reader.into())?.take(COMMAND_OUTPUT_BYTES_MAX).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

impl ClusterHost for Commands {
    fn run_to_end(&self, argv: Vec<String>, stdin: Option<Vec<u8>>) -> BoxFuture<'_, Result<CommandOutput, String>> {
        Box::pin(async move { self.run(argv, stdin).await.map_err(|error| error.to_string()) })
    }
}

/// The cluster's server, made ready anew for each start.
pub struct PostgresRun {
    /// The cluster.
    pub cluster: Cluster,
    /// Its port.
    pub port: u16,
}

impl Platform for PostgresRun {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn setting(&self) -> String {
        self.port.to_string()
    }

    fn grace(&self) -> Duration {
        STOP_GRACE
    }

    fn order(&self, folder: String) -> BoxFuture<'_, Result<RunRequest, Failure>> {
        Box::pin(async move {
            let argv = self.cluster.prepare().await.map_err(|error| unavailable(&error))?;
            Ok(order(folder, &argv, Output::Log("postgres".to_owned())))
        })
    }
}
