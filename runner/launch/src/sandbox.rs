//! From a profile's name to the operations of its sandbox: a pure function, the same for
//! root and for everyone else.

mod furniture;

use shim::Operation;
use shim::notify::NOTIFY_SOCKET;
use shim::operation::Source;

use crate::host::HostCapabilities;
use crate::limits::{
    BUILD_TEMPORARY_BYTES, POSTGRES_SHARED_MEMORY_BYTES, ROOT_BYTES, SHARED_MEMORY_BYTES, SHARED_MEMORY_INODES, TEMPORARY_BYTES,
    TEMPORARY_INODES,
};
use crate::names::{FolderOwner, WipeSubject, is_name, is_sha256};
use crate::{LaunchError, Profile};

/// Where the new root is put together: an empty folder of the root folder.
pub const ASSEMBLY: &str = "sandbox";

/// What a profile works on, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Nothing.
    None,
    /// A slug.
    Slug(String),
    /// A build.
    Build(String),
    /// A folder to empty.
    Wipe(WipeSubject),
}

/// Whose sandbox, for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which.
    pub profile: Profile,
    /// Whose.
    pub app: u32,
    /// The run's folder, which names its writable layer.
    pub folder: String,
    /// What it works on.
    pub subject: Subject,
    /// The host name inside.
    pub hostname: String,
    /// The process id that the first one of the run comes after.
    pub last_pid: u32,
}

impl Subject {
    /// Reads the subject of a profile.
    pub fn parse(profile: Profile, text: Option<&str>) -> Result<Self, LaunchError> {
        match (profile, text) {
            (Profile::App | Profile::Unpack, Some(text)) if is_sha256(text) => Ok(Self::Slug(text.to_owned())),
            (Profile::Build, Some(text)) if is_name(text) => Ok(Self::Build(text.to_owned())),
            (Profile::Wipe, Some(text)) if text != "app" => Ok(Self::Wipe(WipeSubject::parse(text)?)),
            (Profile::Git | Profile::Export | Profile::Postgres | Profile::Router, None) => Ok(Self::None),
            (profile, text) => Err(LaunchError::refused(format!("{text:?} is no subject of {profile:?}"))),
        }
    }
}

impl Request {
    /// As whom the child runs.
    pub fn user(&self, host: &HostCapabilities) -> u32 {
        match &self.subject {
            Subject::Wipe(subject) => subject.owner(host.users, self.app),
            _ => host.users.of(self.profile, self.app).unwrap_or_else(|| host.users.run(self.app)),
        }
    }
}

/// The whole list.
pub fn operations(host: &HostCapabilities, request: &Request) -> Vec<Operation> {
    let user = request.user(host);
    let mut list = Vec::new();
    if !host.is_root {
        list.push(Operation::UserNamespace { uid: user, gid: user });
    }
    list.extend([
        Operation::Namespaces,
        Operation::Hostname(request.hostname.clone()),
        Operation::RootFolder(host.root.clone()),
        Operation::NewRoot { at: ASSEMBLY.to_owned(), bytes: ROOT_BYTES },
    ]);
    furniture::host_folders(&mut list, host);
    furniture::etc(&mut list, host, request, user);
    furniture::devices(&mut list, host);
    temporary(&mut list, request.profile);
    mounts(&mut list, host, request, user);
    list.push(Operation::ForkSupervisor);
    list.push(Operation::Proc { target: "proc".to_owned() });
    if request.profile == Profile::App {
        list.push(Operation::LastPid(request.last_pid));
        list.push(Operation::NotifySocket { path: NOTIFY_SOCKET.trim_start_matches('/').to_owned() });
    }
    list.extend([Operation::EnterRoot, Operation::ForkChild]);
    // The platform's own programs are not an app's to stop: what empties a bomb's folders
    // must not be refused because of the bomb.
    let tasks = matches!(request.profile, Profile::App | Profile::Build).then_some(host.app_tasks);
    drop_rights(&mut list, host, user, tasks);
    list
}

/// What a command inside a live run of an app goes through (profile Exec): the world is
/// there already, the rights are given up as by every process of the app.
pub fn joining(host: &HostCapabilities, app: u32) -> Vec<Operation> {
    let user = host.users.run(app);
    let enter = Operation::Enter { owner: user, user_namespace: !host.is_root };
    let mut list = vec![enter, Operation::ForkSupervisor, Operation::ForkChild];
    drop_rights(&mut list, host, user, Some(host.app_tasks));
    list
}

