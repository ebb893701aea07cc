//! Users, groups, capabilities: given up here, never gained.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;

use nix::unistd::{Gid, Uid, setfsgid, setfsuid, setgroups, setresgid, setresuid};
use rustix::process::{DumpableBehavior, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::failure::{Failure, Outcome, Step};

/// Capabilities are counted up to here; the kernel says which of them it knows.
const CAPABILITIES_MAX: u32 = 64;

pub(crate) fn clear_groups() -> Outcome {
    setgroups(&[]).step("give up supplementary groups")
}

pub(crate) fn change_user(uid: u32, gid: u32) -> Outcome {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setresgid(gid, gid, gid).step("change the group")?;
    setresuid(uid, uid, uid).step("change the user")
}

pub(crate) fn drop_bounding() -> Outcome {
    for number in 0..CAPABILITIES_MAX {
        let Some(capability) = CapabilitySet::from_bits(1 << number) else { continue };
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error).step("empty the bounding set"),
        }
    }
    Ok(())
}

pub(crate) fn drop_capabilities() -> Outcome {
    keep_only(CapabilitySet::empty())
}

pub(crate) fn no_new_privileges() -> Outcome {
    rustix::thread::set_no_new_privs(true).step("set no_new_privs")
}

/// Becomes the supervisor: another user than the child, with the right to signal it.
pub(crate) fn become_supervisor(uid: u32, gid: u32) -> Outcome {
    rustix::thread::set_keep_capabilities(true).step("keep capabilities over the change of user")?;
    clear_groups()?;
    change_user(uid, gid)?;
    rustix::thread::set_keep_capabilities(false).step("keep capabilities no longer")?;
    keep_only(CapabilitySet::KILL)
}

/// Nobody reads this process's memory or takes its descriptors.
pub(crate) fn hide() -> Outcome {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("hide the supervisor's memory")
}

/// Runs something as this user for the file system alone, with all other rights.
pub(crate) fn with_file_user<T>(id: u32, run: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    // Both return the previous value and never fail; what they did is seen by asking again.
    let group = setfsgid(Gid::from_raw(id));
    let user = setfsuid(Uid::from_raw(id));
    let mut sets = rustix::thread::capabilities(None).step("read capabilities")?;
    sets.effective = sets.permitted;
    rustix::thread::set_capabilities(None, sets).step("raise capabilities for a mount")?;
    let result = run();
    setfsuid(user);
    setfsgid(group);
    result
}

fn keep_only(set: CapabilitySet) -> Outcome {
    let sets = CapabilitySets { effective: set, permitted: set, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).step("give up capabilities")
}

/// `shim signal N`: to the pidfd on stdin, with whatever rights this user has.
pub(crate) fn signal_stdin(number: &str) -> Outcome {
    let signal = number.parse().ok().and_then(Signal::from_named_raw);
    let signal = signal.ok_or_else(|| Failure::invalid("signal", "not a signal"))?;
    rustix::process::pidfd_send_signal(io::stdin().as_fd(), signal).step("send a signal")
}

/// `shim become UID GID GROUPS PROGRAM …`: the groups are joined by commas.
pub(crate) fn become_user(uid: &str, gid: &str, groups: &str, program: &[String]) -> Outcome {
    let number = |word: &str| word.parse::<u32>().map_err(|error| Failure::invalid("a user or group", error));
    let groups = groups.split(',').map(|word| number(word).map(Gid::from_raw)).collect::<Outcome<Vec<_>>>()?;
    setgroups(&groups).step("set supplementary groups")?;
    change_user(number(uid)?, number(gid)?)?;
    no_new_privileges()?;
    let words = program.iter().map(|word| CString::new(word.as_str())).collect::<Result<Vec<_>, _>>();
    let words = words.map_err(|error| Failure::invalid("arguments", error))?;
    let first = words.first().ok_or_else(|| Failure::invalid("become", "no program"))?;
    match nix::unistd::execv(first, &words) {
        Err(error) => Err(error).step("execute"),
    }
}
