//! Mounts of the sandbox. Everything is opened after the mount namespace was made
//! (what was opened before belongs to the other one and cannot be mounted), beneath the
//! root folder without following links, and its owner is looked at.

#![expect(unsafe_code, reason = "mount_setattr has no wrapper")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags};
use shim::operation::Source;

use crate::failure::{Failure, Outcome, Step};
use crate::{files, privileges};

const NOTHING: Option<&str> = None;

/// Opens the root folder, whose ancestors whoever started the server has judged.
pub(crate) fn open_root_folder(path: &str) -> Outcome<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).step("open the root folder")
}

/// Mounts the tmpfs that becomes the root, and goes there.
pub(crate) fn new_root(root_folder: BorrowedFd<'_>, at: &str, bytes: u64) -> Outcome {
    let place = open_beneath(root_folder, at)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let options = format!("size={bytes},mode=0755");
    mount(Some("tmpfs"), link(&place).as_str(), Some("tmpfs"), flags, Some(options.as_str())).step("mount the new root")?;
    // The descriptor is still below the mount: the name leads on top of it.
    let place = open_beneath(root_folder, at)?;
    rustix::process::fchdir(&place).step("enter the new root")
}

/// Shows a part of the host.
pub(crate) fn bind(root_folder: Option<BorrowedFd<'_>>, source: &Source, target: &str, writable: bool, devices: bool) -> Outcome {
    let name = source.to_string();
    let opened = match source {
        Source::Host { path } => rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).step(&name)?,
        Source::Beneath { path, owner } => open_owned(root_folder, path, *owner)?,
    };
    let is_folder = FileType::from_raw_mode(rustix::fs::fstat(&opened).step(&name)?.st_mode) == FileType::Directory;
    if is_folder {
        files::make_folders(target, 0o755).step(target)?;
    } else {
        files::make_file(target, b"").step(target)?;
    }
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(&opened, c"", flags).step(&format!("bind {name}"))?;
    restrict(tree.as_fd(), writable, devices).step(&format!("restrict {name}"))?;
    rustix::mount::move_mount(&tree, c"", rustix::fs::CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .step(&format!("bind {name} at /{target}"))
}

/// A writable layer over a read-only folder, mounted as its owner: the kernel's own files
/// in it then belong to the owner too, who can remove them later.
pub(crate) struct Layers<'a> {
    pub(crate) lower: &'a str,
    pub(crate) upper: &'a str,
    pub(crate) work: &'a str,
    pub(crate) owner: u32,
    pub(crate) user_attributes: bool,
}

pub(crate) fn overlay(root_folder: Option<BorrowedFd<'_>>, layers: &Layers<'_>, target: &str) -> Outcome {
    let lower = open_owned(root_folder, layers.lower, layers.owner)?;
    let upper = open_owned(root_folder, layers.upper, layers.owner)?;
    let work = open_owned(root_folder, layers.work, layers.owner)?;
    files::make_folders(target, 0o755).step(target)?;
    let attributes = if layers.user_attributes { ",userxattr" } else { "" };
    let options = format!("lowerdir={},upperdir={},workdir={}{attributes}", link(&lower), link(&upper), link(&work));
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    privileges::with_file_user(layers.owner, || {
        mount(Some("overlay"), target, Some("overlay"), flags, Some(options.as_str())).step("mount the writable layer")
    })
}

pub(crate) fn tmpfs(target: &str, mode: u32, bytes: u64, inodes: u64) -> Outcome {
    files::make_folders(target, 0o755).step(target)?;
    let options = format!("size={bytes},nr_inodes={inodes},mode={mode:04o}");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some(options.as_str())).step("mount a tmpfs")
}

pub(crate) fn terminals(target: &str) -> Outcome {
    files::make_folders(target, 0o755).step(target)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(Some("devpts"), target, Some("devpts"), flags, Some("newinstance,ptmxmode=0666,mode=0620")).step("mount a devpts")
}

/// Must come before the old root goes: in a user namespace the kernel wants to see a
/// whole proc first.
pub(crate) fn proc(target: &str) -> Outcome {
    files::make_folders(target, 0o755).step(target)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), target, Some("proc"), flags, NOTHING).step("mount proc")
}

/// Makes the working directory the root and lets the old one go.
pub(crate) fn enter_root() -> Outcome {
    nix::unistd::pivot_root(".", ".").step("change the root")?;
    umount2(".", MntFlags::MNT_DETACH).step("let the old root go")?;
    rustix::process::chdir("/").step("enter the root")?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open("/", flags, Mode::empty()).step("open the root")?;
    set_attributes(root.as_fd(), libc::MOUNT_ATTR_RDONLY, 0).step("make the root read-only")
}

fn restrict(tree: BorrowedFd<'_>, writable: bool, devices: bool) -> io::Result<()> {
    let mut set = libc::MOUNT_ATTR_NOSUID;
    if !writable {
        set |= libc::MOUNT_ATTR_RDONLY;
    }
    if !devices {
        set |= libc::MOUNT_ATTR_NODEV;
    }
    set_attributes(tree, set, libc::AT_RECURSIVE)
}

fn set_attributes(mount: BorrowedFd<'_>, set: u64, flags: libc::c_int) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is an empty C string and the structure outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn open_owned(root_folder: Option<BorrowedFd<'_>>, path: &str, owner: u32) -> Outcome<OwnedFd> {
    let root_folder = root_folder.ok_or_else(|| Failure::invalid(path, "no root folder was named before it"))?;
    let opened = open_beneath(root_folder, path)?;
    let found = rustix::fs::fstat(&opened).step(path)?.st_uid;
    if found == owner { Ok(opened) } else { Err(Failure::invalid(path, format!("it belongs to user {found}, not to {owner}"))) }
}

fn open_beneath(root_folder: BorrowedFd<'_>, path: &str) -> Outcome<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root_folder, path, flags, Mode::empty(), resolve).step(path)
}

/// The name of an open file that no rename can change.
fn link(descriptor: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}
