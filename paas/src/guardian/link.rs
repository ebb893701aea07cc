//! The server's end of the link to its guardian: its stdin, over which a socket to each
//! new launch comes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use api::{Failure, Kind};
use nix::sys::signal::SigSet;
use runner::runs::Launcher;
use rustix::process::{Signal, set_parent_process_death_signal};
use shim::wire_socket;
use tokio::io::Interest;

/// The link; dropping it means nothing to the guardian.
#[derive(Debug)]
pub struct Link(UnixStream);

impl Link {
    /// Takes the link over from stdin, and asks to be told when the guardian dies. Call it
    /// before the runtime starts threads: it also unblocks the signals that the guardian
    /// blocks for itself.
    pub fn from_stdin() -> Result<Self, Failure> {
        unblock_signals()?;
        let socket = UnixStream::from(stdin()?);
        socket.set_nonblocking(true).map_err(|error| broken(&error))?;
        // Should the guardian be dead already, the link says so.
        set_parent_process_death_signal(Some(Signal::TERM)).map_err(|error| broken(&error.into()))?;
        Ok(Self(socket))
    }

    /// Gives each new launch to `launcher`. Returns when the guardian is gone: then the
    /// server should end too. Must be called on the runtime.
    pub async fn launch_sockets(self, launcher: Launcher) -> io::Result<()> {
        let socket = tokio::net::UnixStream::from_std(self.0)?;
        let mut byte = [0];
        loop {
            let received = socket.async_io(Interest::READABLE, || wire_socket::try_receive(socket.as_fd(), &mut byte)).await?;
            match received {
                None => return Ok(()),
                Some((_, descriptors)) => {
                    for descriptor in descriptors {
                        launcher.replace(descriptor);
                    }
                }
            }
        }
    }
}

/// A started process inherits what the guardian blocks.
pub(super) fn unblock_signals() -> Result<(), Failure> {
    SigSet::empty().thread_set_mask().map_err(|error| broken(&error.into()))
}

/// The socket on stdin, as a descriptor of our own.
pub(super) fn stdin() -> Result<OwnedFd, Failure> {
    io::stdin().as_fd().try_clone_to_owned().map_err(|error| broken(&error))
}

fn broken(error: &io::Error) -> Failure {
    Failure::new(Kind::Usage, "guardian.no_link", "this command is started by paas itself")
        .why("it needs a socket of its guardian as stdin")
        .fix("run: paas server")
        .caused_by(error)
}
