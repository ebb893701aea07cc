//! One paas server in a folder of its own, with users and ports of its own. Dropping
//! it stops everything and fails the test if anything is left.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tempfile::TempDir;

use super::output::Output;
use super::seats::{Mode, Seat};
use super::wait::found_within;
use super::{PUSH_DEADLINE, SOON, processes, tools, wait_until};

/// How long `stop --all` may take: the grace period of an app that ignores SIGTERM, and more.
const STOP_DEADLINE: Duration = Duration::from_secs(90);
/// How much of the server's log a failed test shows.
const SHOWN_LOG_LINES: usize = 150;
const BINARY: &str = env!("CARGO_BIN_EXE_paas");

/// What a test wants to be different.
#[derive(Debug, Default)]
pub(crate) struct HostOptions {
    /// Who starts the server, where that is not up to this test run.
    pub(crate) mode: Option<Mode>,
    /// Mount a tmpfs of this size at the root folder (only where root runs the tests).
    pub(crate) disk_bytes: Option<u64>,
    /// Have an account for `ssh paas@box` that only server and SSH server see. An
    /// ordinary user's sshd can only log in that same user, so that is the account then.
    pub(crate) login_account: bool,
    /// More lines of paas.toml.
    pub(crate) settings: &'static str,
}

/// A server and everything around it.
#[derive(Debug)]
pub(crate) struct Host {
    /// Who starts the server.
    pub(crate) mode: Mode,
    /// Its users and ports.
    pub(crate) seat: Seat,
    options: HostOptions,
    folder: TempDir,
    binary: PathBuf,
    guardian: Mutex<Option<Child>>,
    _binary_copy: Option<Arc<TempDir>>,
}

impl Host {
    /// A server that answers, in the mode of this test run.
    pub(crate) fn start() -> Self {
        Self::start_with(HostOptions::default())
    }

    /// The same with something different.
    pub(crate) fn start_with(options: HostOptions) -> Self {
        let (mode, seat) = (options.mode.unwrap_or_else(Mode::chosen), Seat::take());
        let folder = tempfile::Builder::new().prefix("paas-test-").tempdir_in(work_folder()).expect("folder of a test");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("mode of the folder");
        let copy = (mode == Mode::Rootless && nix::unistd::geteuid().is_root()).then(readable_binary);
        let binary = copy.as_ref().map_or_else(|| PathBuf::from(BINARY), |copy| copy.path().join("paas"));
        let host = Self { mode, seat, options, folder, binary, guardian: Mutex::new(None), _binary_copy: copy };
        host.make_folders();
        host.start_server();
        host
    }

    fn make_folders(&self) {
        for folder in [self.root(), self.home(), self.folder.path().join("checkouts")] {
            fs::create_dir(&folder).expect("folder of a host");
            self.give_to_caller(&folder);
        }
        if let Some(bytes) = self.options.disk_bytes {
            let root = self.root();
            tools::run("mount", &["-t", "tmpfs", "-o", &format!("size={bytes},mode=0755"), "paas-test", &root.to_string_lossy()]);
            self.give_to_caller(&root);
        }
        let uid = if self.mode == Mode::Root { self.seat.login_uid() } else { self.seat.caller_uid() };
        let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
        fs::write(self.passwd_file(), format!("{passwd}paas:*:{uid}:{uid}:paas:/:/bin/sh\n")).expect("passwd of a test");
        let settings = format!(
            "uid_base = {}\nlease_ports = \"{}-{}\"\napp_ports = \"{}-{}\"\npostgres_port = {}\ndomain = \"localhost\"\nlogin_user = \"{}\"\n",
            self.seat.uid_base(),
            self.seat.leases().start(),
            self.seat.leases().end(),
            self.seat.apps().start(),
            self.seat.apps().end(),
            self.seat.postgres(),
            self.login_user(),
        );
        fs::write(self.root().join("paas.toml"), settings + self.options.settings).expect("paas.toml");
        self.give_to_caller(&self.root().join("paas.toml"));
    }

