//! A checkout as an author has it, and the app that it belongs to.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::asking::pid_of;
use super::host::Host;
use super::output::Output;
use super::{PUSH_DEADLINE, SOON, processes, tools, wait_until};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../procfile-examples");
/// What lies in an example's folder after it was tried by hand.
const NOT_COPIED: [&str; 4] = ["node_modules", "__pycache__", ".venv", ".git"];

/// A git working copy on the branch `main`.
#[derive(Debug)]
pub(crate) struct Checkout<'h> {
    host: &'h Host,
    folder: PathBuf,
}

impl<'h> Checkout<'h> {
    /// A copy of an example, committed.
    pub(crate) fn of_example(host: &'h Host, example: &str) -> Self {
        let checkout = Self::empty(host);
        copy_folder(&Path::new(EXAMPLES).join(example), &checkout.folder);
        checkout.give_all(&checkout.folder);
        checkout.commit("First");
        checkout
    }

    /// Some files, committed. Those below `bin/` are executable.
    pub(crate) fn of_files(host: &'h Host, files: &[(&str, &str)]) -> Self {
        let checkout = Self::empty(host);
        for (path, text) in files {
            checkout.write(path, text);
        }
        checkout.commit("First");
        checkout
    }

    /// A repository without a commit.
    pub(crate) fn empty(host: &'h Host) -> Self {
        let folder = tempfile::Builder::new().prefix("checkout-").tempdir_in(host.path("checkouts")).expect("folder of a checkout");
        // Removed with the host's folder.
        let folder = folder.keep();
        host.give_to_caller(&folder);
        let checkout = Self { host, folder };
        checkout.git(&["init", "--quiet", "--initial-branch=main"]).expect_ok();
        checkout.git(&["config", "user.name", "Author"]).expect_ok();
        checkout.git(&["config", "user.email", "author@example.com"]).expect_ok();
        checkout
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file; below `bin/` it becomes executable.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let file = self.folder.join(path);
        fs::create_dir_all(file.parent().expect("a parent")).expect("folder in a checkout");
        fs::write(&file, text).expect("file in a checkout");
        let mode = if path.starts_with("bin/") { 0o755 } else { 0o644 };
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("mode of a file");
        self.give_all(&self.folder);
    }

    /// Changes a piece of a file that must be there once.
    #[track_caller]
    pub(crate) fn replace(&self, path: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.folder.join(path)).expect("file in a checkout");
        assert_eq!(text.matches(old).count(), 1, "`{old}` in {path}");
        fs::write(self.folder.join(path), text.replace(old, new)).expect("file in a checkout");
    }

    /// Commits everything as it is.
    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "--all"]).expect_ok();
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]).expect_ok();
    }

    /// The commit that is checked out.
    pub(crate) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).expect_ok().stdout.trim().to_owned()
    }

    /// Runs git here.
    pub(crate) fn git(&self, words: &[&str]) -> Output {
        Output::of(&mut self.git_command(words), &format!("git {}", words.join(" ")), PUSH_DEADLINE)
    }

    /// The command, for tests that want to do more with it.
    pub(crate) fn git_command(&self, words: &[&str]) -> Command {
        // ssh asks who its caller is: the account is there for it too.
        let mut command = self.host.command_behind(&self.host.with_passwd(), &tools::find("git"));
        command.args(words).current_dir(&self.folder).env("PAAS_ROOT", self.host.root());
        command
    }

    fn give_all(&self, folder: &Path) {
        for entry in fs::read_dir(folder).expect("folder in a checkout").flatten() {
            if entry.file_name() != ".git" {
                self.host.give_to_caller(&entry.path());
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    self.give_all(&entry.path());
                }
            }
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())).flatten() {
        let name = entry.file_name();
        if NOT_COPIED.iter().any(|skipped| name == *skipped) {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            fs::create_dir(to.join(&name)).expect("folder in a checkout");
            copy_folder(&entry.path(), &to.join(&name));
        } else {
            fs::copy(entry.path(), to.join(&name)).expect("file in a checkout");
        }
    }
}

