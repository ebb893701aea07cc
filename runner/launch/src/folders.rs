//! Folders beneath the root folder and their owners. Everything is opened beneath it
//! without following links, and only what is fresh and empty changes its owner: by
//! descriptor, never by name.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::unistd::{Gid, Uid};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags};

use crate::names::WipeSubject;
use crate::sandbox::ASSEMBLY;
use crate::{LaunchError, Step, Users};

/// The root folder, opened once.
#[derive(Debug)]
pub struct RootFolder {
    descriptor: OwnedFd,
    users: Users,
    is_root: bool,
}

/// Who owns a folder, in root mode.
#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl RootFolder {
    /// Opens the root folder, which must exist.
    pub fn open(path: &Path, users: Users, is_root: bool) -> Result<Self, LaunchError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = rustix::fs::open(path, flags, Mode::empty()).step("open the root folder")?;
        Ok(Self { descriptor, users, is_root })
    }

    /// Makes the folders that every root folder has. Idempotent.
    pub fn make_layout(&self) -> Result<(), LaunchError> {
        let paasd = self.users.paasd();
        let of_root = |mode| Owner { uid: 0, gid: 0, mode };
        let of_server = |mode| Owner { uid: paasd, gid: paasd, mode };
        for name in ["repositories", "layers", "data", "cache", "builds", "releases", ASSEMBLY] {
            self.make(name, of_root(0o711))?;
        }
        for name in ["libexec", "ssh"] {
            self.make(name, of_root(0o755))?;
        }
        for name in ["store", "keys", "slugs"] {
            self.make(name, of_server(0o700))?;
        }
        for name in ["sockets", "runs", "logs"] {
            self.make(name, of_server(0o711))?;
        }
        Ok(())
    }

    /// Makes the folders of an app, or of the platform for 0. Idempotent.
    pub fn prepare_app(&self, app: u32) -> Result<(), LaunchError> {
        let users = self.users;
        let of = |id, mode| Owner { uid: id, gid: id, mode };
        // Shims write in the folders below that are given to them, not beside those.
        let kept = Owner { uid: users.paasd(), gid: users.shim(), mode: 0o2750 };
        self.make(&format!("runs/{app}"), kept)?;
        self.make(&format!("logs/{app}"), kept)?;
        if app == 0 {
            self.make("logs/0/router", Owner { uid: users.router(), gid: users.shim(), mode: 0o2770 })?;
            // The server goes through both to the socket; the cluster itself lies deeper, for its user alone.
            self.make("postgres", of(users.postgres(), 0o711))?;
            self.make("postgres/socket", of(users.postgres(), 0o711))?;
            return Ok(());
        }
        for name in ["builds", "layers"] {
            self.make(&format!("{name}/{app}"), of(0, 0o755))?;
        }
        // The server notes here which ones are whole.
        self.make(&format!("releases/{app}"), of(users.paasd(), 0o755))?;
        self.make(&format!("repositories/{app}"), of(users.git(app), 0o700))?;
        self.make(&format!("cache/{app}"), of(users.build(app), 0o700))?;
        self.make(&format!("data/{app}"), of(users.run(app), 0o700))?;
        Ok(())
    }

    /// The writable layer of a run.
    pub(crate) fn make_layer(&self, app: u32, folder: &str) -> Result<(), LaunchError> {
        let parent = format!("layers/{app}/{folder}");
        self.make(&parent, Owner { uid: 0, gid: 0, mode: 0o755 })?;
        let run = self.users.run(app);
        for name in ["upper", "work"] {
            let made = self.make(&format!("{parent}/{name}"), Owner { uid: run, gid: run, mode: 0o700 })?;
            refuse_unless_empty(&made, &parent)?;
        }
        Ok(())
    }

    /// The folder that a slug is unpacked into.
    pub(crate) fn make_release(&self, app: u32, slug: &str) -> Result<(), LaunchError> {
        let path = format!("releases/{app}/{slug}");
        let run = self.users.run(app);
        let made = self.make(&path, Owner { uid: run, gid: run, mode: 0o700 })?;
        refuse_unless_empty(&made, &path)
    }

    /// The folder of a build.
    pub(crate) fn make_build(&self, app: u32, build: &str) -> Result<(), LaunchError> {
        let id = self.users.build(app);
        self.make(&format!("builds/{app}/{build}"), Owner { uid: id, gid: id, mode: 0o700 }).map(drop)
    }

    /// Removes what a wipe has emptied; a folder that is not empty is an error.
    pub(crate) fn remove(&self, app: u32, subject: &WipeSubject) -> Result<(), LaunchError> {
        let Some((path, _)) = subject.folder(app) else {
            for name in ["layers", "builds", "releases"] {
                self.remove_folder(&format!("{name}/{app}"))?;
            }
            return Ok(());
        };
        match subject {
            WipeSubject::Layer(_) | WipeSubject::LayerOver { .. } => self.remove_layer(&path),
            _ => self.remove_folder(&path),
        }
    }

    fn remove_layer(&self, path: &str) -> Result<(), LaunchError> {
        self.remove_folder(&format!("{path}/upper"))?;
        self.remove_folder(&format!("{path}/work"))?;
        self.remove_folder(path)
    }

    fn remove_folder(&self, path: &str) -> Result<(), LaunchError> {
        let (parent, name) = split(path);
        let parent = match self.open_folder(parent) {
            Err(LaunchError::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
            parent => parent?,
        };
        match rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error).step(&format!("remove {path}")),
        }
    }

    /// A folder with this owner: what is fresh is given to it, what is there must have it.
    fn make(&self, path: &str, owner: Owner) -> Result<OwnedFd, LaunchError> {
        let (parent, name) = split(path);
        let parent = self.open_folder(parent)?;
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error).step(&format!("make {path}")),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&parent, name, flags, Mode::empty()).step(&format!("open {path}"))?;
        self.give(&folder, path, owner)?;
        Ok(folder)
    }

    fn give(&self, folder: &OwnedFd, path: &str, owner: Owner) -> Result<(), LaunchError> {
        let found = rustix::fs::fstat(folder).step(&format!("look at {path}"))?;
        if self.is_root && (found.st_uid, found.st_gid) != (owner.uid, owner.gid) {
            if found.st_uid != 0 || !is_empty(folder).step(&format!("look into {path}"))? {
                let why = format!("{path} belongs to user {}, not to {}", found.st_uid, owner.uid);
                return Err(LaunchError::refused(why));
            }
            nix::unistd::fchown(folder, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
                .step(&format!("give {path} to user {}", owner.uid))?;
        } else if !self.is_root && found.st_uid != rustix::process::geteuid().as_raw() {
            return Err(LaunchError::refused(format!("{path} belongs to user {}", found.st_uid)));
        }
        if found.st_mode & 0o7777 != owner.mode {
            rustix::fs::fchmod(folder, Mode::from_raw_mode(owner.mode)).step(&format!("set the mode of {path}"))?;
        }
        Ok(())
    }

    /// Opens a folder beneath the root folder; no part of the path may be a link.
    pub(crate) fn open_folder(&self, path: &str) -> Result<OwnedFd, LaunchError> {
        let path = if path.is_empty() { "." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.descriptor, path, flags, Mode::empty(), resolve).step(&format!("open {path}"))
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn refuse_unless_empty(folder: &OwnedFd, path: &str) -> Result<(), LaunchError> {
    if is_empty(folder).step(&format!("look into {path}"))? {
        Ok(())
    } else {
        Err(LaunchError::refused(format!("{path} is not empty: wipe it first")))
    }
}

fn is_empty(folder: &OwnedFd) -> io::Result<bool> {
    Ok(names(folder)?.is_empty())
}

fn names(folder: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder.as_fd())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn root(path: &Path) -> RootFolder {
        let is_root = rustix::process::geteuid().is_root();
        RootFolder::open(path, Users { base: 712_000 }, is_root).expect("root folder")
    }

    #[test]
    fn folders_get_their_owners_once_and_again() {
        let directory = tempfile::tempdir().expect("folder");
        let root = root(directory.path());
        for _ in 0..2 {
            root.make_layout().expect("layout");
            root.prepare_app(0).expect("platform");
            root.prepare_app(1).expect("app");
        }
        let found = directory.path().join("data/1").metadata().expect("data");
        assert_eq!(found.mode() & 0o7777, 0o700);
        for name in ["runs/1", "logs/1"] {
            assert_eq!(directory.path().join(name).metadata().expect(name).mode() & 0o7777, 0o2750, "only the server makes folders there");
        }
        if root.is_root {
            assert_eq!(found.uid(), root.users.run(1));
            assert_eq!(directory.path().join("runs/1").metadata().expect("runs").gid(), root.users.shim());
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_folder_is_refused() {
        let directory = tempfile::tempdir().expect("folder");
        let victim = tempfile::tempdir().expect("victim");
        let root = root(directory.path());
        root.make_layout().expect("layout");
        let before = victim.path().metadata().expect("victim").uid();
        symlink(victim.path(), directory.path().join("data/1")).expect("link");
        assert!(root.prepare_app(1).is_err());
        assert_eq!(victim.path().metadata().expect("victim").uid(), before);
    }

    #[test]
    fn what_is_not_empty_is_neither_given_away_nor_removed() {
        let directory = tempfile::tempdir().expect("folder");
        let root = root(directory.path());
        root.make_layout().expect("layout");
        root.prepare_app(1).expect("app");
        std::fs::create_dir_all(directory.path().join("releases/1").join("ab".repeat(32)).join("x")).expect("filled");
        assert!(root.make_release(1, &"ab".repeat(32)).is_err());
        assert!(root.remove(1, &WipeSubject::Release("ab".repeat(32))).is_err());
        root.remove(1, &WipeSubject::Release("cd".repeat(32))).expect("nothing there is as good as removed");
    }
}
