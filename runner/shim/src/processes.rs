//! Forks, ends and identities of processes.

#![expect(unsafe_code, reason = "fork has no safe form")]

use std::io;

use nix::unistd::{ForkResult, Pid, fork};
use rustix::process::WaitOptions;
use shim::{Ended, record};

use crate::failure::{Outcome, Step};

/// The bit of a raw status that says so.
const CORE_DUMPED: i32 = 0x80;

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

/// What came of looking for a process that has ended.
pub(crate) enum Reaped {
    /// This one had, and is gone now.
    Process(Pid, Ended),
    /// All that are left live.
    NotYet,
    /// None is left.
    NoneLeft,
}

/// Takes one process that has ended. Signals beyond 31 have numbers, no names.
pub(crate) fn reap() -> Reaped {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let pid = Pid::from_raw(pid.as_raw_nonzero().get());
                let core = status.as_raw() & CORE_DUMPED != 0;
                match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => return Reaped::Process(pid, Ended::Code(u8::try_from(code & 0xff).unwrap_or(u8::MAX))),
                    (None, Some(signal)) => return Reaped::Process(pid, Ended::Signal { signal, core }),
                    (None, None) => {}
                }
            }
            Ok(None) => return Reaped::NotYet,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Reaped::NoneLeft,
        }
    }
}

/// Gives back what only the start needed. What is kept beside each process counts as often
/// as there are processes.
pub(crate) fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: only returns pages to the kernel that hold nothing.
    unsafe {
        nix::libc::malloc_trim(0);
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
