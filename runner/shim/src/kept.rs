//! What of `/app` lasts. A kept path is a link from `/app` into a folder of its own in
//! `DATA_DIR`: `/app/app.db` to `/data/kept/app.db`. Made by the child, as the app's own user and inside its
//! sandbox, so that whatever lies in the way is nobody else's.
//!
//! ```text
//! start: data has it? ─no─▶ what the slug has there is copied ─▶ link in /app
//! end:   data has it? ─no─▶ what the run left there is copied (a run from before it was kept)
//! ```

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use crate::limits::KEPT_DEPTH_MAX;

/// Files of SQLite beside a database that hold what was written last. The third one,
/// `-shm`, is made anew.
const COMPANIONS: [&str; 2] = ["-wal", "-journal"];
/// What the owner of a folder needs to work in it.
const OWNER_RIGHTS: u32 = 0o700;

/// Makes a path of `app` last: from here on it leads into `data`. `app.db` and `uploads/`
/// as they were said: a slash makes a folder where nothing is yet.
pub fn keep(app: &Path, data: &Path, path: &[u8]) -> io::Result<()> {
    let (path, is_folder) = path.strip_suffix(b"/").map_or((path, false), |path| (path, true));
    let path = relative(path)?;
    let (place, kept) = (app.join(path), data.join(path));
    if fs::symlink_metadata(&kept).is_err() {
        make_parent(&kept)?;
        if is_there(&place)? {
            settle(&kept, |draft| copy_over(&place, draft, 0))?;
        } else if is_folder {
            fs::create_dir(&kept).or_else(|error| ignore(error, io::ErrorKind::AlreadyExists))?;
        }
    }
    if fs::read_link(&place).is_ok_and(|target| target == kept) {
        return Ok(());
    }
    match fs::symlink_metadata(&place) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(&place)?,
        Ok(_) => fs::remove_file(&place)?,
        Err(_) => make_parent(&place)?,
    }
    symlink(&kept, &place)
}

/// Saves what a run that has ended wrote at a path which is kept since then: from its
/// writable layer over its slug, into `data`. Nothing that `data` has is changed; returns
/// whether that path of the layer lasts now.
pub fn rescue(upper: &Path, lower: &Path, data: &Path, path: &[u8]) -> io::Result<bool> {
    let path = relative(path.strip_suffix(b"/").unwrap_or(path))?;
    let kept = data.join(path);
    if fs::symlink_metadata(&kept).is_ok() || !is_own(upper, path) {
        return Ok(false);
    }
    make_parent(&kept)?;
    let has_lower = is_own(lower, path);
    let merge = |path: &Path, to: &Path| {
        if has_lower {
            copy_over(&lower.join(path), to, 0)?;
        }
        copy_over(&upper.join(path), to, 0)
    };
    // Before the database itself: one without what was written last would be an older one.
    for companion in COMPANIONS.map(|end| with_end(path, end)).iter().filter(|companion| is_own(upper, companion)) {
        settle(&data.join(companion), |draft| copy_over(&upper.join(companion), draft, 0))?;
    }
    settle(&kept, |draft| merge(path, draft))?;
    Ok(true)
}

/// A path that stays where it is put.
fn relative(path: &[u8]) -> io::Result<&Path> {
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if is_plain && path.components().next().is_some() { Ok(path) } else { Err(io::ErrorKind::InvalidFilename.into()) }
}

/// Whether something is there that no link on the way leads out to, and that is no mark
/// of the kernel's overlay for what was removed.
fn is_own(root: &Path, path: &Path) -> bool {
    let mut at = root.to_path_buf();
    for part in path {
        at.push(part);
        match fs::symlink_metadata(&at) {
            Ok(found) if !found.is_symlink() && !is_whiteout(&found) => {}
            _ => return false,
        }
    }
    true
}

/// Follows links: what the slug has there may be one.
fn is_there(place: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(place) {
        Ok(_) => Ok(true),
        Err(error) => ignore(error, io::ErrorKind::NotFound).map(|()| false),
    }
}

fn is_whiteout(found: &fs::Metadata) -> bool {
    found.file_type().is_char_device() && found.rdev() == 0
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Puts something there whole or not at all. Whoever was first counts: two instances may
/// start at once.
fn settle(kept: &Path, fill: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let draft = with_end(kept, &format!(".keeping-{:08x}", random()));
    let moved = fill(&draft).and_then(|()| match rustix::fs::renameat_with(CWD, &draft, CWD, kept, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL) if fs::symlink_metadata(kept).is_err() => fs::rename(&draft, kept),
        moved => Ok(moved?),
    });
    if moved.is_err() {
        let _ = remove(&draft);
    }
    moved.or_else(|error| ignore(error, io::ErrorKind::AlreadyExists))
}

/// Spread, not secrecy: process numbers of two sandboxes may be the same.
fn random() -> u32 {
    use std::hash::BuildHasher;
    let hash = std::hash::RandomState::new().hash_one(std::process::id());
    u32::try_from(hash >> 32).unwrap_or(0)
}

