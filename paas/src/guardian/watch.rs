//! Watching: signals go to the server, launch is started again, the server's end ends it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use api::{Failure, Kind};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use shim::wire_socket;

use super::Handed;
use super::limits::{LAUNCH_END_MAX, LAUNCH_LIVES_MIN, LAUNCH_PAUSE};

struct Guardian<'a> {
    handed: &'a Handed,
    signals: SignalFd,
    link: UnixStream,
    server: Child,
    launch: Option<(Child, Instant)>,
    /// When launch is to be started again.
    launch_at: Option<Instant>,
}

/// Starts both and watches them; returns the server's exit code.
pub(super) fn watch(handed: &Handed, lock: &File) -> Result<u8, Failure> {
    let signals = take_signals().map_err(|error| failed("signals cannot be watched", &error))?;
    let (link, theirs) = UnixStream::pair().map_err(|error| failed("no socket can be made", &error))?;
    let server = start_server(handed, theirs.into(), lock).map_err(|error| failed("the server cannot be started", &error))?;
    let mut guardian = Guardian { handed, signals, link, server, launch: None, launch_at: Some(Instant::now()) };
    let status = guardian.run();
    guardian.end_launch();
    match status {
        Ok(status) => Ok(exit_code(status)),
        Err(error) => {
            // Without its guardian the server would lose launch for good.
            let _ = guardian.server.kill();
            Err(failed("launch and the server cannot be watched", &error))
        }
    }
}

impl Guardian<'_> {
    fn run(&mut self) -> io::Result<ExitStatus> {
        loop {
            if self.launch_at.is_some_and(|at| at <= Instant::now()) {
                self.launch_at = None;
                self.start_launch()?;
            }
            let timeout = self.launch_at.map(|at| at.saturating_duration_since(Instant::now()));
            wait_readable(self.signals.as_fd(), timeout)?;
            while let Some(signal) = self.signals.read_signal()? {
                self.pass_on(signal.ssi_signo);
            }
            if let Some(status) = self.server.try_wait()? {
                return Ok(status);
            }
            if let Some((launch, since)) = &mut self.launch
                && launch.try_wait()?.is_some()
            {
                let pause = if since.elapsed() < LAUNCH_LIVES_MIN { LAUNCH_PAUSE } else { Duration::ZERO };
                self.launch = None;
                self.launch_at = Some(Instant::now() + pause);
            }
        }
    }

    fn pass_on(&self, number: u32) {
        let Some(signal) = i32::try_from(number).ok().and_then(|number| Signal::try_from(number).ok()) else { return };
        if signal != Signal::SIGCHLD
            && let Ok(pid) = i32::try_from(self.server.id())
        {
            // Not reaped yet, so the number still means the server.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// A launch, and its socket for the server.
    fn start_launch(&mut self) -> io::Result<()> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut command = Command::new(self.handed.config.paas_path());
        command.args(["internal", "launch"]).args(self.handed.to_words());
        let launch = command.stdin(Stdio::from(theirs)).current_dir("/").process_group(0).spawn()?;
        self.launch = Some((launch, Instant::now()));
        // A server that is ending does not take it; launch then sees the end at once.
        let _ = wire_socket::try_send(self.link.as_fd(), &[0], &[ours.as_fd()]);
        Ok(())
    }

    /// Launch ends by itself once the server's end of its socket is closed.
    fn end_launch(&mut self) {
        let Some((mut launch, _)) = self.launch.take() else { return };
        let ended = rustix::process::pidfd_open(rustix::process::Pid::from_child(&launch), rustix::process::PidfdFlags::empty())
            .map_err(io::Error::from)
            .and_then(|pidfd| wait_readable(pidfd.as_fd(), Some(LAUNCH_END_MAX)));
        if !ended.unwrap_or(false) {
            let _ = launch.kill();
        }
        let _ = launch.wait();
    }
}

/// The server: as paasd with the shims' group in root mode. It holds the lock as well.
fn start_server(handed: &Handed, link: OwnedFd, lock: &File) -> io::Result<Child> {
    let config = &handed.config;
    let mut command = if config.is_root {
        let (paasd, shim) = (config.users.paasd(), config.users.shim());
        let mut command = Command::new(config.shim_path());
        command.args(["become", &paasd.to_string(), &paasd.to_string(), &format!("{paasd},{shim}")]);
        command.arg(config.paas_path());
        command
    } else {
        Command::new(config.paas_path())
    };
    command.args(["internal", "server"]).args(handed.to_words());
    command.stdin(Stdio::from(link)).current_dir("/").process_group(0);
    rustix::io::fcntl_setfd(lock, FdFlags::empty())?;
    let server = command.spawn();
    rustix::io::fcntl_setfd(lock, FdFlags::CLOEXEC)?;
    server
}

fn take_signals() -> io::Result<SignalFd> {
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD] {
        mask.add(signal);
    }
    mask.thread_block()?;
    Ok(SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

fn wait_readable(descriptor: std::os::fd::BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    let timeout = timeout.map(|time| Timespec::try_from(time).map_err(io::Error::other)).transpose()?;
    match poll(&mut [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)], timeout.as_ref()) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}

fn failed(what: &str, error: &io::Error) -> Failure {
    Failure::new(Kind::Internal, "guardian.failed", what).why("the guardian starts and watches them").caused_by(error)
}
