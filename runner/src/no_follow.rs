//! Files in folders that shims can write to as well: a name there may be a link that leads
//! elsewhere, or a pipe that nobody reads. The server opens neither.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    with(File::options().read(true), path)
}

/// Opens a file for writing, empty.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    with(File::options().write(true).create(true).truncate(true), path)
}

/// Replaces a file, so that it is there whole or not at all, whoever is killed. Not synced:
/// a power cut may take it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    create(draft.as_ref())?.write_all(bytes)?;
    fs::rename(draft, path)
}

fn with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.custom_flags(flags.bits().cast_signed()).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_refused_and_pipes_keep_nobody_waiting() {
        let folder = tempfile::tempdir().expect("folder");
        let (victim, link, pipe) = (folder.path().join("victim"), folder.path().join("link"), folder.path().join("pipe"));
        std::fs::write(&victim, "precious").expect("written");
        std::os::unix::fs::symlink(&victim, &link).expect("link");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).expect("pipe");
        assert!(open(&link).is_err() && create(&link).is_err());
        open(&pipe).expect("at once");
        assert!(create(&pipe).is_err());
        assert_eq!(std::fs::read_to_string(&victim).expect("whole"), "precious");
    }
}
