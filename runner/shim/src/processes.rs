//! Forks, ends and identities of processes.

#![expect(unsafe_code, reason = "fork has no safe form")]

use std::io;

use nix::unistd::{ForkResult, Pid, fork};
use shim::record;

use crate::failure::{Outcome, Step};

/// Which side of a fork this is.
pub(crate) enum Fork {
    Parent(Pid),
    Child,
}

/// Forks. This program has no threads, so the child may do anything.
pub(crate) fn split(step: &str) -> Outcome<Fork> {
    // SAFETY: single-threaded by construction: no thread is ever started here.
    match unsafe { fork() }.step(step)? {
        ForkResult::Parent { child } => Ok(Fork::Parent(child)),
        ForkResult::Child => Ok(Fork::Child),
    }
}

/// Who this process is for the host: read before the old root goes.
pub(crate) struct HostIdentity {
    pub(crate) pid: u32,
    pub(crate) start_ticks: u64,
    pub(crate) boot_id: String,
}

impl HostIdentity {
    /// Through the host's own proc, whose `self` is this process as the host counts it.
    pub(crate) fn read() -> io::Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let missing = || io::Error::from(io::ErrorKind::InvalidData);
        let pid = stat.split(' ').next().and_then(|word| word.parse().ok()).ok_or_else(missing)?;
        Ok(Self { pid, start_ticks: record::start_ticks(&stat).ok_or_else(missing)?, boot_id: record::boot_id()? })
    }
}
