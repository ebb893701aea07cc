//! The guardian's two children: how they are started, and what they do first.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use api::{Failure, Kind};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, User};
use runner::runs::{Launcher, Runs};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::{Plan, link, value, words};
use crate::server::{self, ServerStart};
use crate::settings::Settings;

/// Pauses between starts of a launch that keeps ending.
const LAUNCH_PAUSES: [Duration; 4] = [Duration::ZERO, Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(10)];
/// A launch that lived this long starts its pauses anew.
const LAUNCH_HEALTHY_AFTER: Duration = Duration::from_secs(30);

/// Runs both until the server ends; returns its exit code.
pub(super) async fn watch(plan: Plan) -> Result<u8, Failure> {
    let (ours, theirs) = link::pair().map_err(|error| broken(&error))?;
    let mut launch = start_launch(&plan, ours.as_fd()).map_err(|error| broken(&error))?;
    let mut server = start_server(&plan, theirs).map_err(|error| broken(&error))?;
    let listen = |kind| signal(kind).map_err(|error| broken(&error));
    let (mut terminate, mut interrupt, mut hangup) =
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?, listen(SignalKind::hangup())?);
    let mut attempt = 0;
    let mut began = Instant::now();
    loop {
        tokio::select! {
            status = server.wait() => {
                let status = status.map_err(|error| broken(&error))?;
                // Its socket is closed with the server, so launch ends by itself.
                let _ = launch.wait().await;
                return Ok(exit_code(status));
            }
            status = launch.wait() => {
                tracing::warn!(?status, "launch ended and is started again");
                attempt = if began.elapsed() >= LAUNCH_HEALTHY_AFTER { 0 } else { attempt + 1 };
                tokio::time::sleep(LAUNCH_PAUSES[attempt.min(LAUNCH_PAUSES.len() - 1)]).await;
                began = Instant::now();
                launch = start_launch(&plan, ours.as_fd()).map_err(|error| broken(&error))?;
            }
            _ = terminate.recv() => pass_on(&server),
            _ = interrupt.recv() => pass_on(&server),
            _ = hangup.recv() => pass_on(&server),
        }
    }
}

fn pass_on(server: &Child) {
    if let Some(pid) = server.id().and_then(|pid| i32::try_from(pid).ok()) {
        // One that has just ended needs no signal.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

fn exit_code(status: std::process::ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn broken(error: &io::Error) -> Failure {
    Failure::new(Kind::Host, "guardian.failed", "the server's processes cannot be started").caused_by(error)
}

fn command(plan: &Plan, part: &str) -> Command {
    let mut command = Command::new(plan.root.join("libexec").join(&plan.paas));
    command.args(["internal", part]).args(words(&[("--root", &plan.root)])).current_dir("/");
    command
}

fn start_launch(plan: &Plan, server: std::os::fd::BorrowedFd<'_>) -> io::Result<Child> {
    let (launch_end, server_end) = link::pair()?;
    let mut command = command(plan, "launch");
    command.args(["--uid-base", &plan.settings.uid_base.to_string(), "--paas", &plan.paas, "--shim", &plan.shim]);
    if let Some(home) = &plan.home {
        command.args(words(&[("--home", home)]));
    }
    let child = command.stdin(Stdio::from(launch_end)).spawn()?;
    link::send(server, &server_end)?;
    Ok(child)
}

fn start_server(plan: &Plan, link: OwnedFd) -> io::Result<Child> {
    let mut command = command(plan, "server");
    command.args(["--http", &plan.http.to_string(), "--paas", &plan.paas]);
    let folders = [".pyenv", ".nvm"].map(|name| plan.home.as_ref().map(|home| home.join(name)));
    for folder in folders.into_iter().flatten().filter(|folder| folder.is_dir()) {
        command.args(words(&[("--toolchain", &folder)]));
    }
    command.stdin(Stdio::from(link)).spawn()
}

/// Refuses a host where nothing can be kept apart: neither root nor user namespaces.
pub(super) fn check_host(plan: &Plan) -> Result<(), Failure> {
    if plan.is_root {
        return Ok(());
    }
    let program = plan.root.join("libexec").join(&plan.paas);
    let tried = std::process::Command::new(program).args(["internal", "launch", "--try-namespaces"]).stdin(Stdio::null()).status();
    match tried {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::new(Kind::Host, "host.no_namespaces", "this user may not make user namespaces")
            .why("without root they are what keeps apps, builds and files apart")
            .fix("start the server as root, or allow them: `sysctl kernel.unprivileged_userns_clone=1` and on Ubuntu `sysctl kernel.apparmor_restrict_unprivileged_userns=0`")),
        Err(error) => Err(broken(&error)),
    }
}

/// Ends this process with its parent: without a guardian nobody would start launch again.
fn end_with_parent(signal: Signal) {
    // Where it is refused, the closed socket tells the same a little later.
    let _ = nix::sys::prctl::set_pdeathsig(signal);
}

fn needed<'a>(words: &'a [OsString], name: &str) -> Result<&'a OsString, Failure> {
    value(words, name).ok_or_else(|| Failure::new(Kind::Usage, "internal.usage", format!("{name} is missing")).why("this command is started by `paas server`"))
}

