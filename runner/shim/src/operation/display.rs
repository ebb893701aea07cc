//! Operations as people read them: in snapshots and in the step of a failure.

use std::fmt;

use super::{Operation, Source};

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beneath { path, owner } => write!(f, "ROOT/{path} (of {owner})"),
            Self::Host { path } => f.write_str(path),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserNamespace { uid, gid } => write!(f, "user namespace as {uid}:{gid}"),
            Self::Namespaces => f.write_str("mount, ipc, uts and pid namespaces"),
            Self::Hostname(name) => write!(f, "host name {name}"),
            Self::RootFolder(path) => write!(f, "open root folder {path}"),
            Self::NewRoot { at, bytes } => write!(f, "new root at ROOT/{at}, {bytes} bytes"),
            Self::Directory { path, mode } => write!(f, "folder /{path} {mode:04o}"),
            Self::Symlink { path, target } => write!(f, "link /{path} -> {target}"),
            Self::File { path, contents } => write!(f, "file /{path}, {} bytes", contents.len()),
            Self::Bind { source, target, writable, devices } => {
                let access = if *writable { "rw" } else { "ro" };
                write!(f, "bind {source} at /{target} {access}{}", if *devices { " dev" } else { "" })
            }
            Self::Overlay { lower, upper, owner, target, user_attributes, .. } => {
                let attributes = if *user_attributes { " userxattr" } else { "" };
                write!(f, "overlay ROOT/{lower} + ROOT/{upper} (of {owner}) at /{target}{attributes}")
            }
            Self::Tmpfs { target, mode, bytes, inodes } => {
                write!(f, "tmpfs at /{target} {mode:04o}, {bytes} bytes, {inodes} files")
            }
            Self::Terminals { target } => write!(f, "devpts at /{target}"),
            Self::ForkSupervisor => f.write_str("-- fork the supervisor"),
            Self::Proc { target } => write!(f, "proc at /{target}"),
            Self::LastPid(number) => write!(f, "last process id {number}"),
            Self::EnterRoot => f.write_str("enter the new root, read-only"),
            Self::ForkChild => f.write_str("-- fork the child"),
            Self::LimitCore => f.write_str("no core dumps"),
            Self::LimitTasks(most) => write!(f, "at most {most} processes and threads"),
            Self::DropBounding => f.write_str("empty the bounding set"),
            Self::ClearGroups => f.write_str("no supplementary groups"),
            Self::User { uid, gid } => write!(f, "user {uid}:{gid}"),
            Self::DropCapabilities => f.write_str("no capabilities"),
            Self::NoNewPrivileges => f.write_str("no new privileges"),
            Self::Keep => f.write_str("-- keep"),
            Self::SupervisorUser { uid, gid } => write!(f, "supervisor {uid}:{gid} with CAP_KILL"),
            Self::NotifySocket { path } => write!(f, "notify socket at /{path}"),
            Self::Enter { owner, user_namespace } => {
                let user = if *user_namespace { "user, " } else { "" };
                write!(f, "enter the {user}mount, ipc, uts and pid namespaces of a run (/app of {owner})")
            }
        }
    }
}
