//! Runs: starting, adopting, stopping and outliving one execution of anything.
//!
//! ```text
//! start: folder + lock → launch → stage 0 → "spawned" (pidfd) → "ready" → LiveRun
//! gone:  the lock can be won and the shim's pidfd is readable
//! ```

mod adopt;
mod boot;
mod conversation;
mod ending;
mod folder;
mod helper;
mod join;
mod launcher;
mod live;
mod notified;
mod socket;
mod start;
mod watch;
mod wipe;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use launch::protocol::Frame;
use model::{AppNumber, ExitStatus, Leavings};

pub(crate) use ending::Over;
pub use ending::{DataSize, Size};
use folder::RunFolder;
pub(crate) use helper::{Helper, HelperError};
pub use join::{Captured, JoinEnd, JoinRequest, Joined};
pub use launcher::Launcher;
pub use live::LiveRun;

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
    #[error("launch, the part of paas that starts processes, is away; it is being started again: try again in a moment")]
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

/// Starts and adopts runs; cheap to clone.
#[derive(Debug, Clone)]
pub struct Runs {
    root: PathBuf,
    launcher: Launcher,
    /// What is found without a record of its shim was left by an earlier boot.
    is_after_boot: bool,
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
    pub fn new(root: PathBuf, launcher: Launcher) -> Self {
        let is_after_boot = boot::is_first_since_boot(&root.join("runs"));
        Self { root, launcher, is_after_boot }
    }

    /// Starts a run and returns once its shim keeps it and the child was let go. Await it
    /// to its end: a start that is dropped half-way is only found again by [`Runs::adopt`].
    pub async fn start(&self, request: RunRequest) -> Result<LiveRun, StartError> {
        start::start(self, request).await
    }

    /// Looks at a run folder left by an earlier server: adopts what lives, writes
    /// `abandoned` where a lock can be won without an exit record. `NotFound`: there is no
    /// such folder. Any other error: something may be alive in it.
    pub async fn adopt(&self, app: AppNumber, folder: &str) -> io::Result<Adopted> {
        adopt::adopt(self, self.folder(app, folder)?).await
    }

    /// Starts a command inside a live run: in its namespaces, as its user, with no more
    /// rights than its processes. It ends with the run and with what is returned.
    pub async fn join(&self, request: JoinRequest) -> Result<Joined, StartError> {
        join::join(self, request).await
    }

    /// Runs a command inside a live run, with `/dev/null` as its input, and keeps the first
    /// bytes of its output; kills it with everything it started when its time is over.
    pub async fn join_captured(
        &self,
        app: AppNumber,
        folder: &str,
        spec: shim::Spec,
        bytes_max: usize,
        timeout: std::time::Duration,
    ) -> Result<Captured, StartError> {
        join::capture(self, (app, folder), spec, bytes_max, timeout).await
    }

    /// What the processes of a run said on `NOTIFY_SOCKET`, as soon as that is another
    /// change than the one that was seen (0: none; [`shim::control::ANY_CHANGE`]: at once).
    /// `None`: the run is gone, or its shim is of an older paas.
    pub async fn notified(&self, app: AppNumber, folder: &str, seen: u64) -> io::Result<Option<shim::notify::Notified>> {
        notified::notified(&self.folder(app, folder)?, seen).await
    }

    /// The apps that have run folders, the platform among them.
    pub fn apps(&self) -> io::Result<Vec<AppNumber>> {
        let entries = match std::fs::read_dir(self.root.join("runs")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut apps = Vec::new();
        for entry in entries {
            apps.extend(entry?.file_name().to_str().and_then(|name| name.parse().ok()).map(AppNumber));
        }
        Ok(apps)
    }

    /// The run folders of an app.
    pub fn folders(&self, app: AppNumber) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.root.join("runs").join(app.to_string())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut folders = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.extend(entry.file_name().into_string().ok().filter(|name| launch::names::is_name(name)));
            }
        }
        folders.sort_unstable();
        Ok(folders)
    }

    /// Removes the folder of a run that is gone; refused while somebody holds its lock.
    pub fn forget(&self, app: AppNumber, folder: &str) -> io::Result<()> {
        let folder = self.folder(app, folder)?;
        let Some(_lock) = folder.try_lock()? else { return Err(io::ErrorKind::ResourceBusy.into()) };
        std::fs::remove_dir_all(folder.path())
    }

    /// Has launch make every per-app folder with its owner. Idempotent.
    pub async fn prepare_app(&self, app: AppNumber) -> Result<(), StartError> {
        self.launcher.ask(&Frame::PrepareApp(app.0), &[]).await.map(drop)
    }

    /// Empties and removes a folder as its owner: `layers/RUN`, `releases/SHA256`,
    /// `builds/BUILD`, `cache`, `repository`, `data`, `app` (all of them, with run folders
    /// and logs: nothing of the app may run). What is not there counts as removed.
    pub async fn wipe(&self, app: AppNumber, subject: &str) -> Result<(), StartError> {
        wipe::wipe(self, app, subject).await
    }

    /// Removes the writable layer of a run that is gone; what has to last of it is saved.
    /// Tells what else was in it.
    pub(crate) async fn end_layer(&self, app: AppNumber, folder: &str, over: Option<Over>) -> Result<Leavings, StartError> {
        ending::end_layer(self, app, folder, over).await
    }

    /// How much `DATA_DIR` holds, and these paths of it, seen as its owner.
    pub async fn measure_data(&self, app: AppNumber, parts: &[model::KeptPath]) -> Result<DataSize, StartError> {
        ending::measure(self, app, parts).await
    }

    /// Has launch replace `ssh/authorized_keys`.
    pub async fn write_authorized_keys(&self, text: &[u8]) -> Result<(), StartError> {
        let text = start::sealed(text).map_err(|error| StartError::failed("write authorized_keys", &error))?;
        self.launcher.ask(&Frame::WriteAuthorizedKeys, &[text.as_fd()]).await.map(drop)
    }

    /// Has launch bind a TCP listener (non-blocking; an IPv6 one takes no IPv4).
    pub async fn bind(&self, address: std::net::SocketAddr) -> Result<OwnedFd, StartError> {
        self.launcher.ask(&Frame::Bind(address), &[]).await?.ok_or(StartError::LaunchGone)
    }

    fn folder(&self, app: AppNumber, folder: &str) -> io::Result<RunFolder> {
        if !launch::names::is_name(folder) {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        Ok(RunFolder::new(self.root.join("runs").join(app.to_string()).join(folder)))
    }
}
