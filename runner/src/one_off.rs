//! Commands that run once beside an app: a release phase, `run CMD`, `psql`.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::engine::OneOff;
use model::{AppNumber, ExitStatus, ProcessType, RunId};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::environment::Process;
use crate::executions::LocalRun;
use crate::host::{Found, FoundState, Host, Live, StartFailure};
use crate::local_host::LocalHost;
use crate::record::RunRecord;
use crate::runs::{JoinRequest, Joined, LiveRun, Output, RunEnd, StartError};
use crate::tasks::Tasks;

/// Where the output of a one-off goes.
#[derive(Debug)]
pub enum OneOffOutput {
    /// To the caller's own descriptors; `terminal`: stdin becomes the controlling one.
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
    /// To the app's log, under the name of the instance.
    Log,
}

/// Why a one-off does not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunOnceError {
    /// launch is being started again; trying later helps.
    #[error("{}", StartError::LaunchGone)]
    LaunchGone,
    /// For people.
    #[error("{0}")]
    Failed(String),
}

/// A one-off under way. Dropping it lets it go on.
#[derive(Debug, Clone)]
pub struct OneOffRun {
    run: RunId,
    live: LiveRun,
    end: watch::Receiver<Option<RunEnd>>,
}

impl OneOffRun {
    /// Which run it is.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Waits for its end; can be called again. `None` only if the server is ending.
    pub async fn end(&self) -> Option<RunEnd> {
        self.end.clone().wait_for(Option::is_some).await.ok().and_then(|end| end.clone())
    }

    /// Passes a signal to it (a session's Ctrl-C).
    pub async fn signal(&self, signal: i32) -> std::io::Result<()> {
        self.live.signal(signal).await
    }

    /// SIGTERM, and SIGKILL after `grace`.
    pub async fn stop(&self, grace: Duration) -> std::io::Result<()> {
        self.live.stop(grace).await
    }

    /// SIGKILL.
    pub async fn kill(&self) -> std::io::Result<()> {
        self.live.kill().await
    }
}

/// The descriptors of a command inside a live run.
#[derive(Debug)]
pub struct ExecStdio {
    /// stdin.
    pub stdin: OwnedFd,
    /// stdout.
    pub stdout: OwnedFd,
    /// stderr.
    pub stderr: OwnedFd,
    /// Whether stdin is a terminal.
    pub terminal: bool,
}

/// A command inside a live run, under way. Dropping it kills it with everything it started.
#[derive(Debug)]
pub struct ExecRun {
    joined: Joined,
    until: Option<Instant>,
}

impl ExecRun {
    /// Waits for its end; can be called again. `None`: the run ended first, or the command
    /// ran too long.
    pub async fn end(&self) -> Option<ExitStatus> {
        let Some(until) = self.until else { return self.joined.end().await.status };
        if let Ok(end) = tokio::time::timeout_at(until, self.joined.end()).await {
            return end.status;
        }
        // What does not reach it any more is over.
        let _ = self.joined.kill().await;
        self.joined.end().await.status
    }

    /// Passes a signal to it (a session's Ctrl-C).
    pub async fn signal(&self, signal: i32) -> std::io::Result<()> {
        self.joined.signal(signal).await
    }

    /// Kills it with everything it started.
    pub async fn kill(&self) -> std::io::Result<()> {
        self.joined.kill().await
    }
}

/// The one-offs that are alive or being tidied.
#[derive(Clone)]
pub(crate) struct OneOffs {
    host: LocalHost,
    tasks: Tasks,
    kept: Arc<Mutex<BTreeMap<(AppNumber, String), Kept>>>,
}

#[derive(Clone)]
struct Kept {
    live: Option<Live>,
    /// Ends once nothing of it is left.
    tidied: watch::Receiver<()>,
}

impl OneOffs {
    pub(crate) fn new(host: LocalHost, tasks: Tasks) -> Self {
        Self { host, tasks, kept: Arc::default() }
    }

    /// A caller that goes away while the start is under way gets nothing to hold: what it
    /// asked for is killed.
    pub(crate) async fn run(&self, one_off: OneOff, output: OneOffOutput) -> Result<OneOffRun, RunOnceError> {
        let (answer, answered) = oneshot::channel();
        let one_offs = self.clone();
        self.tasks.spawn(async move {
            if let Err(Ok(unwanted)) = answer.send(one_offs.start(one_off, output).await)
                && let Err(error) = unwanted.kill().await
            {
                tracing::warn!(%error, run = %unwanted.run.folder(), "a one-off that nobody waits for could not be killed");
            }
        });
        answered.await.unwrap_or(Err(RunOnceError::Failed("the server is ending".to_owned())))
    }

