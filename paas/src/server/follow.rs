//! Followers of log folders as tokio waits for them.

use std::io;

use logs::reader::Follower;
use tokio::io::unix::AsyncFd;

/// A follower whose news can be awaited.
#[expect(deprecated, reason = "a follower owns its descriptor until it is dropped; the successor of `new` is unsafe")]
pub fn watch(follower: Follower) -> io::Result<AsyncFd<Follower>> {
    AsyncFd::new(follower)
}
