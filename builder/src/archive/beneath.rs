//! Making files below one folder and nowhere else, whatever their names and
//! whatever links lie in between.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};

/// A folder below which things are made. Names must have passed
/// [`check_path`](crate::source::names::check_path).
pub(crate) struct Beneath {
    top: OwnedFd,
    /// The folder of the last path: archives list neighbours one after the other.
    last: Option<(PathBuf, OwnedFd)>,
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);

impl Beneath {
    pub(crate) fn open(top: &Path) -> io::Result<Self> {
        let top = rustix::fs::open(top, FOLDER.union(OFlags::NOFOLLOW), Mode::empty())?;
        Ok(Self { top, last: None })
    }

    pub(crate) fn folder(&mut self, path: &[u8]) -> io::Result<()> {
        let (parent, name) = split(path);
        match rustix::fs::mkdirat(self.parent(parent)?, name, Mode::from_raw_mode(0o755)) {
            Err(rustix::io::Errno::EXIST) => self.open_folder(as_path(path)).map(drop),
            other => Ok(other?),
        }
    }

    pub(crate) fn file(&mut self, path: &[u8], mode: u32) -> io::Result<File> {
        let (parent, name) = split(path);
        let mode = Mode::from_raw_mode(mode);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.parent(parent)?, name, flags, mode)?;
        // The umask of whoever runs this must not decide what the app may execute.
        rustix::fs::fchmod(&file, mode)?;
        Ok(File::from(file))
    }

    pub(crate) fn link(&mut self, path: &[u8], target: &[u8]) -> io::Result<()> {
        let (parent, name) = split(path);
        Ok(rustix::fs::symlinkat(as_path(target), self.parent(parent)?, name)?)
    }

    fn parent(&mut self, parent: &Path) -> io::Result<BorrowedFd<'_>> {
        if parent.as_os_str().is_empty() {
            return Ok(self.top.as_fd());
        }
        if self.last.as_ref().is_none_or(|(path, _)| path != parent) {
            let folder = match self.open_folder(parent) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.make_all(parent)?;
                    self.open_folder(parent)?
                }
                other => other?,
            };
            self.last = Some((parent.to_owned(), folder));
        }
        Ok(self.last.as_ref().map_or(self.top.as_fd(), |(_, folder)| folder.as_fd()))
    }

    fn make_all(&mut self, folder: &Path) -> io::Result<()> {
        let mut ancestors: Vec<&Path> = folder.ancestors().filter(|a| !a.as_os_str().is_empty()).collect();
        ancestors.reverse();
        ancestors.into_iter().try_for_each(|ancestor| self.folder(ancestor.as_os_str().as_bytes()))
    }

    fn open_folder(&self, path: &Path) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&self.top, path, FOLDER, Mode::empty(), resolve)?)
    }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn split(path: &[u8]) -> (&Path, &OsStr) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (as_path(&path[..at]), OsStr::from_bytes(&path[at + 1..])),
        None => (Path::new(""), OsStr::from_bytes(path)),
    }
}
