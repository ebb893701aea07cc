//! Finding PostgreSQL on the machine.

use std::path::{Path, PathBuf};

use crate::limits::{MAJOR_VERSION_MIN, VERSIONS_MAX};

/// Where Debian and its children put the versions: `15/bin/postgres`.
const DEBIAN_FOLDER: &str = "/usr/lib/postgresql";

/// The programs of one version of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binaries {
    /// The major version: `15`.
    pub major: u32,
    /// The folder that holds `postgres`, `initdb`, `psql`, `pg_dump`.
    pub folder: PathBuf,
}

impl Binaries {
    /// The path of one of the programs.
    pub fn program(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }
}

/// Every usable PostgreSQL server of this machine, newest first: Debian's versioned folders
/// and the one on the search path.
pub fn find_binaries() -> Vec<Binaries> {
    let on_path = which::which("initdb").ok().and_then(|initdb| initdb.canonicalize().ok());
    find_in(Path::new(DEBIAN_FOLDER), on_path.as_deref())
}

fn find_in(debian_folder: &Path, initdb_on_path: Option<&Path>) -> Vec<Binaries> {
    let versions = debian_folder.read_dir().into_iter().flatten().flatten().take(VERSIONS_MAX);
    let mut found: Vec<Binaries> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .chain(initdb_on_path.and_then(|initdb| initdb.parent()).and_then(outside_debian))
        .filter(|(major, folder)| *major >= MAJOR_VERSION_MIN && is_complete(folder))
        .map(|(major, folder)| Binaries { major, folder })
        .collect();
    found.sort();
    found.dedup();
    found.reverse();
    found
}

/// A version that was unpacked elsewhere is known by its folder's name, without running
/// anything of it: `…/pgsql-16/bin`, `…/16.4/bin`.
fn outside_debian(folder: &Path) -> Option<(u32, PathBuf)> {
    let version = folder.parent()?.file_name()?.to_str()?;
    let digits = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    let major = digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some((major, folder.to_owned()))
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn install(folder: &Path) {
        fs::create_dir_all(folder).expect("folder");
        for program in ["initdb", "postgres"] {
            fs::write(folder.join(program), "").expect("program");
        }
    }

    #[test]
    fn the_newest_complete_version_comes_first() {
        let root = tempfile::tempdir().expect("folder");
        for version in ["9.6", "12", "13", "15", "17", "broken"] {
            install(&root.path().join(version).join("bin"));
        }
        fs::remove_file(root.path().join("17/bin/postgres")).expect("client only");
        let other = root.path().join("opt/pgsql-16.2/bin");
        install(&other);
        let found = find_in(root.path(), Some(&other.join("initdb")));
        assert_eq!(found.iter().map(|binaries| binaries.major).collect::<Vec<_>>(), [16, 15, 13]);
        assert_eq!(find_in(&root.path().join("none"), None), []);
    }

    #[test]
    fn a_version_found_twice_counts_once() {
        let root = tempfile::tempdir().expect("folder");
        let folder = root.path().join("15/bin");
        install(&folder);
        assert_eq!(find_in(root.path(), Some(&folder.join("initdb"))).len(), 1);
    }
}
