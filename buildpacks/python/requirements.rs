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
        let mut waiting = vec!["requirements.txt".to_owned()];
        while let Some(path) = waiting.pop() {
            if found.files.iter().any(|(known, _)| *known == path) {
                continue;
            }
            let Some(bytes) = tree.read(&path, builder::limits::PLAN_FILE_BYTES_MAX)? else { continue };
            let text = String::from_utf8_lossy(&bytes).replace("\\\n", " ");
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            for line in text.lines() {
                waiting.extend(found.line(line, folder));
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

    pub(super) fn has_postgresql_driver(&self) -> bool {
        DRIVERS.iter().any(|driver| self.has(driver)) || DRIVER_EXTRAS.iter().any(|extra| self.extras.contains(*extra))
    }

    /// Takes one line; returns a file that it includes.
    fn line(&mut self, line: &str, folder: &str) -> Option<String> {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        self.anything = true;
        if let Some(included) = included(line) {
            let path = if folder.is_empty() { included.to_owned() } else { format!("{folder}/{included}") };
            let path = path.trim_start_matches("./").to_owned();
            let stays = !path.starts_with('/') && !path.contains("://") && path.split('/').all(|part| part != "..");
            self.local |= !stays;
            return stays.then_some(path);
        }
        self.local |= is_from_a_path(line);
        if !line.starts_with('-') {
            let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(line.len());
            self.names.insert(normal(&line[..end]));
            let extras = line[end..].trim_start().strip_prefix('[').and_then(|rest| rest.split(']').next());
            self.extras.extend(extras.unwrap_or_default().split(',').map(|extra| normal(extra.trim())));
        }
        None
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

/// The file of `-r FILE`, `-rFILE`, `--requirement=FILE` and the same for constraints.
fn included(line: &str) -> Option<&str> {
    let rest = ["--requirement", "--constraint", "-r", "-c"].iter().find_map(|option| line.strip_prefix(option))?;
    let file = rest.trim_start_matches(['=', ' ', '\t']).trim();
    Some(file).filter(|file| !file.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use builder::MemoryTree;

    #[test]
    fn names_and_included_files_are_found() {
        let tree = MemoryTree::from([
            (
                "requirements.txt",
                "# web\nFlask==3.0 # comment\n-r more/base.txt\nPsycopg2_binary>=2 ; python_version > '3'\n--index-url https://x\n",
            ),
            ("more/base.txt", "-c ../limits.txt\n-r other.txt\ngunicorn[gevent]\n"),
            ("more/other.txt", "-r base.txt\n"),
        ]);
        let found = Requirements::read(&tree).expect("reads");
        assert!(["flask", "psycopg2-binary", "gunicorn"].iter().all(|name| found.has(name)), "{:?}", found.names);
        assert_eq!(
            found.files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["requirements.txt", "more/base.txt", "more/other.txt"]
        );
        assert!(found.local, "a file outside the tree cannot be part of a key");
    }

    #[test]
    fn what_comes_from_the_repository_itself_is_noticed() {
        for (line, local) in [
            (".", true),
            ("-e .", true),
            ("./lib", true),
            ("x @ file:///app/x", true),
            ("-e git+https://h/x#egg=x", false),
            ("git+https://h/x", false),
            ("flask", false),
            ("flask==3.0 ; sys_platform == 'a/b' --hash=sha256:00", false),
            ("x @ https://h/x-1.0.tar.gz", false),
            ("vendor/x-1.0-py3-none-any.whl", true),
            ("x-1.0.tar.gz", true),
            ("--find-links wheels", true),
            ("--find-links=./wheels", true),
            ("-f wheels", true),
            ("-fwheels", true),
            ("-f https://h/wheels", false),
            ("--extra-index-url https://h/simple", false),
            ("--index-url=mirror/simple", true),
            ("--only-binary :all:", false),
        ] {
            let tree = MemoryTree::from([("requirements.txt", line)]);
            assert_eq!(Requirements::read(&tree).expect("reads").local, local, "{line}");
        }
    }

    #[test]
    fn drivers_of_postgresql_are_found_in_every_spelling() {
        let has_driver = |line: &str| {
            let text = format!("# an app\nflask==3.0\n{line}\ngunicorn\n");
            let tree = MemoryTree::from([("requirements.txt", text.as_str())]);
            Requirements::read(&tree).expect("reads").has_postgresql_driver()
        };
        for line in [
            "psycopg2-binary==2.9.9 --hash=sha256:00",
            "Psycopg2_Binary>=2",
            "  asyncpg ~= 0.29",
            "psycopg[binary,pool]>=3.1",
            "pg8000;python_version>'3.8'",
            "psycopg @ https://h/x.whl",
            "sqlalchemy[asyncio, postgresql]>=2",
            "databases [postgresql]",
        ] {
            assert!(has_driver(line), "{line}");
        }
        for line in ["flask", "# psycopg2", "psycopg2x", "my-psycopg2", "-r psycopg2.txt", "sqlalchemy[asyncio]", "pg", "postgresql"] {
            assert!(!has_driver(line), "{line}");
        }
    }
}
