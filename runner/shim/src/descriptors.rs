//! Descriptors by number: taken over from launch, put where the child expects them.

#![expect(unsafe_code, reason = "descriptors arrive as numbers and must land on numbers")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::libc;
use rustix::io::FdFlags;
use shim::limits::ASIDE_DESCRIPTOR;

use crate::failure::{Outcome, Step};

/// Takes over a descriptor that launch left open for us, and closes it on exec.
pub(crate) fn take(number: RawFd) -> Outcome<OwnedFd> {
    // SAFETY: launch made this process and named each number once; F_SETFD below
    // fails if it is not open.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    match rustix::io::fcntl_setfd(&descriptor, FdFlags::CLOEXEC) {
        Ok(()) => Ok(descriptor),
        Err(error) => {
            std::mem::forget(descriptor);
            Err(error).step("take over a descriptor")
        }
    }
}

/// Closes everything that was not handed to us on purpose: a descriptor that leaked into
/// the supervisor would stay open as long as the run.
pub(crate) fn close_others(mut kept: Vec<RawFd>) -> Outcome {
    kept.extend([0, 1, 2]);
    kept.sort_unstable();
    let mut first = 0;
    for number in kept {
        if number > first {
            close_range(first, number - 1).step("close what was not handed over")?;
        }
        first = number + 1;
    }
    close_range(first, RawFd::MAX).step("close what was not handed over")
}

fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: nothing of these numbers is owned by anything yet.
    if unsafe { libc::close_range(first.cast_unsigned(), last.cast_unsigned(), 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Puts the descriptors on 0, 1, 2, … in their order, and closes all others on exec.
pub(crate) fn arrange(wanted: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut aside = Vec::with_capacity(wanted.len());
    for descriptor in wanted {
        // First out of the way, so that no target is a source that is still needed.
        aside.push(rustix::io::fcntl_dupfd_cloexec(descriptor, ASIDE_DESCRIPTOR)?);
    }
    for (target, descriptor) in (0..).zip(&aside) {
        // SAFETY: duplicates onto a number whose owner is not used any more: only exec follows.
        if unsafe { libc::dup2(descriptor.as_raw_fd(), target) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let first = u32::try_from(wanted.len()).map_err(io::Error::other)?;
    let close_on_exec = libc::c_int::try_from(libc::CLOSE_RANGE_CLOEXEC).map_err(io::Error::other)?;
    // SAFETY: only marks descriptors, closes none.
    if unsafe { libc::close_range(first, u32::MAX, close_on_exec) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
