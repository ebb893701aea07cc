//! Small files: what the sandbox is furnished with, and the records of the run folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

/// Reads a memfd whole. Child and supervisor hold the same one at the same time: neither
/// may move the other's place in it.
pub(crate) fn read_bounded(descriptor: OwnedFd, bytes_max: usize) -> io::Result<Vec<u8>> {
    let file = File::from(descriptor);
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    if length > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Makes a folder and all its missing parents.
pub(crate) fn make_folders(path: &str, mode: u32) -> io::Result<()> {
    for (end, _) in path.match_indices('/') {
        make_folder(&path[..end], 0o755)?;
    }
    make_folder(path, mode)
}

fn make_folder(path: &str, mode: u32) -> io::Result<()> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(mode)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes a file with its parents.
pub(crate) fn make_file(path: &str, contents: &[u8]) -> io::Result<()> {
    make_parents(path)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))?;
    File::from(file).write_all(contents)
}

/// Makes a link with its parents.
pub(crate) fn make_link(path: &str, target: &str) -> io::Result<()> {
    make_parents(path)?;
    Ok(rustix::fs::symlink(target, path)?)
}

/// Makes the parents of a path.
pub(crate) fn make_parents(path: &str) -> io::Result<()> {
    match Path::new(path).parent().and_then(Path::to_str) {
        Some(parent) if !parent.is_empty() => make_folders(parent, 0o755),
        _ => Ok(()),
    }
}

/// Writes a record in the working directory so that it is there whole or not at all,
/// whoever is killed. Not synced: after a power cut no run is left that it could tell of,
/// and a start or a restart would wait for the disk four times.
pub(crate) fn write_record(name: &str, text: &str) -> io::Result<()> {
    let temporary = format!(".{name}.new");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(CWD, temporary.as_str(), flags, Mode::from_raw_mode(0o640))?);
    file.write_all(text.as_bytes())?;
    fs::rename(&temporary, name)
}

/// Removes a name of the working directory, if it is there.
pub(crate) fn remove(name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(CWD, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
