//! A root folder with a server's socket in it, answered by the test.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use api::wire::Request;
use rustix::event::{PollFd, PollFlags};
use tempfile::TempDir;

use crate::frames::{FrameSocket, poll};

/// Nothing here takes longer unless it hangs, milliseconds.
pub const DEADLINE_MS: u64 = 30_000;

/// A root folder, and a folder to work in.
pub struct Host {
    folder: TempDir,
}

impl Host {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir_all(folder.path().join("root/sockets")).expect("sockets");
        std::fs::create_dir(folder.path().join("work")).expect("work");
        Self { folder }
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Answers the next clients of a socket, one after the other, each with its own closure.
    pub fn answer<T: Send + 'static>(
        &self,
        socket: &str,
        clients: usize,
        answer: impl Fn(usize, Conversation) -> T + Send + 'static,
    ) -> JoinHandle<Vec<T>> {
        let listener = UnixListener::bind(self.root().join("sockets").join(socket)).expect("listening");
        thread::spawn(move || {
            let take = |number| answer(number, Conversation::accept(&listener));
            (0..clients).map(take).collect()
        })
    }

    /// `paas` with the given words, in the work folder, asking this box.
    pub fn paas<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Command {
        let mut command = program(env!("CARGO_BIN_EXE_paas"), &self.work());
        command.env("PAAS_ROOT", self.root()).args(words);
        command
    }

    /// git with nobody's settings, in the work folder.
    pub fn git<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Command {
        let mut command = git(&self.work());
        command.args(words);
        command
    }
}

/// git with nobody's settings.
pub fn git(folder: &Path) -> Command {
    program("git", folder)
}

fn program(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.current_dir(folder).env_clear().env("PATH", path).env("HOME", folder).env("LANG", "C.UTF-8");
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Anna").env(format!("GIT_{role}_EMAIL"), "anna@example.org");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// One client as the server sees it.
pub struct Conversation {
    pub socket: FrameSocket,
    pub request: Request,
    pub descriptors: Vec<OwnedFd>,
}

impl Conversation {
    fn accept(listener: &UnixListener) -> Self {
        poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(i64::try_from(DEADLINE_MS).expect("fits"))).expect("waiting");
        listener.set_nonblocking(true).expect("no wait without end");
        let (stream, _) = listener.accept().expect("a client within the deadline");
        stream.set_nonblocking(false).expect("blocking");
        let socket = FrameSocket::new(stream).expect("socket");
        let received = socket.receive::<Request>().expect("a request").expect("not the end");
        Self { socket, request: received.message, descriptors: received.descriptors }
    }
}

/// A program's end, told as text.
#[derive(Debug, PartialEq)]
pub struct Told {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a program to its end, or kills it at the deadline.
#[track_caller]
pub fn run(command: &mut Command) -> Told {
    finish(spawn(command))
}

/// Starts a program; a missing one names what to install.
#[track_caller]
pub fn spawn(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start ({error}): install the Debian packages git and dash"))
}

/// Waits for a program's end, or kills it at the deadline.
#[track_caller]
pub fn finish(mut child: Child) -> Told {
    let stdout = child.stdout.take().map(read_all);
    let stderr = child.stderr.take().map(read_all);
    let code = wait(&mut child);
    let text = |reader: Option<JoinHandle<String>>| reader.map(|reader| reader.join().expect("reader")).unwrap_or_default();
    Told { code, stdout: text(stdout), stderr: text(stderr) }
}

#[track_caller]
pub fn wait(child: &mut Child) -> Option<i32> {
    let until = Instant::now() + Duration::from_millis(DEADLINE_MS);
    let pidfd = rustix::process::pidfd_open(pid(child), rustix::process::PidfdFlags::empty()).expect("pidfd");
    let left = until.saturating_duration_since(Instant::now()).as_millis();
    let mut polled = [PollFd::new(&pidfd, PollFlags::IN)];
    poll(&mut polled, i64::try_from(left).ok()).expect("waiting");
    if polled[0].revents().is_empty() {
        child.kill().expect("killed");
        panic!("a program did not end within {DEADLINE_MS} ms");
    }
    child.wait().expect("ended").code()
}

pub fn pid(child: &Child) -> rustix::process::Pid {
    rustix::process::Pid::from_child(child)
}

fn read_all(mut reader: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).expect("read");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Fails with everything that a program said unless it ended well.
#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = spawn(command).wait_with_output().expect("ended");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}
