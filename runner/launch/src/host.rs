//! What the host has: found once at the start, given to the pure rules.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::limits::{APP_TASKS_MAX, ETC_ENTRIES_MAX, MACHINE_TASKS_SHARE, RESOLV_CONF_BYTES_MAX};
use crate::{Config, Users};

/// Folders of a home that hold interpreters that apps need.
const TOOLCHAINS: [&str; 3] = [".pyenv", ".rbenv", ".nvm"];
/// Parts of `/etc` that are shown as they are.
const ETC_SHOWN: [&str; 11] = [
    "ssl",
    "ca-certificates",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "localtime",
    "services",
    "protocols",
    "mime.types",
    "timezone",
];
/// Parts of `/etc` that are shown by how they begin.
const ETC_SHOWN_PREFIXES: [&str; 2] = ["java", "python3"];
/// Folders of the host that are links into `/usr` on a merged system.
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// What sandboxes are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCapabilities {
    /// Whether launch is root.
    pub is_root: bool,
    /// The numbers of the users.
    pub users: Users,
    /// The root folder.
    pub root: String,
    /// File name of the paas binary in `libexec/`.
    pub paas: String,
    /// Links at the root of the host: name and target.
    pub links: Vec<(String, String)>,
    /// Folders at the root of the host that are shown.
    pub folders: Vec<String>,
    /// Entries of `/etc` that are shown.
    pub etc: Vec<String>,
    /// Toolchains outside them, shown at the same path.
    pub toolchains: Vec<String>,
    /// Device files that are shown.
    pub devices: Vec<String>,
    /// Most processes and threads of one user of an app.
    pub app_tasks: u64,
    /// The host's `resolv.conf`, read anew for each run.
    pub resolv_conf: Vec<u8>,
}

impl HostCapabilities {
    /// Looks around.
    pub fn discover(config: &Config) -> Self {
        let mut links = Vec::new();
        let mut folders = Vec::new();
        for name in MERGED {
            let path = Path::new("/").join(name);
            match fs::read_link(&path) {
                Ok(target) => links.extend(target.to_str().map(|target| (name.to_owned(), target.to_owned()))),
                Err(_) if path.is_dir() => folders.push(name.to_owned()),
                Err(_) => {}
            }
        }
        folders.extend(["usr", "opt"].iter().filter(|name| Path::new("/").join(name).is_dir()).map(|name| (*name).to_owned()));
        let devices = DEVICES.iter().filter(|name| Path::new("/dev").join(name).exists());
        Self {
            is_root: config.is_root,
            users: config.users,
            root: config.root.to_string_lossy().into_owned(),
            paas: config.paas.clone(),
            links,
            folders,
            etc: etc_shown(),
            toolchains: toolchains(config.home.as_deref()),
            devices: devices.map(|name| (*name).to_owned()).collect(),
            app_tasks: app_tasks(["threads-max", "pid_max"].into_iter().filter_map(kernel_number)),
            resolv_conf: resolv_conf(),
        }
    }

    /// Reads what changes while launch lives.
    pub fn refresh(&mut self) {
        self.resolv_conf = resolv_conf();
    }
}

/// Folders of a home that every sandbox shows at the same path.
pub fn toolchains(home: Option<&Path>) -> Vec<String> {
    let Some(home) = home.filter(|home| home.is_absolute() && home.parent().is_some()) else { return Vec::new() };
    let found = TOOLCHAINS.iter().map(|name| home.join(name)).filter(|path: &PathBuf| path.is_dir());
    found.filter_map(|path| path.to_str().map(ToOwned::to_owned)).collect()
}

/// The generous limit, or a share of what the machine can have.
fn app_tasks(of_machine: impl Iterator<Item = u64>) -> u64 {
    of_machine.map(|most| most / MACHINE_TASKS_SHARE).fold(APP_TASKS_MAX, u64::min)
}

fn kernel_number(name: &str) -> Option<u64> {
    fs::read_to_string(Path::new("/proc/sys/kernel").join(name)).ok()?.trim().parse().ok()
}

fn etc_shown() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/etc") else { return Vec::new() };
    let names = entries.take(ETC_ENTRIES_MAX).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let shown = |name: &String| {
        (ETC_SHOWN.contains(&name.as_str()) || ETC_SHOWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
            && Path::new("/etc").join(name).exists()
    };
    let mut names: Vec<String> = names.filter(shown).collect();
    names.sort_unstable();
    names
}

fn resolv_conf() -> Vec<u8> {
    let mut text = Vec::new();
    if let Ok(file) = File::open("/etc/resolv.conf") {
        // Half a file would be worse than what could be read of it.
        let _ = file.take(RESOLV_CONF_BYTES_MAX).read_to_end(&mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_may_have_many_processes_but_never_most_of_the_machines() {
        assert_eq!(app_tasks([192_000, 4_194_304].into_iter()), APP_TASKS_MAX);
        assert_eq!(app_tasks([7_800, 32_768].into_iter()), 1_950);
        assert_eq!(app_tasks(std::iter::empty()), APP_TASKS_MAX);
    }
}
