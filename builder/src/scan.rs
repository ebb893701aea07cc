//! What of a built tree goes into a slug, in the order of names.

use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::archive::{LinkRule, TarWriter};
use crate::limits;
use crate::source::names::check_path;

/// One file, folder or link.
pub(crate) struct Entry {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Folder,
    File { mode: u32, size: u64 },
    Link(PathBuf),
}

/// Everything that was found.
#[derive(Default)]
pub(crate) struct Scan {
    pub(crate) entries: Vec<Entry>,
    pub(crate) bytes: u64,
    /// What stays out, for people.
    pub(crate) warnings: Vec<String>,
}

/// A tree that cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Something cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The path, for people.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Too many files.
    #[error("the built app has more than {max} files and folders")]
    TooMany {
        /// The limit.
        max: u64,
    },
    /// Too many bytes.
    #[error("the built app has more than {}", model::text::bytes(*max))]
    TooLarge {
        /// The limit in bytes.
        max: u64,
    },
}

/// Scans `path` below `top` (or `top` itself if it is empty), leaving `without` out.
pub(crate) fn scan(top: &Path, path: &Path, without: &[PathBuf], links: &LinkRule) -> Result<Scan, ScanError> {
    let mut scanner = Scanner { top, without, links, found: Scan::default() };
    if path.as_os_str().is_empty() {
        scanner.folder(path)?;
    } else {
        scanner.entry(path)?;
    }
    Ok(scanner.found)
}

struct Scanner<'a> {
    top: &'a Path,
    without: &'a [PathBuf],
    links: &'a LinkRule,
    found: Scan,
}

impl Scanner<'_> {
    fn folder(&mut self, folder: &Path) -> Result<(), ScanError> {
        let failed = |source| ScanError::Read { path: folder.display().to_string(), source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.top.join(folder)).map_err(failed)? {
            names.push(entry.map_err(failed)?.file_name());
            self.bounded(names.len() as u64)?;
        }
        names.sort();
        names.into_iter().try_for_each(|name| self.entry(&folder.join(name)))
    }

    fn entry(&mut self, path: &Path) -> Result<(), ScanError> {
        let is_git = path.file_name().is_some_and(|name| name == ".git");
        if is_git || path == Path::new(".paas") || self.without.iter().any(|without| without == path) {
            return Ok(());
        }
        if let Err(reason) = check_path(path.as_os_str().as_bytes()) {
            self.left_out(path, &reason.to_string());
            return Ok(());
        }
        let failed = |source| ScanError::Read { path: path.display().to_string(), source };
        let metadata = std::fs::symlink_metadata(self.top.join(path)).map_err(failed)?;
        let kind = if metadata.is_dir() {
            Kind::Folder
        } else if metadata.is_symlink() {
            let target = std::fs::read_link(self.top.join(path)).map_err(failed)?;
            if !self.links.allows(path.as_os_str().as_bytes(), target.as_os_str().as_bytes()) {
                self.left_out(path, &format!("it is a link to {}, which the app will not see", target.display()));
                return Ok(());
            }
            Kind::Link(target)
        } else if metadata.is_file() {
            Kind::File { mode: packed_mode(&metadata), size: metadata.len() }
        } else {
            let what = if metadata.file_type().is_socket() { "a socket" } else { "no plain file" };
            self.left_out(path, &format!("it is {what}"));
            return Ok(());
        };
        if let Kind::File { size, .. } = kind {
            self.found.bytes = self.found.bytes.saturating_add(size);
        }
        self.bounded(0)?;
        let is_folder = matches!(kind, Kind::Folder);
        self.found.entries.push(Entry { path: path.to_owned(), kind });
        if is_folder { self.folder(path) } else { Ok(()) }
    }

    fn left_out(&mut self, path: &Path, why: &str) {
        if self.found.warnings.len() < limits::SLUG_WARNINGS_MAX {
            self.found.warnings.push(format!("{} is left out of the slug: {why}", path.display()));
        }
    }

    fn bounded(&self, more: u64) -> Result<(), ScanError> {
        if self.found.entries.len() as u64 + more >= limits::SLUG_ENTRIES_MAX {
            return Err(ScanError::TooMany { max: limits::SLUG_ENTRIES_MAX });
        }
        if self.found.bytes > limits::SLUG_UNPACKED_BYTES_MAX {
            return Err(ScanError::TooLarge { max: limits::SLUG_UNPACKED_BYTES_MAX });
        }
        Ok(())
    }
}

/// Permission bits without setuid and its like; readable for the owner, since the app
/// is the owner.
fn packed_mode(metadata: &Metadata) -> u32 {
    metadata.mode() & 0o777 | 0o400
}

impl Scan {
    /// Writes everything that was found.
    pub(crate) fn write<W: io::Write>(&self, top: &Path, tar: &mut TarWriter<W>) -> Result<(), ScanError> {
        for entry in &self.entries {
            let written = match &entry.kind {
                Kind::Folder => tar.folder(&entry.path),
                Kind::Link(target) => tar.link(&entry.path, target),
                Kind::File { mode, size } => {
                    std::fs::File::open(top.join(&entry.path)).and_then(|file| tar.file(&entry.path, *mode, *size, file))
                }
            };
            written.map_err(|source| ScanError::Read { path: entry.path.display().to_string(), source })?;
        }
        Ok(())
    }
}
