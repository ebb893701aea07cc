//! A root folder of its own with a launch, and servers that come and go.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use launch::folders::RootFolder;
use launch::{Config, Users};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// The user that stands for everyone who is not root.
const ORDINARY: u32 = 65_534;
/// Empties `/target` as `paas internal wipe` does, without needing the binary.
const WIPE: &str = "#!/bin/sh\n[ \"$*\" = 'internal wipe' ] || exit 9\n\
    [ ! -e /target/upper/chatty ] || head -c 200000 /dev/zero >&2\n\
    find /target -mindepth 1 -type d -exec chmod u+rwx {} +\n\
    find /target -mindepth 1 -delete 2>/dev/null\n[ -z \"$(find /target -mindepth 2)\" ]\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Root,
    Rootless,
}

/// Every mode that can be tried here.
pub(crate) fn modes() -> Vec<Mode> {
    if rustix::process::geteuid().is_root() { vec![Mode::Root, Mode::Rootless] } else { vec![Mode::Rootless] }
}

pub(crate) struct Stage {
    pub(crate) mode: Mode,
    folder: tempfile::TempDir,
    users: Users,
    launch: Option<(Child, OwnedFd)>,
}

impl Stage {
    pub(crate) fn new(mode: Mode) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let users = Users { base: 710_000 + std::process::id() % 1_000 * 100 };
        let root = folder.path().to_owned();
        std::fs::set_permissions(&root, PermissionsExt::from_mode(0o711)).expect("mode");
        let mut stage = Self { mode, folder, users, launch: None };
        if mode == Mode::Rootless && rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&root, Some(ORDINARY), Some(ORDINARY)).expect("owner");
        }
        stage.start_launch();
        stage
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Another launch on the same root folder.
    pub(crate) fn start_launch(&mut self) {
        self.stop_launch();
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("sockets");
        let mut command = self.command("launch", false);
        let launch = command.stdin(Stdio::from(theirs)).spawn().expect("launch (Debian package: util-linux)");
        self.launch = Some((launch, ours));
    }

    pub(crate) fn stop_launch(&mut self) {
        if let Some((mut launch, _)) = self.launch.take() {
            launch.kill().expect("kill launch");
            launch.wait().expect("launch");
        }
    }

    /// Plays a scenario as a server that ends afterwards.
    pub(crate) fn play(&self, scenario: &str) {
        let socket = match &self.launch {
            Some((_, socket)) => Stdio::from(socket.as_fd().try_clone_to_owned().expect("socket")),
            None => Stdio::null(),
        };
        let output = self.command(scenario, true).stdin(socket).output().expect("server");
        let shown = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        // An entry of another name would be no test at all, and a success.
        assert!(output.status.success() && shown.contains("1 passed"), "{scenario}, {:?}\n{shown}", self.mode);
    }

    /// This binary again, at `inside`, as whoever that is in this mode.
    fn command(&self, scenario: &str, is_server: bool) -> Command {
        let program = std::env::current_exe().expect("this binary");
        let is_root = rustix::process::geteuid().is_root();
        let user = match self.mode {
            Mode::Root if is_server => Some((self.users.paasd(), format!("{},{}", self.users.paasd(), self.users.shim()))),
            Mode::Rootless if is_root => Some((ORDINARY, ORDINARY.to_string())),
            _ => None,
        };
        let mut command = match user {
            None => Command::new(program),
            Some((id, groups)) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={id}"), format!("--regid={id}"), format!("--groups={groups}")]).arg(program);
                command
            }
        };
        command
            .args(["--exact", "scenarios::inside", "--nocapture", "--test-threads=1"])
            .env("PAAS_TEST_SCENARIO", scenario)
            .env("PAAS_TEST_ROOT", self.folder.path())
            .env("PAAS_TEST_BASE", self.users.base.to_string())
            .env("PAAS_TEST_IS_ROOT", (self.mode == Mode::Root).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl Drop for Stage {
    /// Ends what a failed claim left behind: nothing outlives its test.
    fn drop(&mut self) {
        for line in std::fs::read_to_string(self.folder.path().join("logs/shims")).unwrap_or_default().lines() {
            if let Some(pid) = line.parse().ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        self.stop_launch();
    }
}

/// The launch of the stage: makes the layout and serves.
pub(crate) fn launch(root: &Path, users: Users, is_root: bool) {
    RootFolder::open(root, users, is_root).expect("root").make_layout().expect("layout");
    let libexec = root.join("libexec");
    for (name, bytes) in [("shim-test", runner::shim_binary()), ("paas-test", WIPE.as_bytes())] {
        let (path, temporary) = (libexec.join(name), libexec.join(format!(".{name}")));
        if !path.exists() {
            std::fs::write(&temporary, bytes).expect("written");
            std::fs::set_permissions(&temporary, PermissionsExt::from_mode(0o755)).expect("mode");
            std::fs::rename(&temporary, &path).expect("in place");
        }
    }
    let config = Config {
        root: root.to_owned(),
        users,
        is_root,
        paas: "paas-test".to_owned(),
        shim: "shim-test".to_owned(),
        home: std::env::home_dir(),
    };
    let socket = std::io::stdin().as_fd().try_clone_to_owned().expect("socket");
    launch::main(&socket, &config);
}
