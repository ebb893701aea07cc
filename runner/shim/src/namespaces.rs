//! Namespaces: the user's own first, where the caller is not root.

use std::fs;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::failure::{Outcome, Step};

/// A user namespace in which the caller alone is mapped, never to 0: the files of the
/// sandbox then have one owner inside and out.
pub(crate) fn enter_user(uid: u32, gid: u32) -> Outcome {
    let (outer_uid, outer_gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).step("make a user namespace")?;
    fs::write("/proc/self/setgroups", "deny").step("give up setgroups")?;
    fs::write("/proc/self/uid_map", format!("{uid} {outer_uid} 1")).step("map the user")?;
    fs::write("/proc/self/gid_map", format!("{gid} {outer_gid} 1")).step("map the group")
}

/// Mount, IPC, UTS and PID namespaces. Mounts become slaves: private ones would keep
/// disks busy that the host unmounts.
pub(crate) fn enter_others() -> Outcome {
    let flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWPID;
    unshare(flags).step("make mount, IPC, UTS and PID namespaces")?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none).step("make the host's mounts slaves")
}

/// Whether this caller may make what a sandbox needs.
pub(crate) fn probe() -> Outcome {
    let uid = geteuid().as_raw();
    if uid != 0 {
        enter_user(uid, getegid().as_raw())?;
    }
    enter_others()
}
