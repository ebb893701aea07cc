//! Walks a commit's tree and writes it as tar. Runs as the repository's user, inside
//! the quarantine of a push: whatever the pack holds is judged here, before anything
//! is written. (No `git archive`: it obeys attributes of the tree.)

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use git2::{ObjectType, Odb, Oid, Repository, Tree};

use super::blobs::CatFile;
use super::names::{BadPath, check_name, link_stays_inside};
use crate::archive::TarWriter;
use crate::{Problem, limits};

const MODE_FOLDER: i32 = 0o040_000;
const MODE_LINK: i32 = 0o120_000;
const MODE_SUBMODULE: i32 = 0o160_000;

/// How much a source tree may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportLimits {
    /// Files, folders and links.
    pub entries_max: u64,
    /// Bytes of all files together.
    pub bytes_max: u64,
    /// Bytes of one file.
    pub file_bytes_max: u64,
    /// Folders below each other.
    pub depth_max: usize,
    /// Bytes of one path.
    pub path_bytes_max: usize,
}

impl Default for ExportLimits {
    fn default() -> Self {
        Self {
            entries_max: limits::SOURCE_ENTRIES_MAX,
            bytes_max: limits::SOURCE_BYTES_MAX,
            file_bytes_max: limits::SOURCE_FILE_BYTES_MAX,
            depth_max: limits::PATH_DEPTH_MAX,
            path_bytes_max: limits::PATH_BYTES_MAX,
        }
    }
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportSummary {
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// What the author should know, for people: submodules that are not fetched.
    pub warnings: Vec<String>,
}

/// A tree that is not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The commit, a tree or a file is missing or damaged.
    #[error("the repository cannot be read")]
    Git(#[from] git2::Error),
    /// The stream, or git's own `cat-file`, failed.
    #[error("the source cannot be passed on")]
    Write(#[from] io::Error),
    /// The folder that the app lives in is not in the commit.
    #[error("the commit has no folder `{folder}`")]
    NoFolder {
        /// The folder, for people.
        folder: String,
    },
    /// A name that no checkout would take.
    #[error("`{path}` cannot be part of an app")]
    Path {
        /// The path, for people.
        path: String,
        /// Why.
        #[source]
        source: BadPath,
    },
    /// The same name twice in one folder.
    #[error("`{path}` is in the tree twice")]
    Twice {
        /// The path, for people.
        path: String,
    },
    /// A link out of the repository.
    #[error("the link `{path}` leads out of the repository, to `{target}`")]
    LinkLeaves {
        /// The path, for people.
        path: String,
        /// Where it leads, for people.
        target: String,
    },
    /// A pointer in place of a file.
    #[error("`{path}` is a Git LFS pointer, not the file itself")]
    LfsPointer {
        /// The path, for people.
        path: String,
    },
    /// Over a limit.
    #[error("the source is too large: {0}")]
    TooLarge(String),
}

impl ExportError {
    /// As its author reads it.
    pub fn problem(&self) -> Problem {
        let what = self.to_string();
        match self {
            Self::Git(_) | Self::Write(_) => {
                Problem::system("source.unreadable", what, self).fix("push again; if it stays, run `git fsck` in your checkout")
            }
            Self::NoFolder { .. } => Problem::new("source.no_folder", what)
                .fix("name a folder of the repository: `paas apps:set root=FOLDER`, or reset it with `root=`"),
            Self::Path { path, source } => {
                Problem::new("source.path", what).why(source.to_string()).fix("rename it and rewrite the commit").file(path.clone())
            }
            Self::Twice { path } => Problem::new("source.path", what)
                .why("the tree object is damaged")
                .fix("run `git fsck` and commit afresh")
                .file(path.clone()),
            Self::LinkLeaves { path, .. } => Problem::new("source.link", what)
                .why("the app sees its own folder only, so the link would lead nowhere")
                .fix("commit the file itself or link inside the repository")
                .file(path.clone()),
            Self::LfsPointer { path } => Problem::new("source.lfs", what)
                .why("Git LFS keeps large files on a server of its own, which paas does not ask")
                .fix(format!("commit the file: git lfs migrate export --include=\"{path}\", or fetch it when the app starts"))
                .file(path.clone()),
            Self::TooLarge(_) => {
                Problem::new("source.too_large", what).fix("keep what the app does not need to run out of git, or in `.slugignore`")
            }
        }
    }
}

/// Writes the tree of `commit` (40 hexadecimal digits) as tar.
pub fn export(repository: &Repository, commit: &str, out: impl Write, limits: &ExportLimits) -> Result<ExportSummary, ExportError> {
    export_folder(repository, commit, None, out, limits)
}

/// Writes one folder of a commit as tar, as if it were the whole repository.
pub fn export_folder(
    repository: &Repository,
    commit: &str,
    folder: Option<&str>,
    out: impl Write,
    limits: &ExportLimits,
) -> Result<ExportSummary, ExportError> {
    let odb = repository.odb()?;
    let oid = Oid::from_str(commit)?;
    let (size, kind) = odb.read_header(oid)?;
    if kind != ObjectType::Commit || size > crate::limits::COMMIT_OBJECT_BYTES_MAX {
        return Err(ExportError::TooLarge(format!("{commit} is no commit of a sane size")));
    }
    let mut tree_id = repository.find_commit(oid)?.tree_id();
    let mut walk = Walk { repository, odb, limits, tar: TarWriter::new(out), large: None, summary: ExportSummary::default() };
    for name in folder.into_iter().flat_map(|f| f.split('/')).filter(|name| !name.is_empty()) {
        let tree = walk.tree(tree_id, name.as_bytes())?;
        let entry = tree.iter().find(|e| e.name_bytes() == name.as_bytes() && e.filemode_raw() == MODE_FOLDER);
        tree_id = entry.ok_or_else(|| ExportError::NoFolder { folder: shown(folder.unwrap_or_default().as_bytes()) })?.id();
    }
    walk.folder(tree_id, &mut Vec::new(), 1)?;
    let Walk { tar, summary, .. } = walk;
    tar.finish()?.flush()?;
    Ok(summary)
}

struct Walk<'r, W: Write> {
    repository: &'r Repository,
    odb: Odb<'r>,
    limits: &'r ExportLimits,
    tar: TarWriter<W>,
    large: Option<CatFile>,
    summary: ExportSummary,
}

impl<'r, W: Write> Walk<'r, W> {
    /// Loads a tree after looking at its size alone.
    fn tree(&self, oid: Oid, path: &[u8]) -> Result<Tree<'r>, ExportError> {
        let (size, kind) = self.odb.read_header(oid)?;
        if kind != ObjectType::Tree || size > limits::TREE_OBJECT_BYTES_MAX {
            return Err(ExportError::TooLarge(format!("the folder `{}` has too many names", shown(path))));
        }
        Ok(self.repository.find_tree(oid)?)
    }

