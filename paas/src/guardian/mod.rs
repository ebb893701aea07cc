//! The guardian: `paas server` at the top. It makes the root folder ready, starts launch
//! and the server, and then only waits.
//!
//! ```text
//! guardian ─┬─ launch   started again when it dies; ends when its server has
//!           └─ server   gets a socket to each launch over its link (its stdin)
//! ```
//! As root or as anyone else the same code runs; only the users differ. Nothing here ends
//! a run: those belong to their shims.

mod copies;
mod handed;
mod inherited;
pub mod limits;
mod link;
mod lock;
mod root_folder;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use api::{Failure, Kind};
use launch::Users;
use launch::folders::RootFolder;

pub use handed::Handed;
pub use link::Link;

/// With what a guardian starts.
#[derive(Debug, Clone)]
pub struct GuardianOptions {
    /// The root folder, absolute; made if it is not there.
    pub root: PathBuf,
    /// First numeric user id that paas hands out (`uid_base` of `paas.toml`).
    pub uid_base: u32,
    /// Words for the server, handed on as they are ([`Handed::rest`]).
    pub server_words: Vec<OsString>,
}

/// `paas server`: returns the server's exit code once it has ended.
pub fn run(options: &GuardianOptions) -> Result<u8, Failure> {
    inherited::leave_behind().map_err(|error| {
        Failure::new(Kind::Host, "guardian.inherited", "what this process was started with cannot be looked at")
            .why("/proc must be mounted")
            .caused_by(&error)
    })?;
    let is_root = rustix::process::geteuid().is_root();
    let users = Users { base: options.uid_base };
    if !users.is_valid() {
        return Err(Failure::new(Kind::Usage, "guardian.uid_base", format!("uid_base {} cannot be used", options.uid_base))
            .why("the numbers from there on must belong to nobody else")
            .fix("set uid_base in paas.toml to 700000"));
    }
    let root = root_folder::prepare(&options.root, is_root)?;
    let lock = lock::take(&root)?;
    RootFolder::open(&root, users, is_root).and_then(|folder| folder.make_layout()).map_err(|error| {
        Failure::new(Kind::Host, "guardian.layout", format!("the folders of {} cannot be made", root.display()))
            .why("each must be fresh or already have its owner")
            .caused_by(&error)
    })?;
    let shim = copies::shim(&root)?;
    let paas = copies::paas(&root, is_root)?;
    copies::forget_old(&root, &[&shim, &paas]);
    let home = std::env::home_dir();
    let config = launch::Config { root, users, is_root, paas, shim, home };
    probe(&config)?;
    let handed = Handed { config, rest: options.server_words.clone() };
    watch::watch(&handed, &lock)
}

/// `paas internal launch`: serves the socket on stdin.
pub fn launch(words: &[OsString]) -> Result<u8, Failure> {
    link::unblock_signals()?;
    let handed = Handed::from_words(words)?;
    let socket = link::stdin()?;
    // Ends with EOF on its socket, not with the terminal's signals.
    Ok(u8::from(launch::main(&socket, &handed.config) != std::process::ExitCode::SUCCESS))
}

/// Neither root nor user namespaces: then there is no sandbox, and no server.
fn probe(config: &launch::Config) -> Result<(), Failure> {
    let output = Command::new(config.shim_path()).arg("probe").stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        Failure::new(Kind::Host, "guardian.shim", format!("{} cannot be executed", config.shim_path().display()))
            .why("everything that paas runs is started by it")
            .fix("put the root folder on a file system without noexec")
            .caused_by(&error)
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let failure = Failure::new(Kind::Host, "guardian.no_namespaces", "this machine cannot make sandboxes")
        .why(format!("paas needs mount, PID, IPC and UTS namespaces: {said}"));
    Err(if config.is_root {
        failure.fix("run paas on the machine itself or in a virtual machine, not in a restricted container")
    } else {
        failure.fix(
            "run it as root, or allow user namespaces: sudo sysctl kernel.unprivileged_userns_clone=1 \
             user.max_user_namespaces=10000 (Ubuntu: kernel.apparmor_restrict_unprivileged_userns=0)",
        )
    })
}
