//! Emptying a folder as its owner, without following links. What its owner's programs left
//! there may be hostile: deep, unreadable, changing while it is being removed.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Empties `folder`. Sub-folders at the top that belong to somebody else are emptied and
/// stay; everything else that stays is an error, the first of which is returned after
/// everything else was tried.
pub fn wipe(folder: BorrowedFd<'_>) -> io::Result<()> {
    let mut first = Ok(());
    for (name, is_folder) in entries(folder)? {
        let removed = if is_folder { remove_folder(folder, &name) } else { unlink(folder, &name) };
        match removed {
            // The parent belongs to somebody else, who removes the emptied folder.
            Err(Errno::ACCESS | Errno::PERM | Errno::BUSY | Errno::ROFS) if is_folder && is_empty(folder, &name) => {}
            Err(error) if first.is_ok() => first = Err(error.into()),
            _ => {}
        }
    }
    first
}

/// A folder that is being left for one of its own: what is still to be removed in it.
struct Level {
    /// Device and inode, to know it again on the way back.
    identity: (u64, u64),
    /// The one that was entered.
    entered: CString,
    folders: Vec<CString>,
}

/// Goes down and back up through `..`, so that depth costs no descriptors.
fn remove_folder(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let mut above: Vec<Level> = Vec::new();
    let mut current = open(parent, name)?;
    let mut folders = unlink_files(&current)?;
    loop {
        if let Some(entered) = folders.pop() {
            let next = open(current.as_fd(), &entered)?;
            above.push(Level { identity: identity(&current)?, entered, folders });
            current = next;
            folders = unlink_files(&current)?;
            continue;
        }
        let Some(level) = above.pop() else { break };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        current = rustix::fs::openat(&current, "..", flags, Mode::empty())?;
        if identity(&current)? != level.identity {
            // Somebody moved it meanwhile.
            return Err(Errno::AGAIN);
        }
        rustix::fs::unlinkat(&current, level.entered.as_c_str(), AtFlags::REMOVEDIR)?;
        folders = level.folders;
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Removes everything but the folders, which are returned.
fn unlink_files(folder: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut folders = Vec::new();
    for (name, is_folder) in entries(folder.as_fd())? {
        if is_folder {
            folders.push(name);
        } else {
            unlink(folder.as_fd(), &name)?;
        }
    }
    Ok(folders)
}

fn identity(folder: &OwnedFd) -> Result<(u64, u64), Errno> {
    let stat = rustix::fs::fstat(folder)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Opens a folder, not a link, and makes it usable: programs leave folders without
/// rights, the kernel's overlay among them.
fn open(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            // A link that took its place would be followed, as its owner, to something that
            // this user may change anyway.
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            rustix::fs::openat(parent, name, flags, Mode::empty())?
        }
        folder => folder?,
    };
    // Without it nothing can be removed inside.
    let _ = rustix::fs::fchmod(&folder, Mode::RWXU);
    Ok(folder)
}

fn unlink(folder: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

fn is_empty(parent: BorrowedFd<'_>, name: &CStr) -> bool {
    open(parent, name).is_ok_and(|folder| entries(folder.as_fd()).is_ok_and(|found| found.is_empty()))
}

/// The entries of a folder, each with whether it is a folder itself.
fn entries(folder: BorrowedFd<'_>) -> Result<Vec<(CString, bool)>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_owned();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let is_folder = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(folder, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            }
            kind => kind == FileType::Directory,
        };
        found.push((name, is_folder));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    fn wipe_path(path: &Path) -> io::Result<()> {
        wipe(fs::File::open(path).expect("folder").as_fd())
    }

    #[test]
    fn everything_goes_and_links_are_not_followed() {
        let outside = tempfile::tempdir().expect("outside");
        fs::write(outside.path().join("precious"), "x").expect("file");
        let directory = tempfile::tempdir().expect("folder");
        let inside = directory.path();
        fs::create_dir_all(inside.join("a/b/c")).expect("folders");
        fs::write(inside.join("a/b/c/file"), "x").expect("file");
        symlink(outside.path(), inside.join("a/link")).expect("link");
        symlink(outside.path(), inside.join("link")).expect("link");
        fs::set_permissions(inside.join("a/b"), fs::Permissions::from_mode(0o000)).expect("mode");
        wipe_path(inside).expect("wiped");
        assert_eq!(fs::read_dir(inside).expect("folder").count(), 0);
        assert!(outside.path().join("precious").exists());
    }

    #[test]
    fn depth_costs_no_descriptors() {
        let directory = tempfile::tempdir().expect("folder");
        let mut at: OwnedFd = fs::File::open(directory.path()).expect("folder").into();
        for _ in 0..3_000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).expect("folder");
            at = open(at.as_fd(), c"d").expect("folder");
        }
        drop(at);
        wipe_path(directory.path()).expect("wiped");
        assert_eq!(fs::read_dir(directory.path()).expect("folder").count(), 0);
    }
}
