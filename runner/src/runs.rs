//! Runs: starting, adopting, stopping and outliving one execution of anything.
//!
//! ```text
//! start: folder + lock → launch → stage 0 → "spawned" (pidfd) → "ready" → LiveRun
//! gone:  the lock can be won and the shim's pidfd is readable
//! ```

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use model::{AppNumber, ExitStatus};

/// What to start.
#[derive(Debug)]
pub struct RunRequest {
    /// Which sandbox.
    pub profile: launch::Profile,
    /// Whose users and folders; [`AppNumber::PLATFORM`] for router and PostgreSQL.
    pub app: AppNumber,
    /// Name of the run's folder below `runs/N/`, never used before: `web.1-v7-42`.
    pub folder: String,
    /// What the profile works on (see ARCHITECTURE.md): a slug id, a build's name, `layers/RUN`.
    pub subject: Option<String>,
    /// Where its output goes.
    pub output: Output,
    /// Descriptors that the child finds from 3 on.
    pub descriptors: Vec<OwnedFd>,
    /// Command, environment and manners.
    pub spec: shim::Spec,
}

/// Where stdin, stdout and stderr of a run lead.
#[derive(Debug)]
pub enum Output {
    /// stdin is `/dev/null`; both outputs go to segments in `logs/N/NAME/`.
    Log(String),
    /// The caller's own descriptors. `terminal`: stdin becomes the controlling terminal.
    Inherit {
        /// stdin.
        stdin: OwnedFd,
        /// stdout.
        stdout: OwnedFd,
        /// stderr.
        stderr: OwnedFd,
        /// Whether stdin is a terminal.
        terminal: bool,
    },
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// How the child ended; `Unknown` if the shim was lost.
    pub status: ExitStatus,
    /// The shim was killed before it could write an exit record.
    pub shim_lost: bool,
    /// It was killed because the grace period of a stop ran out.
    pub stop_timed_out: bool,
    /// The machine was started anew meanwhile; nothing of the run is left.
    pub rebooted: bool,
    /// When, in milliseconds since 1970 UTC.
    pub ended_unix_ms: i64,
}

/// A run that could not be started.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// launch is not there (being started again); trying later helps.
    #[error("launch cannot be reached")]
    LaunchGone,
    /// Nothing of it runs: the step that failed and the system's word for it.
    #[error("{step}: {detail}")]
    Failed {
        /// The step of the sandbox, for people.
        step: String,
        /// What the system said.
        detail: String,
    },
}

/// The way to launch, which may die and be replaced at any time; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Launcher {}

impl Launcher {
    /// Takes the socket of a fresh launch (from the guardian).
    pub fn replace(&self, _socket: OwnedFd) {}
}

/// Starts and adopts runs; cheap to clone.
#[derive(Debug, Clone)]
pub struct Runs {
    _root: PathBuf,
}

/// A live run, freshly started or adopted.
#[derive(Debug, Clone)]
pub struct LiveRun {
    _folder: PathBuf,
}

/// What an old run folder turned out to be.
#[derive(Debug)]
pub enum Adopted {
    /// It lives.
    Live(LiveRun),
    /// It ended while nobody looked; its record says how.
    Ended(RunEnd),
}

impl Runs {
    /// Runs below `root`, started through `launcher`.
    pub fn new(root: PathBuf, _launcher: Launcher) -> Self {
        Self { _root: root }
    }

    /// Starts a run and returns once its shim keeps it and the child was let go.
    pub async fn start(&self, _request: RunRequest) -> Result<LiveRun, StartError> {
        Err(StartError::LaunchGone)
    }

    /// Looks at a run folder left by an earlier server: adopts what lives, writes
    /// `abandoned` where a lock can be won without an exit record.
    pub async fn adopt(&self, _app: AppNumber, _folder: &str) -> std::io::Result<Adopted> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    /// The run folders of an app.
    pub fn folders(&self, _app: AppNumber) -> std::io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Removes the folder of a run that is gone.
    pub fn forget(&self, _app: AppNumber, _folder: &str) -> std::io::Result<()> {
        Ok(())
    }

    /// Has launch make every per-app folder with its owner. Idempotent.
    pub async fn prepare_app(&self, _app: AppNumber) -> Result<(), StartError> {
        Ok(())
    }

    /// Empties and removes a folder as its owner: `layers/RUN`, `releases/SHA256`,
    /// `builds/BUILD`, `cache`, `repository`, `data`, `app` (all of them).
    pub async fn wipe(&self, _app: AppNumber, _subject: &str) -> Result<(), StartError> {
        Ok(())
    }

    /// Has launch replace `ssh/authorized_keys`.
    pub async fn write_authorized_keys(&self, _text: &[u8]) -> Result<(), StartError> {
        Ok(())
    }

    /// Has launch bind a TCP listener.
    pub async fn bind(&self, _address: std::net::SocketAddr) -> Result<OwnedFd, StartError> {
        Err(StartError::LaunchGone)
    }
}

impl LiveRun {
    /// The process id of the shim as the host sees it.
    pub fn shim_pid(&self) -> u32 {
        0
    }

    /// Milliseconds since 1970 UTC at which the child was let go.
    pub fn started_unix_ms(&self) -> i64 {
        0
    }

    /// Waits until nothing of the run is alive, and reads its exit record. Can be
    /// called any number of times, also after the end.
    pub async fn gone(&self) -> RunEnd {
        std::future::pending().await
    }

    /// Asks the shim to stop it: TERM and CONT to everything, KILL after `grace`.
    /// Returns when the shim has taken the order; wait for [`LiveRun::gone`].
    pub async fn stop(&self, _grace: Duration) -> std::io::Result<()> {
        Ok(())
    }

    /// Kills everything of it at once.
    pub async fn kill(&self) -> std::io::Result<()> {
        Ok(())
    }

    /// Passes a signal to the child (a session's Ctrl-C).
    pub async fn signal(&self, _signal: i32) -> std::io::Result<()> {
        Ok(())
    }
}
