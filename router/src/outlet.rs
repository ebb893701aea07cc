//! The way to the server: frames leave in order, nothing waits for it.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::limits;
use crate::protocol::FromRouter;

/// Where frames for the server go. Without a server they are dropped: the next one
/// asks for everything.
#[derive(Debug, Default)]
pub(crate) struct Outlet {
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    epoch: u64,
    sender: Option<mpsc::Sender<Outgoing>>,
}

/// A frame on its way, with what comes along.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) frame: FromRouter,
    pub(crate) descriptor: Option<OwnedFd>,
}

impl From<FromRouter> for Outgoing {
    fn from(frame: FromRouter) -> Self {
        Self { frame, descriptor: None }
    }
}

impl Outlet {
    /// Makes a conversation the one that frames go to, unless a newer server is there;
    /// `first` goes ahead of everything.
    pub(crate) fn attach(&self, epoch: u64, first: FromRouter) -> Option<mpsc::Receiver<Outgoing>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not shut the server out for ever.
        let another_lives = current.sender.as_ref().is_some_and(|sender| !sender.is_closed());
        if epoch < current.epoch && another_lives {
            return None;
        }
        let (sender, receiver) = mpsc::channel(limits::FRAMES_WAITING_MAX);
        current.epoch = epoch;
        push(&mut current, sender, first.into());
        Some(receiver)
    }

    /// Sends a frame, perhaps with a descriptor.
    pub(crate) fn send(&self, outgoing: impl Into<Outgoing>) {
        self.send_with(|| outgoing);
    }

    /// Sends a frame that is made while no other can be sent: what it says holds until
    /// the frames that follow it.
    pub(crate) fn send_with<T: Into<Outgoing>>(&self, outgoing: impl FnOnce() -> T) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = current.sender.take() {
            push(&mut current, sender, outgoing().into());
        }
    }
}

/// A server that does not read loses its conversation and starts a new one.
fn push(current: &mut Current, sender: mpsc::Sender<Outgoing>, outgoing: Outgoing) {
    current.sender = match sender.try_send(outgoing) {
        Ok(()) => Some(sender),
        Err(_) => None,
    };
}
