//! Programs of the machine that tests call. A missing one fails the test by name.

use std::path::PathBuf;
use std::process::Command;

/// Program → the Debian package that has it.
const PACKAGES: &[(&str, &str)] = &[
    ("git", "git"),
    ("mount", "mount"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("prlimit", "util-linux"),
    ("python3", "python3"),
    ("setpriv", "util-linux"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("sshd", "openssh-server"),
    ("umount", "mount"),
    ("unshare", "util-linux"),
];

/// Where a program is. `/usr/sbin` is looked at too: it is not on everyone's PATH.
#[track_caller]
pub(crate) fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders.map(|folder| folder.join(program)).find(|candidate| candidate.is_file());
    let package = PACKAGES.iter().find(|(name, _)| *name == program).map_or("(unknown)", |(_, package)| package);
    found.unwrap_or_else(|| panic!("{program} is missing: apt install {package}"))
}

/// Runs a program of the machine that must succeed and returns what it printed.
#[track_caller]
pub(crate) fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(find(program)).args(words).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words:?} failed ({}): {said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
