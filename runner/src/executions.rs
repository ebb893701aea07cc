//! Runs of this machine as the app's task sees them: those that are watched, and those
//! that nobody can judge.

use std::io;
use std::time::Duration;

use model::{AppNumber, ExitStatus};

use crate::host::{BoxFuture, Execution};
use crate::limits::UNCLEAR_RETRY;
use crate::machine;
use crate::runs::{Adopted, LiveRun, RunEnd, Runs};

pub(crate) struct LocalRun(pub(crate) LiveRun);

impl Execution for LocalRun {
    fn shim_pid(&self) -> Option<u32> {
        Some(self.0.shim_pid())
    }

    fn started_unix_ms(&self) -> i64 {
        self.0.started_unix_ms()
    }

    fn gone(&self) -> BoxFuture<'static, RunEnd> {
        let run = self.0.clone();
        Box::pin(async move { run.gone().await })
    }

    fn stop(&self, grace: Duration) -> BoxFuture<'static, io::Result<()>> {
        let run = self.0.clone();
        Box::pin(async move { run.stop(grace).await })
    }

    fn kill(&self) -> BoxFuture<'static, io::Result<()>> {
        let run = self.0.clone();
        Box::pin(async move { run.kill().await })
    }

    fn signal(&self, signal: i32) -> BoxFuture<'static, io::Result<()>> {
        let run = self.0.clone();
        Box::pin(async move { run.signal(signal).await })
    }
}

/// A run whose lock is held, but not by a process that can be known. Two of a bot would be
/// worse than one that cannot be told to stop: it counts as alive, takes its instance's
/// place, and is judged anew with each order and until its lock is free.
#[derive(Clone)]
pub(crate) struct UnclearRun {
    pub(crate) runs: Runs,
    pub(crate) number: AppNumber,
    pub(crate) folder: String,
    pub(crate) started_unix_ms: i64,
}

impl UnclearRun {
    /// `None`: it is over.
    async fn live(&self) -> io::Result<Option<LiveRun>> {
        match self.runs.adopt(self.number, &self.folder).await {
            Ok(Adopted::Live(run)) => Ok(Some(run)),
            Ok(Adopted::Ended(_)) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Execution for UnclearRun {
    fn shim_pid(&self) -> Option<u32> {
        None
    }

    fn started_unix_ms(&self) -> i64 {
        self.started_unix_ms
    }

    fn gone(&self) -> BoxFuture<'static, RunEnd> {
        let Self { runs, number, folder, .. } = self.clone();
        Box::pin(async move {
            match judge(&runs, number, &folder).await {
                Some(Adopted::Live(run)) => run.gone().await,
                Some(Adopted::Ended(end)) => end,
                None => RunEnd {
                    status: ExitStatus::Unknown,
                    shim_lost: true,
                    stop_timed_out: false,
                    rebooted: false,
                    ended_unix_ms: machine::unix_ms(),
                },
            }
        })
    }

    fn stop(&self, grace: Duration) -> BoxFuture<'static, io::Result<()>> {
        let run = self.clone();
        Box::pin(async move {
            match run.live().await? {
                Some(run) => run.stop(grace).await,
                None => Ok(()),
            }
        })
    }

    fn kill(&self) -> BoxFuture<'static, io::Result<()>> {
        let run = self.clone();
        Box::pin(async move {
            match run.live().await? {
                Some(run) => run.kill().await,
                None => Ok(()),
            }
        })
    }

    fn signal(&self, signal: i32) -> BoxFuture<'static, io::Result<()>> {
        let run = self.clone();
        Box::pin(async move {
            match run.live().await? {
                Some(run) => run.signal(signal).await,
                None => Ok(()),
            }
        })
    }
}

/// Looks at a run folder until it is known what it is; `None`: there is no such folder.
pub(crate) async fn judge(runs: &Runs, number: AppNumber, folder: &str) -> Option<Adopted> {
    loop {
        match runs.adopt(number, folder).await {
            Ok(adopted) => return Some(adopted),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => tracing::debug!(%error, app = %number, folder, "a run cannot be judged yet"),
        }
        tokio::time::sleep(UNCLEAR_RETRY).await;
    }
}
