//! Looking through what an app's programs wrote, as their own user: how big it is, and what
//! of a run's writable layer is worth telling. No link is followed; depth, entries and
//! names are bounded.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::limits::{LOOK_DEPTH_MAX, LOOK_ENTRIES_MAX};

/// Files and what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// In bytes.
    pub bytes: u64,
    /// How many.
    pub files: u64,
}

/// Something at the top of a layer, or of a folder in it that the slug has too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// Where, below `/app`; whatever the app called it.
    pub path: Vec<u8>,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// What it holds.
    pub size: Size,
}

/// One look: so many entries, then it ends.
#[derive(Debug)]
pub struct Look {
    left: usize,
}

impl Default for Look {
    fn default() -> Self {
        Self { left: LOOK_ENTRIES_MAX }
    }
}

impl Look {
    /// Not everything was seen: sizes are at least what is told.
    pub fn is_cut(&self) -> bool {
        self.left == 0
    }

    /// What a path of a folder holds; `None` if it is not there, or leads out.
    pub fn size(&mut self, folder: BorrowedFd<'_>, path: &Path) -> io::Result<Option<Size>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let found = match rustix::fs::openat2(folder, path, flags, Mode::empty(), resolve) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(None),
            found => found?,
        };
        let stat = rustix::fs::fstat(&found)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let mut size = Size::default();
                self.add(found.as_fd(), c".", 0, &|_| false, &mut size)?;
                Ok(Some(size))
            }
            FileType::RegularFile => Ok(Some(of_file(&stat))),
            _ => Ok(None),
        }
    }

    /// What a run left in its layer that its programs meant to keep, as far as names tell.
    /// A folder that the slug has too is looked into, since most of it may be the slug's.
    pub fn leavings(&mut self, upper: BorrowedFd<'_>, lower: Option<BorrowedFd<'_>>) -> io::Result<Vec<Leaving>> {
        let mut found = Vec::new();
        self.collect(upper, lower, &[], &mut found)?;
        Ok(found)
    }

    fn collect(&mut self, upper: BorrowedFd<'_>, lower: Option<BorrowedFd<'_>>, at: &[u8], found: &mut Vec<Leaving>) -> io::Result<()> {
        let depth = at.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).count();
        for name in self.names(upper, depth)? {
            let name = name.as_c_str();
            let stat = rustix::fs::statat(upper, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if is_made_by_itself(name.to_bytes(), kind == FileType::Directory, depth == 0) {
                continue;
            }
            let path = if at.is_empty() { name.to_bytes().to_vec() } else { [at, b"/", name.to_bytes()].concat() };
            let size = match kind {
                FileType::Directory => {
                    let both = lower.and_then(|lower| open(lower, name).ok());
                    if let Some(both) = both {
                        let Ok(folder) = open(upper, name) else { continue };
                        self.collect(folder.as_fd(), Some(both.as_fd()), &path, found)?;
                        continue;
                    }
                    let mut size = Size::default();
                    let skip = |name: &[u8]| is_made_by_itself(name, false, false) || is_made_by_itself(name, true, false);
                    self.add(upper, name, depth, &skip, &mut size)?;
                    size
                }
                FileType::RegularFile => of_file(&stat),
                // Links, pipes, sockets, marks of what was removed.
                _ => continue,
            };
            // What holds nothing is not missed.
            if size.bytes > 0 {
                found.push(Leaving { path, is_folder: kind == FileType::Directory, size });
            }
        }
        Ok(())
    }

    /// The names in a folder, as far as the look still goes.
    fn names(&mut self, folder: BorrowedFd<'_>, depth: usize) -> io::Result<Vec<CString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            if self.left == 0 || depth >= LOOK_DEPTH_MAX {
                break;
            }
            self.left -= 1;
            names.push(entry.file_name().to_owned());
        }
        Ok(names)
    }

    /// Adds what a folder holds. What its owner may not read is not counted.
    fn add(&mut self, parent: BorrowedFd<'_>, name: &CStr, depth: usize, skip: &dyn Fn(&[u8]) -> bool, size: &mut Size) -> io::Result<()> {
        let Ok(folder) = open(parent, name) else { return Ok(()) };
        for name in self.names(folder.as_fd(), depth)? {
            let name = name.as_c_str();
            if skip(name.to_bytes()) {
                continue;
            }
            let stat = match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                // It changes meanwhile.
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => self.add(folder.as_fd(), name, depth + 1, skip, size)?,
                FileType::RegularFile => {
                    let file = of_file(&stat);
                    size.bytes = size.bytes.saturating_add(file.bytes);
                    size.files += file.files;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn open(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn of_file(stat: &rustix::fs::Stat) -> Size {
    Size { bytes: u64::try_from(stat.st_size).unwrap_or(0), files: 1 }
}

/// Folders at the top of `/app` that hold what may go at any time.
const PASSING_FOLDERS: [&[u8]; 5] = [b"tmp", b"temp", b"log", b"logs", b"cache"];
/// Folders that interpreters make wherever they please.
const INTERPRETERS_FOLDERS: [&[u8]; 2] = [b"__pycache__", b"node_modules"];
/// Ends of files that nobody misses.
const PASSING_ENDS: [&[u8]; 8] = [b".pyc", b".pid", b".log", b".sock", b".lock", b".tmp", b".swp", b"~"];

/// What programs make on their own, and what is hidden: caches, histories, settings.
fn is_made_by_itself(name: &[u8], is_folder: bool, is_top: bool) -> bool {
    let is_passing = if is_folder {
        INTERPRETERS_FOLDERS.contains(&name) || (is_top && PASSING_FOLDERS.contains(&name))
    } else {
        PASSING_ENDS.iter().any(|end| name.ends_with(end)) || name == b"core" || name == b"nohup.out"
    };
    is_passing || name.starts_with(b".")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Site(tempfile::TempDir);

    impl Site {
        fn new(files: &[&str]) -> Self {
            let site = Self(tempfile::tempdir().expect("folder"));
            for folder in ["upper", "lower"] {
                fs::create_dir(site.0.path().join(folder)).expect("folder");
            }
            for file in files {
                let path = site.0.path().join(file);
                fs::create_dir_all(path.parent().expect("parent")).expect("folder");
                fs::write(path, "0123456789").expect("file");
            }
            site
        }

        fn leavings(&self) -> Vec<String> {
            let [upper, lower] = ["upper", "lower"].map(|name| fs::File::open(self.0.path().join(name)).expect("folder"));
            let found = Look::default().leavings(upper.as_fd(), Some(lower.as_fd())).expect("looked");
            let words = |left: Leaving| {
                let slash = if left.is_folder { "/" } else { "" };
                format!("{}{slash} {} {}", String::from_utf8_lossy(&left.path), left.size.bytes, left.size.files)
            };
            let mut told: Vec<_> = found.into_iter().map(words).collect();
            told.sort();
            told
        }
    }

    #[test]
    fn what_interpreters_make_on_their_own_is_not_told() {
        let made = [
            "app.pyc",
            "__pycache__/x",
            "package/__pycache__/x.pyc",
            ".cache/x",
            "node_modules/.cache/x",
            "tmp/x",
            "logs/x",
            "log/x",
            "server.pid",
            "debug.log",
        ];
        assert_eq!(Site::new(&made.map(|name| format!("upper/{name}")).each_ref().map(String::as_str)).leavings(), [""; 0]);
        let site = Site::new(&["upper/app.db", "upper/uploads/a", "upper/uploads/deep/b", "upper/uploads/x.pyc", "upper/data/tmp/x"]);
        assert_eq!(site.leavings(), ["app.db 10 1", "data/ 10 1", "uploads/ 20 2"]);
    }

    #[test]
    fn of_a_folder_that_the_slug_has_too_only_what_is_new_is_told() {
        let site = Site::new(&["lower/public/index.html", "upper/public/uploads/a", "upper/public/b", "lower/app.db", "upper/app.db"]);
        assert_eq!(site.leavings(), ["app.db 10 1", "public/b 10 1", "public/uploads/ 10 1"]);
    }

    #[test]
    fn links_lead_nowhere_and_what_is_empty_is_not_told() {
        let site = Site::new(&["outside/secret"]);
        let at = |name: &str| site.0.path().join(name);
        symlink(at("outside"), at("upper/uploads")).expect("link");
        symlink(at("outside/secret"), at("upper/app.db")).expect("link");
        symlink(at("outside"), at("lower/folder")).expect("link");
        fs::create_dir_all(at("upper/folder/empty")).expect("folder");
        fs::write(at("upper/nothing"), "").expect("file");
        assert_eq!(site.leavings(), [""; 0]);
        let upper = fs::File::open(at("upper")).expect("folder");
        for path in ["uploads", "uploads/secret", "app.db", "../outside"] {
            assert_eq!(Look::default().size(upper.as_fd(), Path::new(path)).expect("looked"), None, "{path}");
        }
        let outside = fs::File::open(at("outside")).expect("folder");
        assert_eq!(Look::default().size(outside.as_fd(), Path::new(".")).expect("looked"), Some(Size { bytes: 10, files: 1 }));
    }

    #[test]
    fn a_look_ends_whatever_there_is() {
        let site = Site::new(&["upper/a", "upper/b", "upper/c/d"]);
        let upper = fs::File::open(site.0.path().join("upper")).expect("folder");
        let mut look = Look { left: 2 };
        assert!(look.leavings(upper.as_fd(), None).expect("looked").len() <= 2);
        assert!(look.is_cut());
        let mut at: OwnedFd = upper.into();
        for _ in 0..LOOK_DEPTH_MAX * 2 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).expect("folder");
            at = open(at.as_fd(), c"d").expect("folder");
        }
        assert_eq!(site.leavings().len(), 3, "deep folders cost no descriptors without end");
    }
}
