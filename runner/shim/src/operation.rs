//! The operations that make a sandbox, as data: launch computes them, the shim applies
//! them in their order and refuses a list with one that it does not know.
//!
//! ```text
//! stage 0: SetSession? UserNamespace? Namespaces RootFolder NewRoot Directory* Bind* …
//! ── ForkSupervisor ── PID 1: Proc LastPid? NotifySocket? EnterRoot
//! ── ForkChild ──────── child: LimitCore … User LimitTasks? NoNewPrivileges, then the spec
//! ── Keep ───────────── PID 1 again: SupervisorUser, then reap, log, stop
//! ```
//! A command inside a live run has `Enter` in the place of everything before the forks.

mod decode;
mod display;

use crate::limits::{OPERATIONS_BYTES_MAX, OPERATIONS_MAX};
use crate::wire::{Encoder, Fields, Malformed};

/// What a bind mount shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path beneath the root folder, opened without following links; its owner is
    /// checked, so that nobody can put something else in its place.
    Beneath {
        /// Relative to the root folder.
        path: String,
        /// The user id that must own it, as seen inside the sandbox's user namespace.
        owner: u32,
    },
    /// A path of the host that launch itself chose.
    Host {
        /// Absolute.
        path: String,
    },
}

/// One step. Paths inside the sandbox are relative to its root: `etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A user namespace in which the caller alone is mapped, to these ids.
    UserNamespace {
        /// User id inside.
        uid: u32,
        /// Group id inside.
        gid: u32,
    },
    /// Mount, IPC, UTS and PID namespaces; host mounts become slaves.
    Namespaces,
    /// The host name.
    Hostname(String),
    /// Opens the root folder, which all `Beneath` sources are relative to.
    RootFolder(String),
    /// Mounts the tmpfs that becomes the new root, and goes there.
    NewRoot {
        /// An empty folder beneath the root folder.
        at: String,
        /// Its size in bytes.
        bytes: u64,
    },
    /// A folder and all its missing parents (which get mode 0755).
    Directory {
        /// Where.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// A symbolic link.
    Symlink {
        /// Where.
        path: String,
        /// What it says.
        target: String,
    },
    /// A file with its contents.
    File {
        /// Where.
        path: String,
        /// Its contents.
        contents: Vec<u8>,
    },
    /// A bind mount, recursive, without set-uid programs; the target is made.
    Bind {
        /// What is shown.
        source: Source,
        /// Where.
        target: String,
        /// Whether it can be written.
        writable: bool,
        /// Whether device files work.
        devices: bool,
    },
    /// A writable layer over a read-only folder; all three lie beneath the root folder.
    Overlay {
        /// The folder below.
        lower: String,
        /// What is written.
        upper: String,
        /// The kernel's own corner.
        work: String,
        /// Who owns all three, and as whom it is mounted.
        owner: u32,
        /// Where.
        target: String,
        /// Attributes that work in a user namespace.
        user_attributes: bool,
    },
    /// A tmpfs.
    Tmpfs {
        /// Where.
        target: String,
        /// Mode of its root.
        mode: u32,
        /// Size in bytes.
        bytes: u64,
        /// Most files.
        inodes: u64,
    },
    /// A devpts of its own.
    Terminals {
        /// Where.
        target: String,
    },
    /// The fork of PID 1, which does the rest.
    ForkSupervisor,
    /// A proc of its own.
    Proc {
        /// Where.
        target: String,
    },
    /// The last process id that was given out, where the kernel takes it.
    LastPid(u32),
    /// Makes the new root the root, read-only, and lets the old one go.
    EnterRoot,
    /// The fork of the child, which does what stands before `Keep`.
    ForkChild,
    /// No core dumps: 1 byte, since 0 still feeds pipe handlers.
    LimitCore,
    /// Most processes and threads of the user at a time, in the run's user namespace. Stands
    /// behind `User`: a user who has that many already could not execute anything otherwise,
    /// and a start that fails says less than a program that cannot fork.
    LimitTasks(u64),
    /// Empties the bounding set.
    DropBounding,
    /// No supplementary groups.
    ClearGroups,
    /// The user and group, real, effective and saved.
    User {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
    /// Gives up every capability.
    DropCapabilities,
    /// Nothing that is executed gains rights.
    NoNewPrivileges,
    /// From here on PID 1 alone.
    Keep,
    /// The supervisor's user and group, keeping nothing but the right to signal.
    SupervisorUser {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
    /// Enters the namespaces of a live run instead of making some: stage 0 of `shim join`.
    Enter {
        /// Who must own `/app` in there.
        owner: u32,
        /// Whether the run has a user namespace of its own.
        user_namespace: bool,
    },
    /// A socket on which the processes of the run say how they are; the supervisor keeps it.
    NotifySocket {
        /// Where.
        path: String,
    },
}

pub(crate) mod code {
    pub(crate) const USER_NAMESPACE: u16 = 1;
    pub(crate) const NAMESPACES: u16 = 2;
    pub(crate) const HOSTNAME: u16 = 3;
    pub(crate) const ROOT_FOLDER: u16 = 4;
    pub(crate) const NEW_ROOT: u16 = 5;
    pub(crate) const DIRECTORY: u16 = 6;
    pub(crate) const SYMLINK: u16 = 7;
    pub(crate) const FILE: u16 = 8;
    pub(crate) const BIND: u16 = 9;
    pub(crate) const OVERLAY: u16 = 10;
    pub(crate) const TMPFS: u16 = 11;
    pub(crate) const TERMINALS: u16 = 12;
    pub(crate) const FORK_SUPERVISOR: u16 = 13;
    pub(crate) const PROC: u16 = 14;
    pub(crate) const LAST_PID: u16 = 15;
    pub(crate) const ENTER_ROOT: u16 = 16;
    pub(crate) const FORK_CHILD: u16 = 17;
    pub(crate) const LIMIT_CORE: u16 = 18;
    pub(crate) const DROP_BOUNDING: u16 = 19;
    pub(crate) const CLEAR_GROUPS: u16 = 20;
    pub(crate) const USER: u16 = 21;
    pub(crate) const DROP_CAPABILITIES: u16 = 22;
    pub(crate) const NO_NEW_PRIVILEGES: u16 = 23;
    pub(crate) const KEEP: u16 = 24;
    pub(crate) const SUPERVISOR_USER: u16 = 25;
    pub(crate) const ENTER: u16 = 26;
    pub(crate) const NOTIFY_SOCKET: u16 = 27;
    pub(crate) const LIMIT_TASKS: u16 = 28;
}

pub(crate) mod part {
    pub(crate) const TARGET: u16 = 1;
    pub(crate) const HOST: u16 = 2;
    pub(crate) const BENEATH: u16 = 3;
    pub(crate) const CONTENTS: u16 = 4;
    pub(crate) const UPPER: u16 = 5;
    pub(crate) const WORK: u16 = 6;
    pub(crate) const UID: u16 = 7;
    pub(crate) const GID: u16 = 8;
    pub(crate) const MODE: u16 = 9;
    pub(crate) const BYTES: u16 = 10;
    pub(crate) const INODES: u16 = 11;
    pub(crate) const WRITABLE: u16 = 12;
    pub(crate) const DEVICES: u16 = 13;
    pub(crate) const USER_ATTRIBUTES: u16 = 14;
    pub(crate) const NUMBER: u16 = 15;
    pub(crate) const USER_NAMESPACE: u16 = 16;
}

/// The durable form of a list.
pub fn encode(operations: &[Operation]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    for operation in operations {
        let (code, body) = operation.parts();
        encoder = encoder.bytes(code, &body.finish());
    }
    encoder.finish()
}

/// Reads a list; one operation that is not known, or a field of one, refuses it all.
pub fn decode(bytes: &[u8]) -> Result<Vec<Operation>, Malformed> {
    if bytes.len() > OPERATIONS_BYTES_MAX {
        return Err(Malformed::TooMuch);
    }
    let mut operations = Vec::new();
    for field in Fields::new(bytes) {
        let field = field?;
        if operations.len() == OPERATIONS_MAX {
            return Err(Malformed::TooMuch);
        }
        operations.push(decode::operation(field.tag, field.bytes)?);
    }
    Ok(operations)
}

impl Operation {
    fn parts(&self) -> (u16, Encoder) {
        let body = Encoder::default();
        let text = |tag, text: &str| Encoder::default().bytes(tag, text.as_bytes());
        match self {
            Self::UserNamespace { uid, gid } => (code::USER_NAMESPACE, ids(*uid, *gid)),
            Self::Namespaces => (code::NAMESPACES, body),
            Self::Hostname(name) => (code::HOSTNAME, text(part::TARGET, name)),
            Self::RootFolder(path) => (code::ROOT_FOLDER, text(part::TARGET, path)),
            Self::NewRoot { at, bytes } => (code::NEW_ROOT, text(part::TARGET, at).number(part::BYTES, *bytes)),
            Self::Directory { path, mode } => (code::DIRECTORY, text(part::TARGET, path).number(part::MODE, (*mode).into())),
            Self::Symlink { path, target } => (code::SYMLINK, text(part::TARGET, path).bytes(part::CONTENTS, target.as_bytes())),
            Self::File { path, contents } => (code::FILE, text(part::TARGET, path).bytes(part::CONTENTS, contents)),
            Self::Bind { source, target, writable, devices } => (
                code::BIND,
                source.put(text(part::TARGET, target)).number(part::WRITABLE, (*writable).into()).number(part::DEVICES, (*devices).into()),
            ),
            Self::Overlay { lower, upper, work, owner, target, user_attributes } => (
                code::OVERLAY,
                text(part::TARGET, target)
                    .bytes(part::BENEATH, lower.as_bytes())
                    .bytes(part::UPPER, upper.as_bytes())
                    .bytes(part::WORK, work.as_bytes())
                    .number(part::UID, (*owner).into())
                    .number(part::USER_ATTRIBUTES, (*user_attributes).into()),
            ),
            Self::Tmpfs { target, mode, bytes, inodes } => (
                code::TMPFS,
                text(part::TARGET, target).number(part::MODE, (*mode).into()).number(part::BYTES, *bytes).number(part::INODES, *inodes),
            ),
            Self::Terminals { target } => (code::TERMINALS, text(part::TARGET, target)),
            Self::ForkSupervisor => (code::FORK_SUPERVISOR, body),
            Self::Proc { target } => (code::PROC, text(part::TARGET, target)),
            Self::LastPid(number) => (code::LAST_PID, body.number(part::NUMBER, (*number).into())),
            Self::EnterRoot => (code::ENTER_ROOT, body),
            Self::ForkChild => (code::FORK_CHILD, body),
            Self::LimitCore => (code::LIMIT_CORE, body),
            Self::LimitTasks(most) => (code::LIMIT_TASKS, body.number(part::NUMBER, *most)),
            Self::DropBounding => (code::DROP_BOUNDING, body),
            Self::ClearGroups => (code::CLEAR_GROUPS, body),
            Self::User { uid, gid } => (code::USER, ids(*uid, *gid)),
            Self::DropCapabilities => (code::DROP_CAPABILITIES, body),
            Self::NoNewPrivileges => (code::NO_NEW_PRIVILEGES, body),
            Self::Keep => (code::KEEP, body),
            Self::SupervisorUser { uid, gid } => (code::SUPERVISOR_USER, ids(*uid, *gid)),
            Self::NotifySocket { path } => (code::NOTIFY_SOCKET, text(part::TARGET, path)),
            Self::Enter { owner, user_namespace } => {
                (code::ENTER, body.number(part::UID, (*owner).into()).number(part::USER_NAMESPACE, (*user_namespace).into()))
            }
        }
    }
}

impl Source {
    fn put(&self, body: Encoder) -> Encoder {
        match self {
            Self::Beneath { path, owner } => body.bytes(part::BENEATH, path.as_bytes()).number(part::UID, (*owner).into()),
            Self::Host { path } => body.bytes(part::HOST, path.as_bytes()),
        }
    }
}

fn ids(uid: u32, gid: u32) -> Encoder {
    Encoder::default().number(part::UID, uid.into()).number(part::GID, gid.into())
}