/// `paas internal launch`: frames on stdin.
pub fn launch(words: &[OsString]) -> Result<u8, Failure> {
    if words.iter().any(|word| word == "--try-namespaces") {
        return Ok(u8::from(nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER | nix::sched::CloneFlags::CLONE_NEWNS).is_err()));
    }
    end_with_parent(Signal::SIGTERM);
    let text = |name| Ok::<_, Failure>(needed(words, name)?.to_string_lossy().into_owned());
    let base = text("--uid-base")?.parse().map_err(|_| Failure::new(Kind::Usage, "internal.usage", "--uid-base is not a number"))?;
    let config = launch::Config {
        root: PathBuf::from(needed(words, "--root")?),
        users: launch::Users { base },
        is_root: nix::unistd::geteuid().is_root(),
        paas: text("--paas")?,
        shim: text("--shim")?,
        home: value(words, "--home").map(PathBuf::from),
    };
    let socket = io::stdin().as_fd().try_clone_to_owned().map_err(|error| broken(&error))?;
    let code = launch::main(&socket, &config);
    if code == std::process::ExitCode::SUCCESS { Ok(0) } else { Ok(1) }
}

/// `paas internal server`: becomes paasd, then serves.
pub fn server(words: &[OsString]) -> Result<u8, Failure> {
    let root = PathBuf::from(needed(words, "--root")?);
    let settings = Settings::read(&root).map_err(|error| super::unusable(&error))?;
    let is_root = nix::unistd::geteuid().is_root();
    let login_uid = User::from_name(&settings.login_user).ok().flatten().map(|user| user.uid.as_raw());
    if is_root {
        become_paasd(launch::Users { base: settings.uid_base }).map_err(|error| broken(&error))?;
    }
    end_with_parent(Signal::SIGTERM);
    let start = ServerStart {
        http: super::address(&needed(words, "--http")?.to_string_lossy())?,
        paas: root.join("libexec").join(needed(words, "--paas")?),
        toolchain_roots: toolchains(words),
        root,
        settings,
        is_root,
        login_uid,
    };
    start_logging();
    let link = io::stdin().as_fd().try_clone_to_owned().map_err(|error| broken(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| broken(&error))?;
    runtime.block_on(async {
        let launcher = Launcher::default();
        listen_for_launch(link, launcher.clone())?;
        let runs = Runs::new(start.root.clone(), launcher);
        server::run(start, runs).await
    })?;
    // Waiting for tasks that only follow files would hold the end up.
    runtime.shutdown_background();
    Ok(0)
}

fn toolchains(words: &[OsString]) -> Vec<String> {
    let pairs = words.windows(2).filter(|pair| pair[0] == "--toolchain");
    pairs.filter_map(|pair| pair[1].to_str().map(str::to_owned)).collect()
}

/// Drops root for good: the server parses what others wrote.
fn become_paasd(users: launch::Users) -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(users.paasd()), Gid::from_raw(users.paasd()));
    nix::unistd::setgroups(&[Gid::from_raw(users.shim())])?;
    nix::unistd::setresgid(gid, gid, gid)?;
    nix::unistd::setresuid(uid, uid, uid)?;
    nix::sys::prctl::set_no_new_privs()
}

/// Takes each new launch from the guardian, on a thread of its own.
fn listen_for_launch(link: OwnedFd, launcher: Launcher) -> Result<(), Failure> {
    // The first one is on its way before the server was started.
    let first = link::receive(link.as_fd()).map_err(|error| broken(&error))?;
    launcher.replace(first.ok_or_else(|| broken(&io::ErrorKind::UnexpectedEof.into()))?);
    let runtime = tokio::runtime::Handle::current();
    let listening = std::thread::Builder::new().name("guardian-link".to_owned()).spawn(move || {
        while let Ok(Some(socket)) = link::receive(link.as_fd()) {
            let _entered = runtime.enter();
            launcher.replace(socket);
        }
    });
    listening.map(drop).map_err(|error| broken(&error))
}

fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("PAAS_LOG").unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A second subscriber would be a bug of ours; the first one is as good.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false).try_init();
}