    /// The root folder of the server.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Home of whoever types the commands.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A place below the test's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn passwd_file(&self) -> PathBuf {
        self.path("passwd")
    }

    /// The account of `ssh paas@box`.
    pub(crate) fn login_user(&self) -> String {
        let caller = nix::unistd::geteuid();
        if caller.is_root() || !self.options.login_account {
            return "paas".to_owned();
        }
        nix::unistd::User::from_uid(caller).expect("passwd").expect("an account for whoever runs the tests").name
    }

    fn is_borrowed(&self) -> bool {
        self.mode == Mode::Rootless && nix::unistd::geteuid().is_root()
    }

    /// Gives a file or folder to whoever types the commands.
    pub(crate) fn give_to_caller(&self, path: &Path) {
        if self.is_borrowed() {
            let uid = Some(self.seat.caller_uid());
            std::os::unix::fs::lchown(path, uid, uid).unwrap_or_else(|error| panic!("owner of {}: {error}", path.display()));
        }
    }

    /// A command as the one who types commands on this host, with a home of its own.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        self.command_behind(&[], program.as_ref())
    }

    pub(crate) fn command_behind(&self, wrapper: &[String], program: &Path) -> Command {
        let mut words: Vec<String> = wrapper.to_vec();
        if self.is_borrowed() {
            let uid = self.seat.caller_uid();
            words.push(tools::find("setpriv").to_string_lossy().into_owned());
            words.extend([format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".into(), "--".into()]);
        }
        words.push(program.to_string_lossy().into_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(self.home()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if ["GIT_", "PAAS_", "CARGO", "RUST", "XDG_", "LD_"].iter().any(|start| name.starts_with(start)) && name != "GIT_SSL_CAINFO" {
                command.env_remove(&*name);
            }
        }
        command.env("HOME", self.home()).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").env("NO_COLOR", "1");
        command
    }

    /// Words that put a program where `/etc/passwd` has the login account.
    pub(crate) fn with_passwd(&self) -> Vec<String> {
        if !self.options.login_account || !nix::unistd::geteuid().is_root() {
            return Vec::new();
        }
        let script = "mount --bind \"$1\" /etc/passwd; shift; exec \"$@\"";
        let unshare = tools::find("unshare").to_string_lossy().into_owned();
        let passwd = self.passwd_file().to_string_lossy().into_owned();
        [unshare, "--mount".into(), "/bin/sh".into(), "-euc".into(), script.into(), "sh".into(), passwd].into()
    }

    /// Starts `paas server` and waits until it answers. The log goes on in the same file.
    pub(crate) fn start_server(&self) {
        let log = File::options().append(true).create(true).open(self.log_file()).expect("log of the server");
        let mut command = self.command_behind(&self.with_passwd(), &self.binary);
        command.args(["server", "--root"]).arg(self.root()).args(["--http", &format!("127.0.0.1:{}", self.seat.http())]);
        let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("the server starts");
        *self.guardian.lock().expect("guardian") = Some(child);
        wait_until("the server answers", SOON, || {
            let ended = self.guardian.lock().expect("guardian").as_mut().and_then(|child| child.try_wait().ok()?);
            assert!(ended.is_none(), "the server ended at once ({}):\n{}", ended.expect("status"), self.server_log());
            (self.paas(&["status", "--json"]).code == 0).then_some(())
        });
    }

    fn log_file(&self) -> PathBuf {
        self.path("server.log")
    }

    /// What the server logged so far.
    pub(crate) fn server_log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Runs `paas WORDS` for this server.
    pub(crate) fn paas(&self, words: &[&str]) -> Output {
        self.paas_in(&self.home(), words)
    }

    /// The same in some folder.
    pub(crate) fn paas_in(&self, folder: &Path, words: &[&str]) -> Output {
        Output::of(self.paas_command(words).current_dir(folder), &format!("paas {}", words.join(" ")), PUSH_DEADLINE)
    }

    /// The command, for tests that want to do more with it.
    pub(crate) fn paas_command(&self, words: &[&str]) -> Command {
        let mut command = self.command(&self.binary);
        command.env("PAAS_ROOT", self.root()).args(words);
        command
    }

    /// The process that was started by hand: it only waits.
    pub(crate) fn guardian_pid(&self) -> u32 {
        self.guardian.lock().expect("guardian").as_ref().expect("a running server").id()
    }

    /// The process that spawns every run.
    pub(crate) fn launch_pid(&self) -> Option<u32> {
        let guardian = self.guardian_pid();
        processes::children(guardian).into_iter().find(|pid| processes::words(*pid).iter().any(|word| word == "launch"))
    }

    /// Waits until the guardian has ended by itself.
    pub(crate) fn wait_for_end_of_server(&self) {
        wait_until("the server has ended", SOON, || {
            let mut guardian = self.guardian.lock().expect("guardian");
            let ended = guardian.as_mut().is_none_or(|child| child.try_wait().ok().flatten().is_some());
            ended.then(|| *guardian = None)
        });
    }

    /// Processes of this host that run.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let own = std::process::id();
        let all = processes::of_host(self.folder.path(), |uid| self.seat.has_uid(uid));
        all.into_iter().filter(|pid| *pid != own).collect()
    }

    fn stop(&self) {
        if self.paas(&["stop", "--all"]).code != 0 {
            return;
        }
        found_within(STOP_DEADLINE, || {
            let mut guardian = self.guardian.lock().expect("guardian");
            let ended = guardian.as_mut().is_none_or(|child| child.try_wait().ok().flatten().is_some());
            (ended && self.processes().is_empty()).then_some(())
        });
    }
}

fn work_folder() -> PathBuf {
    std::env::var_os("PAAS_TEST_DIR").map_or_else(|| "/var/tmp".into(), PathBuf::from)
}

/// A copy of the binary that every user can reach, shared by the hosts that are up.
fn readable_binary() -> Arc<TempDir> {
    static COPY: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());
    let mut copy = COPY.lock().expect("copy of the binary");
    if let Some(folder) = copy.upgrade() {
        return folder;
    }
    let folder = tempfile::Builder::new().prefix("paas-test-binary-").tempdir_in(work_folder()).expect("folder of the binary");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("mode of the folder");
    fs::copy(BINARY, folder.path().join("paas")).expect("copy of the binary");
    let folder = Arc::new(folder);
    *copy = Arc::downgrade(&folder);
    folder
}

impl Drop for Host {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            let log = self.server_log();
            let from = log.lines().count().saturating_sub(SHOWN_LOG_LINES);
            eprintln!("--- the end of the server's log");
            for line in log.lines().skip(from) {
                eprintln!("{line}");
            }
        }
        self.stop();
        let left = self.processes();
        let left_words: Vec<String> = left.iter().map(|pid| format!("{pid} {}", processes::words(*pid).join(" "))).collect();
        for pid in &left {
            processes::kill_leftover(*pid);
        }
        if let Some(mut child) = self.guardian.lock().expect("guardian").take() {
            drop(child.kill());
            drop(child.wait());
        }
        if self.options.disk_bytes.is_some() {
            tools::run("umount", &["--lazy", &self.root().to_string_lossy()]);
        }
        if !nix::unistd::geteuid().is_root() {
            open_up(self.folder.path());
        }
        assert!(failed || left.is_empty(), "left running after `paas stop --all`:\n{}", left_words.join("\n"));
    }
}

/// Makes every folder below removable by its owner: overlayfs leaves some without any right.
fn open_up(folder: &Path) {
    drop(fs::set_permissions(folder, fs::Permissions::from_mode(0o700)));
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}