fn temporary(list: &mut Vec<Operation>, profile: Profile) {
    let bytes = if profile == Profile::Build { BUILD_TEMPORARY_BYTES } else { TEMPORARY_BYTES };
    list.push(Operation::Tmpfs { target: "tmp".to_owned(), mode: 0o1777, bytes, inodes: TEMPORARY_INODES });
    let bytes = if profile == Profile::Postgres { POSTGRES_SHARED_MEMORY_BYTES } else { SHARED_MEMORY_BYTES };
    list.push(Operation::Tmpfs { target: "dev/shm".to_owned(), mode: 0o1777, bytes, inodes: SHARED_MEMORY_INODES });
}

/// What the profile is about.
fn mounts(list: &mut Vec<Operation>, host: &HostCapabilities, request: &Request, user: u32) {
    let app = request.app;
    let owned = |path: String, target: &str, writable: bool| Operation::Bind {
        source: Source::Beneath { path, owner: user },
        target: target.to_owned(),
        writable,
        devices: false,
    };
    match (request.profile, &request.subject) {
        (Profile::App, Subject::Slug(slug)) => {
            list.push(Operation::Overlay {
                lower: format!("releases/{app}/{slug}"),
                upper: format!("layers/{app}/{}/upper", request.folder),
                work: format!("layers/{app}/{}/work", request.folder),
                owner: user,
                target: "app".to_owned(),
                user_attributes: !host.is_root,
            });
            list.push(owned(format!("data/{app}"), "data", true));
        }
        (Profile::Build, Subject::Build(build)) => {
            list.push(owned(format!("builds/{app}/{build}"), "app", true));
            list.push(owned(format!("cache/{app}"), "cache", true));
        }
        (Profile::Git, _) => list.push(owned(format!("repositories/{app}"), "repository", true)),
        (Profile::Export, _) => list.push(owned(format!("repositories/{app}"), "repository", false)),
        (Profile::Unpack, Subject::Slug(slug)) => {
            list.push(owned(format!("releases/{app}/{slug}"), "target", true));
        }
        (Profile::Wipe, Subject::Wipe(subject)) => {
            list.extend(subject.folder(app).map(|(path, owner)| Operation::Bind {
                source: Source::Beneath { path, owner: if owner == FolderOwner::User { user } else { platform_owner(host, user) } },
                target: "target".to_owned(),
                writable: true,
                devices: false,
            }));
            if let WipeSubject::LayerOver { slug, .. } = subject {
                list.push(owned(format!("releases/{app}/{slug}"), "lower", false));
                list.push(owned(format!("data/{app}"), "data", true));
            }
        }
        (Profile::Postgres, _) => {
            list.push(owned("postgres".to_owned(), "data", true));
            list.push(owned("postgres/socket".to_owned(), "run/postgresql", true));
        }
        (Profile::Router, _) => list.push(owned("logs/0/router".to_owned(), "logs", true)),
        _ => {}
    }
    if !matches!(request.profile, Profile::App | Profile::Postgres) {
        list.push(Operation::Bind {
            source: Source::Beneath { path: format!("libexec/{}", host.paas), owner: platform_owner(host, user) },
            target: "paas".to_owned(),
            writable: false,
            devices: false,
        });
    }
}

/// Who owns the platform's own folders, seen from inside.
fn platform_owner(host: &HostCapabilities, user: u32) -> u32 {
    if host.is_root { 0 } else { user }
}

fn drop_rights(list: &mut Vec<Operation>, host: &HostCapabilities, user: u32, tasks: Option<u64>) {
    list.push(Operation::LimitCore);
    if host.is_root {
        list.extend([Operation::DropBounding, Operation::ClearGroups, Operation::User { uid: user, gid: user }]);
    } else {
        list.extend([Operation::DropBounding, Operation::DropCapabilities]);
    }
    list.extend(tasks.map(Operation::LimitTasks));
    // Landlock rules and the seccomp filter of the child belong here.
    list.extend([Operation::NoNewPrivileges, Operation::Keep]);
    if host.is_root {
        let shim = host.users.shim();
        list.push(Operation::SupervisorUser { uid: shim, gid: shim });
    } else {
        list.push(Operation::DropCapabilities);
    }
    list.push(Operation::NoNewPrivileges);
}

#[cfg(test)]
mod tests;
