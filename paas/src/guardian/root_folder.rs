//! The root folder: made if it is not there, refused where somebody else could exchange
//! a part of its path below root's feet.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use api::{Failure, Kind};

/// Passable, not readable: the platform's users go through it.
const MODE: u32 = 0o711;
const STICKY: u32 = 0o1000;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const PASSABLE: u32 = 0o001;

/// Makes and checks the root folder; returns its real path.
pub(super) fn prepare(root: &Path, is_root: bool) -> Result<PathBuf, Failure> {
    if !root.is_absolute() {
        return Err(refused(root, "its path is relative", "name it from / on"));
    }
    DirBuilder::new().recursive(true).mode(0o755).create(root).map_err(|error| unusable(root, &error))?;
    let root = fs::canonicalize(root).map_err(|error| unusable(root, &error))?;
    let found = fs::symlink_metadata(&root).map_err(|error| unusable(&root, &error))?;
    let own = rustix::process::geteuid().as_raw();
    if found.uid() != own {
        let fix = if is_root {
            format!("choose another folder, or: chown root {}", root.display())
        } else {
            "run paas as that user, or choose another folder with --root".to_owned()
        };
        return Err(refused(&root, &format!("it belongs to user {}", found.uid()), &fix));
    }
    if is_root {
        let mut parts = Vec::new();
        for path in root.ancestors() {
            parts.push((path.to_owned(), fs::symlink_metadata(path).map_err(|error| unusable(path, &error))?));
        }
        judge(&parts).map_err(|(path, why, fix)| refused(&root, &format!("{} {why}", path.display()), &fix))?;
    }
    fs::set_permissions(&root, fs::Permissions::from_mode(MODE)).map_err(|error| unusable(&root, &error))?;
    Ok(root)
}

/// Every folder above, from the root folder upwards. A sticky folder that all may write
/// to (`/tmp`) is fine where the part below belongs to root.
fn judge(parts: &[(PathBuf, Metadata)]) -> Result<(), (PathBuf, String, String)> {
    for (path, found) in parts.iter().skip(1) {
        if found.uid() != 0 {
            let why = format!("belongs to user {}, who could put another folder in its place", found.uid());
            return Err((path.clone(), why, "use a folder whose whole path belongs to root, such as /var/lib/paas".to_owned()));
        }
        // The part below is known to belong to root: it was looked at just before.
        if found.mode() & WRITABLE_BY_OTHERS != 0 && found.mode() & STICKY == 0 {
            let why = "can be written by others, who could put another folder in its place".to_owned();
            return Err((path.clone(), why, format!("chmod go-w {}", path.display())));
        }
        if found.mode() & PASSABLE == 0 {
            let why = "lets no other user through, and apps run as users of their own".to_owned();
            return Err((path.clone(), why, "use a folder such as /var/lib/paas".to_owned()));
        }
    }
    Ok(())
}

fn refused(root: &Path, why: &str, fix: &str) -> Failure {
    Failure::new(Kind::Refused, "guardian.root_refused", format!("{} cannot be the root folder", root.display())).why(why).fix(fix)
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Kind::Host, "guardian.root_unusable", format!("{} cannot be used", path.display()))
        .why("paas keeps everything below its root folder")
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_others_can_exchange_is_refused_to_root() {
        let directory = tempfile::tempdir().expect("folder");
        let is_root = rustix::process::geteuid().is_root();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("mode");
        prepare(&directory.path().join("a/b"), is_root).expect("made");
        prepare(&directory.path().join("a/b"), is_root).expect("and again");
        assert!(prepare(Path::new("relative"), is_root).is_err());
        if is_root {
            for (mode, is_fine) in [(0o777, false), (0o775, false), (0o1777, true), (0o700, false), (0o755, true)] {
                fs::set_permissions(directory.path().join("a"), fs::Permissions::from_mode(mode)).expect("mode");
                assert_eq!(prepare(&directory.path().join("a/b"), true).is_ok(), is_fine, "{mode:o}");
            }
        }
    }
}