/// Copies over what is there: folders are merged, marks of the overlay remove. Neither
/// pipes nor sockets are copied.
fn copy_over(from: &Path, to: &Path, depth: usize) -> io::Result<()> {
    if depth > KEPT_DEPTH_MAX {
        return Err(io::Error::other(format!("{} is nested deeper than {KEPT_DEPTH_MAX} folders", from.display())));
    }
    let found = fs::symlink_metadata(from)?;
    if found.is_dir() {
        return copy_folder(from, to, &found, depth);
    }
    if is_whiteout(&found) {
        return remove(to);
    }
    if found.is_symlink() {
        remove(to)?;
        symlink(fs::read_link(from)?, to)
    } else if found.is_file() {
        remove(to)?;
        fs::copy(from, to).map(drop)
    } else {
        Ok(())
    }
}

fn copy_folder(from: &Path, to: &Path, found: &fs::Metadata, depth: usize) -> io::Result<()> {
    if !fs::symlink_metadata(to).is_ok_and(|there| there.is_dir()) {
        remove(to)?;
        fs::create_dir(to)?;
    }
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        copy_over(&from.join(&name), &to.join(&name), depth + 1)?;
    }
    fs::set_permissions(to, fs::Permissions::from_mode(found.mode() & 0o777 | OWNER_RIGHTS))
}

/// What is not there counts as removed.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| ignore(error, io::ErrorKind::NotFound))
}

fn ignore(error: io::Error, kind: io::ErrorKind) -> io::Result<()> {
    if error.kind() == kind { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Site(tempfile::TempDir);

    impl Site {
        fn new(files: &[(&str, &str)]) -> Self {
            let site = Self(tempfile::tempdir().expect("folder"));
            for folder in ["app", "upper", "lower", "data"] {
                fs::create_dir(site.at(folder)).expect("folder");
            }
            for (path, text) in files {
                fs::create_dir_all(site.at(path).parent().expect("parent")).expect("folder");
                fs::write(site.at(path), text).expect("file");
            }
            site
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn text(&self, path: &str) -> String {
            fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
        }

        fn keep(&self, path: &str) {
            keep(&self.at("app"), &self.at("data"), path.as_bytes()).unwrap_or_else(|error| panic!("{path}: {error}"));
        }

        fn rescue(&self, path: &str) -> bool {
            rescue(&self.at("upper"), &self.at("lower"), &self.at("data"), path.as_bytes()).expect("rescued")
        }
    }

    #[test]
    fn what_the_slug_has_is_the_beginning_and_is_never_copied_again() {
        let site = Site::new(&[("app/app.db", "first"), ("app/public/uploads/a", "a")]);
        for _ in 0..2 {
            site.keep("app.db");
            site.keep("public/uploads");
        }
        fs::write(site.at("app/app.db"), "second").expect("written through the link");
        assert_eq!((site.text("data/app.db"), site.text("data/public/uploads/a")), ("second".to_owned(), "a".to_owned()));
        fs::remove_file(site.at("app/app.db")).expect("the next layer");
        fs::write(site.at("app/app.db"), "first").expect("the next slug");
        site.keep("app.db");
        assert_eq!(site.text("app/app.db"), "second");
        assert_eq!(fs::read_dir(site.at("data")).expect("data").count(), 2, "no draft is left");
    }

    #[test]
    fn what_is_nowhere_is_a_folder_if_it_was_said_and_else_a_file_to_be_made() {
        let site = Site::new(&[]);
        site.keep("uploads/");
        site.keep("deep/app.db");
        fs::write(site.at("app/uploads/a"), "a").expect("in the folder");
        fs::write(site.at("app/deep/app.db"), "b").expect("through the link");
        assert_eq!((site.text("data/uploads/a"), site.text("data/deep/app.db")), ("a".to_owned(), "b".to_owned()));
    }

    #[test]
    fn what_a_run_left_is_saved_once_over_what_its_slug_had() {
        let site = Site::new(&[
            ("upper/app.db", "db"),
            ("upper/app.db-wal", "wal"),
            ("upper/public/new", "new"),
            ("upper/public/both", "changed"),
            ("lower/public/both", "first"),
            ("lower/public/old", "old"),
        ]);
        assert!(site.rescue("app.db") && site.rescue("public/"));
        assert_eq!((site.text("data/app.db"), site.text("data/app.db-wal")), ("db".to_owned(), "wal".to_owned()));
        assert_eq!(["new", "both", "old"].map(|name| site.text(&format!("data/public/{name}"))), ["new", "changed", "old"]);
        fs::write(site.at("upper/app.db"), "another run").expect("file");
        assert!(!site.rescue("app.db") && !site.rescue("nothing"));
        assert_eq!(site.text("data/app.db"), "db");
    }

    #[test]
    fn links_and_paths_lead_nowhere_else() {
        let site = Site::new(&[("outside/secret", "x")]);
        symlink(site.at("outside"), site.at("upper/out")).expect("link");
        symlink(site.at("outside/secret"), site.at("upper/file")).expect("link");
        assert!(!site.rescue("out/secret") && !site.rescue("file"));
        for path in ["../outside", "/etc", "a/../../outside", ""] {
            assert!(keep(&site.at("app"), &site.at("data"), path.as_bytes()).is_err(), "{path} was taken");
        }
        assert_eq!(fs::read_dir(site.at("data")).expect("data").count(), 0);
    }
}
