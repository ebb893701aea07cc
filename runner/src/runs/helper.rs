//! Helpers: paas itself in a sandbox, doing one thing with the files of an app as their
//! owner. A helper says on stderr what it cannot do.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use launch::Profile;
use model::{AppNumber, ExitStatus};
use shim::Spec;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::{LiveRun, Output, RunRequest, Runs, StartError};
use crate::limits::{HELPER_ANSWER_BYTES_MAX, HELPER_COMPLAINT_BYTES_MAX, HELPER_OPEN_FILES, STUCK_AFTER};

/// What a helper does, and to what.
pub(crate) struct Helper {
    pub(crate) profile: Profile,
    /// `unpack` for `paas internal unpack`.
    pub(crate) word: &'static str,
    /// What is said to it.
    pub(crate) words: Vec<String>,
    /// Whether it has something to say on stdout.
    pub(crate) answers: bool,
    pub(crate) app: AppNumber,
    /// The run folder.
    pub(crate) folder: String,
    pub(crate) subject: String,
    pub(crate) descriptors: Vec<OwnedFd>,
    /// It is killed after this.
    pub(crate) time: Duration,
}

/// Why it was not done.
#[derive(Debug)]
pub(crate) enum HelperError {
    /// A pipe or `/dev/null`.
    Io(io::Error),
    /// It could not be started.
    Start(StartError),
    /// It took too long.
    TimedOut,
    /// It ended otherwise than well, and what it said.
    Refused(ExitStatus, String),
}

impl Helper {
    /// Does it, and returns what it said. Nothing of the helper is left then, unless it
    /// cannot be killed.
    pub(crate) async fn run(self, runs: &Runs) -> Result<String, HelperError> {
        let (app, folder, time) = (self.app, self.folder.clone(), self.time);
        let (complaints, stderr) = io::pipe().map_err(HelperError::Io)?;
        let (answer, stdout) =
            if self.answers { io::pipe().map(|(read, write)| (Some(read), Some(write.into()))) } else { Ok((None, None)) }
                .map_err(HelperError::Io)?;
        let request = self.request(stdout, stderr.into()).map_err(HelperError::Io)?;
        let run = runs.start(request).await.map_err(HelperError::Start)?;
        let hearing = tokio::spawn(hear(complaints.into(), HELPER_COMPLAINT_BYTES_MAX));
        let answering = answer.map(|answer| tokio::spawn(hear(answer.into(), HELPER_ANSWER_BYTES_MAX)));
        let ended = end_within(&run, time).await;
        if let Err(error) = runs.forget(app, &folder) {
            tracing::warn!(%error, %app, folder, "the run folder of a helper could not be removed");
        }
        match ended {
            Some(ExitStatus::Code(0)) => match answering {
                Some(answering) => Ok(answering.await.unwrap_or_default()),
                None => Ok(String::new()),
            },
            // Nothing of it is left that could still hold the pipe.
            Some(status) => Err(HelperError::Refused(status, hearing.await.unwrap_or_default())),
            None => {
                hearing.abort();
                answering.inspect(tokio::task::JoinHandle::abort);
                Err(HelperError::TimedOut)
            }
        }
    }

    fn request(self, stdout: Option<OwnedFd>, stderr: OwnedFd) -> io::Result<RunRequest> {
        let null = || File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
        Ok(RunRequest {
            profile: self.profile,
            app: self.app,
            folder: self.folder,
            subject: Some(self.subject),
            output: Output::Inherit { stdin: null()?, stdout: stdout.map_or_else(null, Ok)?, stderr, terminal: false },
            descriptors: self.descriptors,
            spec: Spec {
                argv: ["/paas", "internal", self.word].map(str::to_owned).into_iter().chain(self.words).map(String::into_bytes).collect(),
                env: vec![(b"PATH".to_vec(), b"/usr/bin:/bin".to_vec())],
                working_directory: b"/".to_vec(),
                stop_signal: 15,
                open_files: HELPER_OPEN_FILES,
                hostname: self.word.as_bytes().to_vec(),
                log_subject: Vec::new(),
                kept: Vec::new(),
            },
        })
    }
}

/// `None`: it took too long and was killed.
async fn end_within(run: &LiveRun, time: Duration) -> Option<ExitStatus> {
    if let Ok(end) = tokio::time::timeout(time, run.gone()).await {
        return Some(end.status);
    }
    if let Err(error) = run.kill().await {
        tracing::warn!(%error, "a helper cannot be killed");
    }
    // One that is stuck in the kernel is left to the next server.
    let _ = tokio::time::timeout(STUCK_AFTER, run.gone()).await;
    None
}

/// Reads what a helper says or complains about. What is beyond the limit is not kept, but read,
/// so that it never blocks.
async fn hear(said: OwnedFd, bytes_max: u64) -> String {
    let Ok(mut pipe) = pipe::Receiver::from_owned_fd(said) else { return String::new() };
    let mut kept = Vec::new();
    let _ = (&mut pipe).take(bytes_max).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    let text = String::from_utf8_lossy(&kept);
    text.trim().chars().filter(|c| !c.is_control() || *c == '\n').collect()
}
