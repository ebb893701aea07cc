//! A live run: watched by its shim's pidfd, spoken to through its socket.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use launch::protocol::Frame;
use model::ExitStatus;
use shim::control::{Reply, Request};
use tokio::io::unix::AsyncFd;
use tokio::sync::OnceCell;

use super::folder::RunFolder;
use super::launcher::{Launcher, within};
use super::watch::watch_pidfd;
use super::{RunEnd, StartError, conversation};
use crate::limits::{GONE_LOCK_RETRY, GONE_LOCK_WAIT};
use crate::machine::unix_ms;

/// The signal that nothing survives.
const KILL: i32 = 9;

/// A live run, freshly started or adopted.
#[derive(Debug, Clone)]
pub struct LiveRun(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: RunFolder,
    shim_pid: u32,
    started_unix_ms: i64,
    pidfd: AsyncFd<OwnedFd>,
    launcher: Launcher,
    end: OnceCell<RunEnd>,
}

impl LiveRun {
    pub(super) fn new(folder: RunFolder, shim_pid: u32, started_unix_ms: i64, pidfd: OwnedFd, launcher: Launcher) -> io::Result<Self> {
        let pidfd = watch_pidfd(pidfd)?;
        Ok(Self(Arc::new(Inner { folder, shim_pid, started_unix_ms, pidfd, launcher, end: OnceCell::new() })))
    }

    /// The process id of the shim as the host sees it.
    pub fn shim_pid(&self) -> u32 {
        self.0.shim_pid
    }

    /// Milliseconds since 1970 UTC at which the child was let go.
    pub fn started_unix_ms(&self) -> i64 {
        self.0.started_unix_ms
    }

    /// Waits until nothing of the run is alive, and reads its exit record. Can be
    /// called any number of times, also after the end.
    pub async fn gone(&self) -> RunEnd {
        self.0.end.get_or_init(|| self.0.wait_for_end()).await.clone()
    }

    /// Asks the shim to stop it: TERM and CONT to everything, KILL after `grace`.
    /// Returns when the shim has taken the order; wait for [`LiveRun::gone`].
    pub async fn stop(&self, grace: Duration) -> io::Result<()> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        match self.0.order(Request::Stop { grace_ms }).await {
            Err(_) if self.0.is_over() => Ok(()),
            result => result,
        }
    }

    /// Kills everything of it at once: through the shim, so that the end is recorded, or
    /// with the shim if that does not answer.
    pub async fn kill(&self) -> io::Result<()> {
        let Err(error) = self.0.order(Request::Kill).await else { return Ok(()) };
        if self.0.is_over() {
            return Ok(());
        }
        tracing::warn!(%error, shim = self.0.shim_pid, "a shim does not answer; it is killed");
        let killed = self.0.launcher.ask(&Frame::Kill { signal: KILL }, &[self.0.pidfd.get_ref().as_fd()]).await;
        killed.map(drop).map_err(io::Error::other)
    }

    /// Passes a signal to the child (a session's Ctrl-C).
    pub async fn signal(&self, signal: i32) -> io::Result<()> {
        self.0.order(Request::Signal { signal }).await
    }
}

impl Inner {
    async fn wait_for_end(&self) -> RunEnd {
        // A pidfd is readable for ever once its process has ended.
        if let Err(error) = self.pidfd.readable().await {
            tracing::error!(%error, "a pidfd cannot be watched");
        }
        match wait_for_lock(&self.folder).await {
            Ok(end) => end,
            Err(error) => {
                tracing::error!(%error, folder = %self.folder.path().display(), "the end of a run cannot be read");
                let ended_unix_ms = unix_ms();
                RunEnd { status: ExitStatus::Unknown, shim_lost: true, stop_timed_out: false, rebooted: false, ended_unix_ms }
            }
        }
    }

    fn is_over(&self) -> bool {
        self.folder.try_lock().is_ok_and(|lock| lock.is_some())
    }

    /// One conversation: hello, the order, its answer.
    async fn order(&self, request: Request) -> io::Result<()> {
        match conversation::ask(&self.folder, self.shim_pid, request).await? {
            (Reply::Taken, _) => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "the shim refused the order")),
        }
    }
}

/// Wins the lock of a run whose processes are gone, and reads its end. The lock is free at
/// once then, unless somebody else is looking at it.
async fn wait_for_lock(folder: &RunFolder) -> io::Result<RunEnd> {
    within(GONE_LOCK_WAIT, async {
        loop {
            if let Some(lock) = folder.try_lock()? {
                return Ok(folder.end(&lock, false));
            }
            tokio::time::sleep(GONE_LOCK_RETRY).await;
        }
    })
    .await?
}

impl StartError {
    pub(super) fn failed(step: &str, error: &io::Error) -> Self {
        Self::Failed { step: step.to_owned(), detail: error.to_string() }
    }
}
