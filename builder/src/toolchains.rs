//! Interpreters of the host: real binaries with their versions, never shims.
//!
//! A pyenv shim found on `PATH` ends with 127 once `HOME` is the app's, so candidates
//! come from known places, are resolved to their real path and asked for their version.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::limits;

/// `3.11.7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl Version {
    /// A version of three numbers.
    pub fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A text that is no plain version (a pre-release among them).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("not a version of three numbers")]
pub struct NotAVersion;

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let number = |part: Option<&str>| part.and_then(|p| p.parse().ok()).ok_or(NotAVersion);
        let mut parts = text.trim().trim_start_matches('v').split('.');
        let version = Self { major: number(parts.next())?, minor: number(parts.next())?, patch: number(parts.next())? };
        if parts.next().is_some() { Err(NotAVersion) } else { Ok(version) }
    }
}

/// One interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// Its real path.
    pub path: PathBuf,
    /// Its version.
    pub version: Version,
    /// Its installer's version: pip's (`ensurepip 23.0.1`: it can put one into virtual
    /// environments, as Debian's python3-venv does; `None`: it has none), npm's.
    pub installer: Option<String>,
    /// The folder to mount if it is not below `/usr`.
    pub host_path: Option<PathBuf>,
}

/// The interpreters of a host, newest first.
pub trait Toolchains: Sync {
    /// `python3`.
    fn pythons(&self) -> &[Interpreter];
    /// `node`.
    fn nodes(&self) -> &[Interpreter];
}

/// A fixed list, for tests.
#[derive(Debug, Clone, Default)]
pub struct KnownToolchains {
    /// Pythons, newest first.
    pub pythons: Vec<Interpreter>,
    /// Nodes, newest first.
    pub nodes: Vec<Interpreter>,
}

impl Toolchains for KnownToolchains {
    fn pythons(&self) -> &[Interpreter] {
        &self.pythons
    }

    fn nodes(&self) -> &[Interpreter] {
        &self.nodes
    }
}

/// The interpreters of this machine, looked up when a buildpack first asks.
#[derive(Debug, Default)]
pub struct HostToolchains {
    roots: Vec<PathBuf>,
    pythons: OnceLock<Vec<Interpreter>>,
    nodes: OnceLock<Vec<Interpreter>>,
}

impl HostToolchains {
    /// Looks in `/usr/local/bin`, `/usr/bin` and these roots: a pyenv or nvm folder
    /// (`ROOT/versions/…`), or one installation (`ROOT/bin`).
    pub fn new(roots: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { roots: roots.into_iter().collect(), ..Self::default() }
    }

    /// Folders with programs, in the order in which they are preferred at equal versions.
    fn folders(&self) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = ["/usr/local/bin", "/usr/bin"].map(PathBuf::from).into();
        for root in &self.roots {
            folders.push(root.join("bin"));
            for versions in [root.join("versions"), root.join("versions/node")] {
                let names = std::fs::read_dir(versions).into_iter().flatten().flatten();
                folders.extend(names.map(|entry| entry.path().join("bin")).take(limits::PROBES_MAX));
            }
        }
        folders
    }
}

impl Toolchains for HostToolchains {
    fn pythons(&self) -> &[Interpreter] {
        self.pythons.get_or_init(|| {
            let is_python = |name: &str| {
                let rest = name.strip_prefix("python3").unwrap_or("-");
                rest.is_empty() || rest.strip_prefix('.').is_some_and(|minor| minor.bytes().all(|b| b.is_ascii_digit()))
            };
            probe(&binaries(&self.folders(), is_python), &["-I", "-c", PYTHON_PROBE], limits::PROBE_MAX)
        })
    }

    fn nodes(&self) -> &[Interpreter] {
        self.nodes.get_or_init(|| {
            let is_node = |name: &str| name == "node" || name == "nodejs";
            let mut nodes = probe(&binaries(&self.folders(), is_node), &["--version"], limits::PROBE_MAX);
            nodes.iter_mut().for_each(find_npm);
            nodes
        })
    }
}

const PYTHON_PROBE: &str = "import sys
print('.'.join(map(str, sys.version_info[:3])) if sys.version_info[3] == 'final' else 'pre')
try:
    from importlib import metadata
    print(metadata.version('pip'))
except Exception:
    try:
        import ensurepip
        print('ensurepip ' + ensurepip.version())
    except Exception:
        pass";

/// Real paths of the matching programs, each once.
fn binaries(folders: &[PathBuf], matches: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for folder in folders {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).filter(|name| name.to_str().is_some_and(&matches)).collect();
        names.sort();
        let real = names.iter().filter_map(|name| std::fs::canonicalize(folder.join(name)).ok());
        found.extend(real.filter(|path| seen.insert(path.clone())));
    }
    found.truncate(limits::PROBES_MAX);
    found
}

/// A candidate that was asked for its version.
struct Asked {
    path: PathBuf,
    child: Child,
    answer: Receiver<io::Result<String>>,
}

