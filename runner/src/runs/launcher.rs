//! The way to launch. Its end says nothing about what launch had begun: whoever asked
//! looks for itself.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use launch::protocol::Frame;
use shim::{Report, wire_socket};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::StartError;
use super::socket::{Packets, pair};
use super::watch::watch_socket;
use crate::limits::{LAUNCH_ANSWER_MAX, LAUNCH_SOCKET_WAIT};

/// The way to launch, which may die and be replaced at any time; cheap to clone.
#[derive(Debug, Clone)]
pub struct Launcher {
    current: Arc<watch::Sender<Option<Arc<AsyncFd<OwnedFd>>>>>,
}

impl Default for Launcher {
    fn default() -> Self {
        Self { current: Arc::new(watch::Sender::new(None)) }
    }
}

impl Launcher {
    /// Takes the socket of a fresh launch (from the guardian). Must be called on the runtime.
    pub fn replace(&self, socket: OwnedFd) {
        match watch_socket(socket) {
            Ok(socket) => drop(self.current.send_replace(Some(Arc::new(socket)))),
            Err(error) => tracing::error!(%error, "the socket of launch cannot be watched"),
        }
    }

    /// Sends a frame; waits a little for a launch that is being started again.
    pub(super) async fn send(&self, frame: &Frame, descriptors: &[BorrowedFd<'_>]) -> Result<(), StartError> {
        let Some(socket) = self.socket().await else { return Err(StartError::LaunchGone) };
        let packet = frame.encode();
        loop {
            let Ok(mut ready) = socket.writable().await else { return Err(self.lost(&socket)) };
            match ready.try_io(|socket| wire_socket::try_send(socket.as_fd(), &packet, descriptors)) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "launch does not take frames");
                    return Err(self.lost(&socket));
                }
                Err(_would_block) => {}
            }
        }
    }

    async fn socket(&self) -> Option<Arc<AsyncFd<OwnedFd>>> {
        let mut watched = self.current.subscribe();
        let arrived = tokio::time::timeout(LAUNCH_SOCKET_WAIT, watched.wait_for(Option::is_some)).await;
        arrived.ok()?.ok()?.clone()
    }

    /// Sends a frame that starts nothing, and waits for what comes of it.
    pub(super) async fn ask(&self, frame: &Frame, descriptors: &[BorrowedFd<'_>]) -> Result<Option<OwnedFd>, StartError> {
        let (ours, theirs) = pair().map_err(|error| StartError::failed("make a socket", &error))?;
        let mut all = vec![theirs.as_fd()];
        all.extend(descriptors);
        self.send(frame, &all).await?;
        drop(theirs);
        match tokio::time::timeout(LAUNCH_ANSWER_MAX, answer(&ours)).await {
            Ok(done) => done,
            Err(_) => Err(StartError::LaunchGone),
        }
    }

    /// Forgets a socket that has ended, unless another one has come meanwhile.
    fn lost(&self, socket: &Arc<AsyncFd<OwnedFd>>) -> StartError {
        self.current.send_if_modified(|current| {
            let same = current.as_ref().is_some_and(|current| Arc::ptr_eq(current, socket));
            if same {
                *current = None;
            }
            same
        });
        StartError::LaunchGone
    }
}

async fn answer(socket: &Packets) -> Result<Option<OwnedFd>, StartError> {
    match socket.report().await {
        Ok(Some((Report::Done, descriptor))) => Ok(descriptor),
        Ok(Some((Report::Failed { step, detail }, _))) => Err(StartError::Failed { step, detail }),
        Ok(Some((other, _))) => Err(StartError::Failed { step: "ask launch".to_owned(), detail: format!("unexpected {other:?}") }),
        // The end without a word: unknown. What is asked here can be asked again.
        Ok(None) | Err(_) => Err(StartError::LaunchGone),
    }
}

/// How long something may take that is bounded elsewhere too.
pub(super) async fn within<T>(time: Duration, future: impl Future<Output = T>) -> std::io::Result<T> {
    tokio::time::timeout(time, future).await.map_err(|_| std::io::ErrorKind::TimedOut.into())
}
