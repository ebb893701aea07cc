//! Signals as something to wait for, so that a Ctrl-C is an event like any other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Some signals, held back from this thread while this lives.
#[derive(Debug)]
pub struct Interrupts {
    signals: SignalFd,
    before: SigSet,
}

impl Interrupts {
    /// Takes these signals over.
    pub fn take(wanted: &[Signal]) -> io::Result<Self> {
        let set: SigSet = wanted.iter().copied().collect();
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { signals, before })
    }

    /// The next signal that came, if one did.
    pub fn next(&self) -> Option<i32> {
        self.signals.read_signal().ok().flatten().and_then(|info| i32::try_from(info.ssi_signo).ok())
    }
}

impl AsFd for Interrupts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // A second Ctrl-C that is still waiting ends us here, as it should.
        let _ = self.before.thread_set_mask();
    }
}