/// Asks all candidates at once; those that have not answered after this time are left out.
fn probe(candidates: &[PathBuf], arguments: &[&str], within: Duration) -> Vec<Interpreter> {
    let deadline = Instant::now() + within;
    let asked: Vec<Asked> = candidates.iter().filter_map(|path| ask(path, arguments)).collect();
    let mut newest = BTreeMap::new();
    for mut asked in asked {
        let answer = asked.answer.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        // Whatever it still does, and whatever it started.
        let _ = rustix::process::kill_process_group(Pid::from_child(&asked.child), Signal::KILL);
        let _ = asked.child.wait();
        let Ok(Ok(text)) = answer else { continue };
        let mut lines = text.lines();
        let Some(Ok(version)) = lines.next().map(str::parse) else { continue };
        let installer = lines.next().map(|line| model::text::clean(line, 40));
        let host_path = host_path(&asked.path);
        // The first of two equal versions counts: the order of the folders.
        newest.entry(version).or_insert(Interpreter { path: asked.path, version, installer, host_path });
    }
    newest.into_values().rev().collect()
}

fn ask(path: &Path, arguments: &[&str]) -> Option<Asked> {
    let mut command = Command::new(path);
    command.args(arguments).env_clear().current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.process_group(0).spawn().ok()?;
    let output = child.stdout.take()?;
    let (sender, answer) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = output.take(limits::PROBE_OUTPUT_BYTES_MAX).read_to_string(&mut text);
        let _ = sender.send(read.map(|_| text));
    });
    Some(Asked { path: path.to_owned(), child, answer })
}

/// The folder that holds `bin/` of an interpreter outside `/usr`.
fn host_path(path: &Path) -> Option<PathBuf> {
    if path.starts_with("/usr") {
        return None;
    }
    path.parent().and_then(Path::parent).map(Path::to_owned)
}

/// npm of the same installation, and its version from its own package.json: asking
/// npm itself takes 0.3 s.
fn find_npm(node: &mut Interpreter) {
    let Some(npm) = node.path.parent().map(|folder| folder.join("npm")).and_then(|npm| std::fs::canonicalize(npm).ok()) else {
        return;
    };
    let package = npm.parent().and_then(Path::parent).map(|folder| folder.join("package.json"));
    let text = package.and_then(|package| std::fs::read(package).ok()).unwrap_or_default();
    let version = serde_json::from_slice::<serde_json::Value>(&text).ok();
    node.installer = version.and_then(|package| Some(package.get("version")?.as_str()?.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_and_pre_releases_are_none() {
        let parse = |text: &str| text.parse::<Version>();
        assert!(parse("3.9.18") < parse("3.11.2"));
        assert_eq!(parse("v20.1.0"), Ok(Version::new(20, 1, 0)));
        for bad in ["3.14.0rc1", "3.11", "pre", "", "1.2.3.4"] {
            assert_eq!(parse(bad), Err(NotAVersion), "{bad}");
        }
    }

    #[test]
    fn an_interpreter_of_this_machine_is_found_by_its_real_path() {
        let host = HostToolchains::new([]);
        let python = host.pythons().first().expect("a Python: apt install python3 python3-pip");
        assert!(!python.path.is_symlink());
        assert!(python.installer.is_some(), "pip: apt install python3-venv");
        let node = host.nodes().first().expect("Node.js: apt install nodejs npm");
        assert!(node.installer.is_some(), "npm: apt install npm");
    }

    /// Scripts of these names below a folder.
    fn scripts<const N: usize>(scripts: [(&str, &str); N]) -> (tempfile::TempDir, [PathBuf; N]) {
        let root = tempfile::tempdir().expect("folder");
        std::fs::create_dir(root.path().join("bin")).expect("bin");
        let paths = scripts.map(|(name, script)| {
            // Another process writes it: a descriptor of ours could be inherited by a
            // neighbour's fork, and then the script is "busy".
            let path = root.path().join("bin").join(name);
            let mut write = Command::new("sh");
            write.args(["-c", "printf '#!/bin/sh\n%s\n' \"$1\" >\"$0\" && chmod 755 \"$0\""]);
            assert!(write.arg(&path).arg(script).status().expect("sh").success());
            path
        });
        (root, paths)
    }

    #[test]
    fn a_shim_that_fails_is_left_out() {
        let (root, _) = scripts([("python3", "exit 127"), ("python3.99", "echo 3.99.1\necho 1.0")]);
        let host = HostToolchains::new([root.path().to_owned()]);
        let newest = &host.pythons()[0];
        assert_eq!(newest.version, Version::new(3, 99, 1));
        assert_eq!(newest.host_path.as_deref(), Some(std::fs::canonicalize(root.path()).expect("real").as_path()));
    }

    #[test]
    fn a_tool_that_hangs_is_left_out_in_time_and_its_neighbours_are_not() {
        const WITHIN: Duration = Duration::from_secs(3);
        let (_root, paths) = scripts([("a", "sleep 600"), ("b", "echo 20.1.0; exec >&-; sleep 600"), ("c", "echo 22.1.0")]);
        let started = Instant::now();
        let found: Vec<Version> = probe(&paths, &["--version"], WITHIN).into_iter().map(|node| node.version).collect();
        assert_eq!(found, [Version::new(22, 1, 0), Version::new(20, 1, 0)]);
        assert!(started.elapsed() < 2 * WITHIN, "{:?}", started.elapsed());
    }
}
