//! Descriptors watched by the runtime.

#![expect(unsafe_code, reason = "tokio cannot see that an owned descriptor stays the same")]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches a socket. Must be called on the runtime.
pub(super) fn watch_socket(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    watch(socket, Interest::READABLE | Interest::WRITABLE)
}

/// Watches a pidfd, which is readable once its process has ended.
pub(super) fn watch_pidfd(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    watch(pidfd, Interest::READABLE)
}

fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, and its number stays the same as long as it lives.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, interest) }?)
}
