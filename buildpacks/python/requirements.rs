//! What requirements.txt names, as far as a plan needs to know.

use std::collections::BTreeSet;
use std::io;

use builder::SourceTree;

use crate::limits;

/// Packages that are drivers of PostgreSQL.
const DRIVERS: [&str; 11] = [
    "aiopg",
    "asyncpg",
    "pg8000",
    "psqlpy",
    "psycopg",
    "psycopg-binary",
    "psycopg-c",
    "psycopg2",
    "psycopg2-binary",
    "psycopg2cffi",
    "py-postgresql",
];
/// Extras of other packages that pull one in.
const DRIVER_EXTRAS: [&str; 6] = ["asyncpg", "postgres", "postgresql", "postgresql-asyncpg", "postgresql-psycopg", "psycopg"];

/// requirements.txt and every file that it includes.
#[derive(Debug, Default)]
pub(super) struct Requirements {
    /// Normalised names of packages.
    names: BTreeSet<String>,
    /// Normalised names of extras: `postgresql` of `sqlalchemy[postgresql]`.
    extras: BTreeSet<String>,
    /// Path and content of each file.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// Something is installed from the repository itself, so any file may matter.
    pub(super) local: bool,
    /// There is a line that is neither empty nor a comment.
    pub(super) anything: bool,
}

impl Requirements {
    pub(super) fn read(tree: &dyn SourceTree) -> io::Result<Self> {
        let mut found = Self::default();
        let mut waiting = vec![Included { path: "requirements.txt".to_owned(), installs: true }];
        while let Some(Included { path, installs }) = waiting.pop() {
            if found.files.iter().any(|(known, _)| *known == path) {
                continue;
            }
            let Some(bytes) = tree.read(&path, builder::limits::PLAN_FILE_BYTES_MAX)? else { continue };
            let text = decode(&bytes).replace("\\\n", " ");
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            for line in text.lines() {
                waiting.extend(found.line(line, folder, installs));
            }
            found.files.push((path, bytes));
            if found.files.len() >= limits::REQUIREMENTS_FILES_MAX {
                found.local = true;
                break;
            }
        }
        Ok(found)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// FastAPI brings it along if asked to.
    pub(super) fn has_uvicorn(&self) -> bool {
        self.has("uvicorn") || (self.has("fastapi") && ["standard", "all"].iter().any(|extra| self.extras.contains(*extra)))
    }

    pub(super) fn has_postgresql_driver(&self) -> bool {
        DRIVERS.iter().any(|driver| self.has(driver)) || DRIVER_EXTRAS.iter().any(|extra| self.extras.contains(*extra))
    }

    /// Takes one line of a file that installs what it names or only constrains it.
    fn line(&mut self, line: &str, folder: &str, installs: bool) -> Option<Included> {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        self.anything = true;
        if let Some((included, is_constraint)) = included(line) {
            let path = if folder.is_empty() { included.to_owned() } else { format!("{folder}/{included}") };
            let path = path.trim_start_matches("./").to_owned();
            let stays = !path.starts_with('/') && !path.contains("://") && path.split('/').all(|part| part != "..");
            self.local |= !stays;
            return stays.then_some(Included { path, installs: installs && !is_constraint });
        }
        self.local |= is_from_a_path(line);
        if installs && !line.starts_with('-') {
            let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(line.len());
            self.names.insert(normal(&line[..end]));
            let extras = line[end..].trim_start().strip_prefix('[').and_then(|rest| rest.split(']').next());
            self.extras.extend(extras.unwrap_or_default().split(',').map(|extra| normal(extra.trim())));
        }
        None
    }
}

/// A file that another one includes.
struct Included {
    path: String,
    /// What it names is installed, not only constrained.
    installs: bool,
}

/// As pip reads it: PowerShell writes UTF-16.
fn decode(bytes: &[u8]) -> String {
    let units = |unit: fn([u8; 2]) -> u16| bytes[2..].as_chunks().0.iter().map(|pair| unit(*pair)).collect::<Vec<_>>();
    match bytes {
        [0xff, 0xfe, ..] => String::from_utf16_lossy(&units(u16::from_le_bytes)),
        [0xfe, 0xff, ..] => String::from_utf16_lossy(&units(u16::from_be_bytes)),
        _ => String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').to_owned(),
    }
}

/// The name by which the package index knows a project: lower case, `-` for `-`, `_`, `.`.
fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// Whether pip would look into a file or folder that no key of a cache can see.
fn is_from_a_path(line: &str) -> bool {
    const PLACES: [&str; 7] = ["--editable", "-e", "--find-links", "-f", "--index-url", "--extra-index-url", "-i"];
    const ARCHIVES: [&str; 6] = [".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"];
    if line.contains("file:") {
        return true;
    }
    if line.starts_with('-') {
        return PLACES.iter().any(|option| line.starts_with(option)) && !line.contains("://");
    }
    // Markers and hashes come after what is installed.
    let what = line.split([';', ' ']).next().unwrap_or_default();
    !line.contains("://") && (what.starts_with('.') || what.contains('/') || ARCHIVES.iter().any(|end| what.ends_with(end)))
}

/// The file of `-r FILE`, `-rFILE`, `--requirement=FILE` and the same for constraints; whether
/// it is one of those.
fn included(line: &str) -> Option<(&str, bool)> {
    const OPTIONS: [(&str, bool); 4] = [("--requirement", false), ("--constraint", true), ("-r", false), ("-c", true)];
    let (rest, is_constraint) = OPTIONS.iter().find_map(|(option, is)| Some((line.strip_prefix(option)?, *is)))?;
    let file = rest.trim_start_matches(['=', ' ', '\t']).trim();
    Some((file, is_constraint)).filter(|_| !file.is_empty())
}

#[cfg(test)]
#[path = "requirements_tests.rs"]
mod tests;