/// An app on a host, with its checkout.
#[derive(Debug)]
pub(crate) struct App<'h> {
    /// Its name.
    pub(crate) name: String,
    /// Where its author works.
    pub(crate) checkout: Checkout<'h>,
}

impl<'h> App<'h> {
    /// An app that was created from a checkout.
    pub(crate) fn new(name: &str, checkout: Checkout<'h>) -> Self {
        Self { name: name.to_owned(), checkout }
    }

    fn host(&self) -> &'h Host {
        self.checkout.host
    }

    /// `git push paas main`.
    pub(crate) fn push(&self) -> Output {
        self.checkout.git(&["push", "paas", "main"])
    }

    /// Changes a piece of a file, commits and pushes.
    #[track_caller]
    pub(crate) fn push_change(&self, path: &str, old: &str, new: &str) -> Output {
        self.checkout.replace(path, old, new);
        self.checkout.commit(&format!("Say {new} instead of {old}"));
        self.push()
    }

    /// Runs `paas WORDS` in the checkout, where `-a` is not needed.
    pub(crate) fn paas(&self, words: &[&str]) -> Output {
        self.host().paas_in(self.checkout.folder(), words)
    }

    /// An instance as `ps --json` shows it, if it is there.
    #[track_caller]
    pub(crate) fn instance(&self, name: &str) -> Option<Value> {
        let listed = self.paas(&["ps", "--json"]).expect_ok().json();
        let types = listed["types"].as_array().cloned().unwrap_or_default();
        let rows = types.iter().flat_map(|row| row["instances"].as_array().cloned().unwrap_or_default());
        rows.into_iter().find(|row| row["name"] == name)
    }

    /// An instance once it is up.
    #[track_caller]
    pub(crate) fn up(&self, name: &str) -> Value {
        self.up_within(name, SOON)
    }

    /// The same with another deadline.
    #[track_caller]
    pub(crate) fn up_within(&self, name: &str, deadline: Duration) -> Value {
        wait_until(&format!("{} {name} is up", self.name), deadline, || {
            self.instance(name).filter(|row| row["state"] == "up" && row["shim_pid"].is_u64())
        })
    }

    /// The process id of the Procfile command of an instance that is up.
    #[track_caller]
    pub(crate) fn process(&self, name: &str) -> u32 {
        let shim = pid_of(&self.up(name)["shim_pid"]);
        wait_until("the shim has its child", SOON, || processes::children(shim).first().copied())
    }

    /// The port that is the app's own and needs no DNS.
    #[track_caller]
    pub(crate) fn lasting_port(&self) -> u16 {
        let info = self.paas(&["apps:info", "--json"]).expect_ok().json();
        let port = info["port_url"].as_str().and_then(|url| url.trim_end_matches('/').rsplit(':').next()?.parse().ok());
        port.unwrap_or_else(|| panic!("no port in {info}"))
    }

    /// The release that serves: `v7`.
    #[track_caller]
    pub(crate) fn release(&self) -> String {
        let listed = self.paas(&["ps", "--json"]).expect_ok().json();
        listed["release"].as_str().unwrap_or("none").to_owned()
    }

    /// The commit at the end of `main` as the server has it.
    #[track_caller]
    pub(crate) fn remote_head(&self) -> Option<String> {
        let listed = self.checkout.git(&["ls-remote", "paas", "refs/heads/main"]).expect_ok().stdout;
        listed.split_whitespace().next().map(str::to_owned)
    }

    /// The newest log lines, as people see them.
    #[track_caller]
    pub(crate) fn logs(&self) -> String {
        self.paas(&["logs", "-n", "1000"]).expect_ok().stdout
    }

    /// Waits until a log line holds this.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str, deadline: Duration) -> String {
        wait_until(&format!("the log of {} says `{text}`", self.name), deadline, || {
            self.logs().lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }
}