    /// A command inside a live run. It ends with what is returned, so a caller that goes away
    /// leaves nothing.
    pub(crate) async fn exec(&self, run: &RunId, one_off: &OneOff, stdio: ExecStdio) -> Result<ExecRun, RunOnceError> {
        let process = Process { run, release: &one_off.release, command: &one_off.command, port: None, one_off_env: &one_off.env };
        let spec = self.host.spec(&process);
        let ExecStdio { stdin, stdout, stderr, terminal } = stdio;
        let request = JoinRequest { app: one_off.number, folder: run.folder(), spec, stdin, stdout, stderr, terminal };
        let joined = self.host.runs().join(request).await.map_err(|error| match error {
            StartError::LaunchGone => RunOnceError::LaunchGone,
            error @ StartError::Failed { .. } => RunOnceError::Failed(error.to_string()),
        })?;
        let until = one_off.timeout_s.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
        Ok(ExecRun { joined, until })
    }

    async fn start(&self, one_off: OneOff, output: OneOffOutput) -> Result<OneOffRun, RunOnceError> {
        let number = one_off.number;
        let run = RunId { instance: one_off.instance.clone(), version: one_off.version, number: self.host.next_run_number(number) };
        let process = Process { run: &run, release: &one_off.release, command: &one_off.command, port: None, one_off_env: &one_off.env };
        let spec = self.host.spec(&process);
        let output = match output {
            OneOffOutput::Inherit { stdin, stdout, stderr, terminal } => Output::Inherit { stdin, stdout, stderr, terminal },
            OneOffOutput::Log => Output::Log(run.instance.name()),
        };
        let started = self.host.start_app(number, &run, &one_off.release, output, spec).await;
        let live = started.map_err(|failure| match failure {
            StartFailure::Later => RunOnceError::LaunchGone,
            StartFailure::Failed(detail) => RunOnceError::Failed(detail),
        })?;
        let record = RunRecord { one_off: true, ..RunRecord::default() };
        self.host.remember(number, &run.folder(), &record);
        let timeout = one_off.timeout_s.map(Duration::from_secs);
        let end = self.keep(number, run.folder(), Arc::new(LocalRun(live.clone())), timeout);
        Ok(OneOffRun { run, live, end })
    }

    /// A one-off that an earlier server left: a person's session goes on, a release phase
    /// ended with the deploy that wanted it.
    pub(crate) fn adopt(&self, number: AppNumber, found: Found) {
        let is_session = !found.folder.starts_with(&format!("{}.", ProcessType::release()));
        match found.state {
            FoundState::Live(live) => {
                let timeout = if is_session { None } else { Some(Duration::ZERO) };
                self.keep(number, found.folder, live, timeout);
            }
            FoundState::Ended(..) => {
                let (one_offs, tidying) = (self.clone(), self.note(number, &found.folder, None));
                self.tasks.spawn(async move { one_offs.tidy(number, &found.folder, tidying).await });
            }
        }
    }

    /// Kills all of them, or those of one app, and waits until nothing of them is left;
    /// returns how many were alive.
    pub(crate) async fn kill(&self, only: Option<AppNumber>) -> u32 {
        let mut kept: Vec<Kept> = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.iter().filter(|((number, _), _)| only.is_none_or(|only| only == *number)).map(|(_, kept)| kept.clone()).collect()
        };
        for live in kept.iter().filter_map(|kept| kept.live.as_ref()) {
            if let Err(error) = live.kill().await {
                tracing::warn!(%error, "a one-off could not be killed");
            }
        }
        for kept in &mut kept {
            // Nothing is ever sent: the other end goes.
            let _ = kept.tidied.changed().await;
        }
        u32::try_from(kept.iter().filter(|kept| kept.live.is_some()).count()).unwrap_or(u32::MAX)
    }

    fn keep(&self, number: AppNumber, folder: String, live: Live, timeout: Option<Duration>) -> watch::Receiver<Option<RunEnd>> {
        let (ended, end) = watch::channel(None);
        let (one_offs, tidying) = (self.clone(), self.note(number, &folder, Some(Arc::clone(&live))));
        self.tasks.spawn(async move {
            let gone = match timeout {
                Some(timeout) => tokio::time::timeout(timeout, live.gone()).await.ok(),
                None => Some(live.gone().await),
            };
            let gone = if let Some(gone) = gone {
                gone
            } else {
                if let Err(error) = live.kill().await {
                    tracing::warn!(%error, folder, "a one-off that took too long could not be killed");
                }
                live.gone().await
            };
            ended.send_replace(Some(gone));
            one_offs.tidy(number, &folder, tidying).await;
        });
        end
    }

    fn note(&self, number: AppNumber, folder: &str, live: Option<Live>) -> watch::Sender<()> {
        let (tidying, tidied) = watch::channel(());
        let kept = Kept { live, tidied };
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert((number, folder.to_owned()), kept);
        tidying
    }

    async fn tidy(&self, number: AppNumber, folder: &str, tidying: watch::Sender<()>) {
        self.host.tidy_now(number, folder).await;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&(number, folder.to_owned()));
        drop(tidying);
    }
}
