//! One server per root folder. The lock is held by the guardian and by its server, so that
//! a second one cannot start while the first is still ending.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use api::{Failure, Kind};
use rustix::fs::FlockOperation;

use super::limits::LOCK_TEXT_BYTES_MAX;

const NAME: &str = "server.lock";

/// Takes the lock, or says who holds it.
pub(super) fn take(root: &Path) -> Result<File, Failure> {
    let path = root.join(NAME);
    let options = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = options.map_err(|error| unusable(&path, &error))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(taken(root, &mut file)),
        Err(error) => return Err(unusable(&path, &error.into())),
    }
    let noted = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    noted.map_err(|error| unusable(&path, &error))?;
    Ok(file)
}

fn taken(root: &Path, file: &mut File) -> Failure {
    let mut text = String::new();
    let who = match file.take(LOCK_TEXT_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("process {}", text.trim()),
        _ => "another process".to_owned(),
    };
    Failure::new(Kind::Refused, "guardian.taken", format!("a server already runs on {}", root.display()))
        .why(format!("{who} holds its lock"))
        .fix("use that one, end it first, or choose another folder with --root")
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Kind::Host, "guardian.lock", format!("{} cannot be locked", path.display()))
        .why("only one server may work on a root folder")
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_told_who_holds_the_folder() {
        let root = tempfile::tempdir().expect("folder");
        let first = take(root.path()).expect("free");
        let failure = take(root.path()).expect_err("taken");
        assert!(format!("{failure:?}").contains(&std::process::id().to_string()), "{failure:?}");
        drop(first);
        take(root.path()).expect("free again");
    }
}
