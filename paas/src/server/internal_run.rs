//! Runs of paas's own parts in sandboxes: what their spec and their stdio look like.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use api::{Failure, Kind};
use control::seams::{BoxFuture, Session};
use model::ExitStatus;
use runner::runs::{LiveRun, RunEnd, StartError};
use rustix::fs::{MemfdFlags, SealFlags};

/// Where programs are looked for in a sandbox.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Open files of a run of ours.
const OPEN_FILES: u64 = 10_000;
/// What is killed is gone within this, or is killed again.
const KILL_MAX: Duration = Duration::from_secs(10);
/// What is alive after so many kills is stuck in the kernel.
const KILLS_MAX: u32 = 3;

/// A spec for words of paas itself or of git, with a small environment of its own.
pub fn spec(words: &[&str], working_directory: &str, environment: &[(&str, &str)]) -> shim::Spec {
    let base = [("PATH", PATH), ("LANG", "C.UTF-8"), ("HOME", working_directory)];
    let env = base.iter().chain(environment).map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()));
    shim::Spec {
        argv: words.iter().map(|word| word.as_bytes().to_vec()).collect(),
        env: env.collect(),
        working_directory: working_directory.as_bytes().to_vec(),
        stop_signal: 15,
        open_files: OPEN_FILES,
        hostname: b"paas".to_vec(),
        log_subject: Vec::new(),
        kept: Vec::new(),
    }
}

/// `/dev/null`, to be read or written.
pub fn null() -> io::Result<OwnedFd> {
    Ok(std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?.into())
}

/// A sealed file in memory that holds `bytes`, at its start.
pub fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let memory = rustix::fs::memfd_create("spec", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = std::fs::File::from(memory);
    file.write_all(bytes)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file.into())
}

/// What could not be started, for people.
pub fn not_started(what: &str, error: &StartError) -> Failure {
    match error {
        StartError::LaunchGone => Failure::new(Kind::Unavailable, "launch.gone", format!("{what} could not be started"))
            .why("the part of paas that starts processes is being started again")
            .fix("try again in a moment"),
        StartError::Failed { .. } => Failure::new(Kind::Host, "run.not_started", format!("{what} could not be started")).caused_by(error),
    }
}

/// An I/O error on the way to a run.
pub fn plumbing(error: &io::Error) -> Failure {
    Failure::new(Kind::Host, "run.plumbing", "no pipe or file for a process could be made").caused_by(error)
}

/// Stops a run, and kills it after `grace`. `None`: it cannot be killed.
pub async fn end_within(run: &LiveRun, grace: Duration) -> Option<RunEnd> {
    if run.stop(grace).await.is_ok()
        && let Ok(end) = tokio::time::timeout(grace + KILL_MAX, run.gone()).await
    {
        return Some(end);
    }
    kill_to_end(run).await
}

/// Kills everything of a run. `None`: it cannot be killed.
pub async fn kill_to_end(run: &LiveRun) -> Option<RunEnd> {
    for _ in 0..KILLS_MAX {
        if let Err(error) = run.kill().await {
            tracing::warn!(%error, shim = run.shim_pid(), "a run could not be killed");
        }
        if let Ok(end) = tokio::time::timeout(KILL_MAX, run.gone()).await {
            return Some(end);
        }
    }
    tracing::error!(shim = run.shim_pid(), "a run cannot be killed: it is stuck in the kernel");
    None
}

/// A live run as control sees it.
pub struct RunSession(pub LiveRun);

impl Session for RunSession {
    fn wait(&self) -> BoxFuture<'_, ExitStatus> {
        Box::pin(async move { self.0.gone().await.status })
    }

    fn signal(&self, signal: i32) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // A run that is gone needs no signal.
            let _ = self.0.signal(signal).await;
        })
    }

    fn kill(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            kill_to_end(&self.0).await;
        })
    }
}