    fn folder(&mut self, oid: Oid, path: &mut Vec<u8>, depth: usize) -> Result<(), ExportError> {
        if depth > self.limits.depth_max {
            return Err(ExportError::Path { path: shown(path), source: BadPath::TooLong });
        }
        let tree = self.tree(oid, path)?;
        let mut names = BTreeSet::new();
        let length = path.len();
        for entry in &tree {
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(entry.name_bytes());
            if !names.insert(entry.name_bytes().to_vec()) {
                return Err(ExportError::Twice { path: shown(path) });
            }
            self.entry(entry.name_bytes(), entry.filemode_raw(), entry.id(), path, depth)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn entry(&mut self, name: &[u8], mode: i32, oid: Oid, path: &mut Vec<u8>, depth: usize) -> Result<(), ExportError> {
        check_name(name).map_err(|source| ExportError::Path { path: shown(path), source })?;
        if path.len() > self.limits.path_bytes_max {
            return Err(ExportError::Path { path: shown(path), source: BadPath::TooLong });
        }
        self.summary.entries += 1;
        if self.summary.entries > self.limits.entries_max {
            return Err(ExportError::TooLarge(format!("more than {} files and folders", self.limits.entries_max)));
        }
        match mode {
            MODE_FOLDER => {
                self.tar.folder(as_path(path))?;
                self.folder(oid, path, depth + 1)
            }
            MODE_SUBMODULE => {
                if self.summary.warnings.len() < limits::EXPORT_WARNINGS_MAX {
                    let advice = "is not fetched: its folder is empty (commit its files, or install it as a dependency)";
                    self.summary.warnings.push(format!("submodule `{}` {advice}", shown(path)));
                }
                Ok(self.tar.folder(as_path(path))?)
            }
            MODE_LINK => self.link(oid, path),
            // Old histories hold group-writable files (100664); git reads them as 100644.
            _ => self.file(oid, if mode & 0o111 == 0 { 0o644 } else { 0o755 }, path),
        }
    }

    fn link(&mut self, oid: Oid, path: &[u8]) -> Result<(), ExportError> {
        let (size, kind) = self.odb.read_header(oid)?;
        if kind != ObjectType::Blob || size > limits::LINK_BYTES_MAX {
            return Err(ExportError::LinkLeaves { path: shown(path), target: "a name that is too long".to_owned() });
        }
        let blob = self.odb.read(oid)?;
        let target = as_path(blob.data());
        if blob.data().is_empty() || blob.data().contains(&0) || !link_stays_inside(as_path(path), target) {
            return Err(ExportError::LinkLeaves { path: shown(path), target: shown(blob.data()) });
        }
        Ok(self.tar.link(as_path(path), target)?)
    }

    fn file(&mut self, oid: Oid, mode: u32, path: &[u8]) -> Result<(), ExportError> {
        let (size, kind) = self.odb.read_header(oid)?;
        if kind != ObjectType::Blob {
            return Err(ExportError::Git(git2::Error::from_str("a file entry names no blob")));
        }
        let bytes = size as u64;
        self.summary.bytes = self.summary.bytes.saturating_add(bytes);
        if bytes > self.limits.file_bytes_max {
            let (is, max) = (model::text::bytes(bytes), model::text::bytes(self.limits.file_bytes_max));
            return Err(ExportError::TooLarge(format!("`{}` has {is}, at most {max} are taken", shown(path))));
        }
        if self.summary.bytes > self.limits.bytes_max {
            return Err(ExportError::TooLarge(format!("more than {} in all", model::text::bytes(self.limits.bytes_max))));
        }
        if size < limits::STREAMED_BLOB_BYTES_MIN {
            let blob = self.odb.read(oid)?;
            if is_lfs_pointer(blob.data()) {
                return Err(ExportError::LfsPointer { path: shown(path) });
            }
            return Ok(self.tar.file(as_path(path), mode, bytes, blob.data())?);
        }
        let large = match &mut self.large {
            Some(large) => large,
            none => none.insert(CatFile::start(self.repository.path())?),
        };
        let tar = &mut self.tar;
        Ok(large.blob(oid, bytes, |content| tar.file(as_path(path), mode, bytes, content))?)
    }
}

fn is_lfs_pointer(content: &[u8]) -> bool {
    content.len() < 1_024
        && content.starts_with(b"version https://git-lfs.github.com/spec/v1\n")
        && content.windows(11).any(|w| w == b"oid sha256:")
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn shown(path: &[u8]) -> String {
    model::text::clean_bytes(path, 200)
}
