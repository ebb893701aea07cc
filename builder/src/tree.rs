//! The source tree as a plan sees it: a few names and small files.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::limits;

/// A tree that can be asked. Paths are relative to its top, parts joined by `/`.
pub trait SourceTree {
    /// Names in a folder (`""` is the top) in their order; a folder that is not there
    /// has none. Bounded by [`limits::PLAN_NAMES_MAX`].
    fn names(&self, folder: &str) -> io::Result<Vec<String>>;

    /// A file of at most `bytes_max` bytes, or `None` if it is not there. A larger
    /// one is an error.
    fn read(&self, path: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>>;

    /// Whether there is a file (or a link to one) at this path.
    fn has_file(&self, path: &str) -> bool;

    /// A file that should be text; other bytes become `U+FFFD`.
    fn text(&self, path: &str) -> io::Result<Option<String>> {
        let bytes = self.read(path, limits::PLAN_FILE_BYTES_MAX)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').to_owned()))
    }
}

/// A tree on disk.
#[derive(Debug, Clone)]
pub struct FolderTree {
    top: PathBuf,
}

impl FolderTree {
    /// The tree below this folder.
    pub fn new(top: impl Into<PathBuf>) -> Self {
        Self { top: top.into() }
    }
}

impl SourceTree for FolderTree {
    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.top.join(folder)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries.take(limits::PLAN_NAMES_MAX) {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, path: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let path = self.top.join(path);
        if !path.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        std::fs::File::open(&path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
        bounded(&path, bytes, bytes_max).map(Some)
    }

    fn has_file(&self, path: &str) -> bool {
        self.top.join(path).is_file()
    }
}

/// A tree in memory, for tests and `check`.
#[derive(Debug, Clone, Default)]
pub struct MemoryTree {
    files: BTreeMap<String, Vec<u8>>,
}

impl<P: Into<String>, C: Into<Vec<u8>>, const N: usize> From<[(P, C); N]> for MemoryTree {
    fn from(files: [(P, C); N]) -> Self {
        Self { files: files.into_iter().map(|(path, content)| (path.into(), content.into())).collect() }
    }
}

impl SourceTree for MemoryTree {
    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let below = self.files.keys().filter_map(|path| path.strip_prefix(&prefix));
        let mut names: Vec<String> = below.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect();
        names.dedup();
        Ok(names)
    }

    fn read(&self, path: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        self.files.get(path).map(|bytes| bounded(Path::new(path), bytes.clone(), bytes_max)).transpose()
    }

    fn has_file(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }
}

fn bounded(path: &Path, bytes: Vec<u8>, bytes_max: u64) -> io::Result<Vec<u8>> {
    if bytes.len() as u64 > bytes_max {
        let text = format!("{} is larger than {}", path.display(), model::text::bytes(bytes_max));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}
