//! Commands inside a live run: in its namespaces, as its user, with the rights of the app's
//! processes. They end with the run, and with whoever asked for them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use launch::protocol::Frame;
use model::{AppNumber, ExitStatus};
use shim::control::{Reply, Request};
use shim::{NAMESPACES, Report, Spec};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::OnceCell;

use super::folder::status_of;
use super::launcher::within;
use super::socket::{Packets, pair};
use super::start::sealed;
use super::{Runs, StartError, conversation};
use crate::limits::{JOINED_DRAIN, JOINED_KILL_MAX, JOINED_READ_BYTES, START_REPORTS_MAX};

/// A command to run inside a live run.
#[derive(Debug)]
pub struct JoinRequest {
    /// Whose run.
    pub app: AppNumber,
    /// Which: the name of its folder.
    pub folder: String,
    /// Command, environment and manners.
    pub spec: Spec,
    /// Its stdin.
    pub stdin: OwnedFd,
    /// Its stdout.
    pub stdout: OwnedFd,
    /// Its stderr.
    pub stderr: OwnedFd,
    /// Whether stdin becomes the controlling terminal.
    pub terminal: bool,
}

/// A command inside a live run, under way. Dropping it kills it with everything it started.
#[derive(Debug)]
pub struct Joined {
    socket: Packets,
    end: OnceCell<JoinEnd>,
}

/// The end of such a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinEnd {
    /// `None`: the run ended first, and the command with it.
    pub status: Option<ExitStatus>,
    /// Something that it had started would not die in time; the run's end takes it along.
    pub left: bool,
}

/// What came of a command whose output was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Captured {
    /// It ended; the first bytes of both its outputs.
    Ended(JoinEnd, Vec<u8>),
    /// It did not end in time and was killed.
    TimedOut(Vec<u8>),
}

impl Joined {
    /// Waits until nothing of it is left. Can be called again.
    pub async fn end(&self) -> JoinEnd {
        *self.end.get_or_init(|| self.wait()).await
    }

    async fn wait(&self) -> JoinEnd {
        loop {
            match self.socket.report().await {
                Ok(Some((Report::Ended { ended, left }, _))) => return JoinEnd { status: Some(status_of(ended)), left },
                // What a later keeper may say beside it.
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return JoinEnd { status: None, left: false },
            }
        }
    }

    /// Passes a signal to it (a session's Ctrl-C).
    pub async fn signal(&self, signal: i32) -> io::Result<()> {
        self.socket.send(&Request::Signal { signal }.encode()).await
    }

    /// Kills it with everything it started.
    pub async fn kill(&self) -> io::Result<()> {
        self.socket.send(&Request::Kill.encode()).await
    }
}

pub(super) async fn join(runs: &Runs, request: JoinRequest) -> Result<Joined, StartError> {
    let failed = |step: &'static str| move |error: io::Error| StartError::failed(step, &error);
    let namespaces = namespaces(runs, request.app, &request.folder).await.map_err(failed("join the run"))?;
    let spec = sealed(&request.spec.encode()).map_err(failed("write the spec"))?;
    let (ours, theirs) = pair().map_err(failed("make a socket"))?;
    let mut all: Vec<BorrowedFd<'_>> = vec![theirs.as_fd(), spec.as_fd()];
    all.extend(namespaces.iter().map(AsFd::as_fd));
    all.extend([request.stdin.as_fd(), request.stdout.as_fd(), request.stderr.as_fd()]);
    let frame = Frame::Join { app: request.app.0, terminal: request.terminal };
    runs.launcher.send(&frame, &all).await?;
    // What was given away is closed here at once: its end means the end.
    drop((theirs, spec, namespaces, request));
    match within(START_REPORTS_MAX, begun(&ours)).await {
        Ok(begun) => begun.map(|()| Joined { socket: ours, end: OnceCell::new() }),
        Err(error) => Err(StartError::failed("wait for the command to begin", &error)),
    }
}

/// The namespaces of a live run, from the shim that keeps it.
async fn namespaces(runs: &Runs, app: AppNumber, folder: &str) -> io::Result<Vec<OwnedFd>> {
    let folder = runs.folder(app, folder)?;
    let gone = || io::Error::new(io::ErrorKind::NotFound, "it does not run any more");
    let process = folder.process().ok_or_else(gone)?;
    match conversation::ask(&folder, process.shim_pid, Request::Namespaces).await {
        Ok((Reply::HandedOut, descriptors)) if descriptors.len() == NAMESPACES.len() => Ok(descriptors),
        Ok(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "it was started by an older paas: restart it first")),
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Err(gone()),
        Err(error) => Err(error),
    }
}

async fn begun(reply: &Packets) -> Result<(), StartError> {
    loop {
        match reply.report().await {
            Ok(Some((Report::Ready { .. }, _))) => return Ok(()),
            Ok(Some((Report::Failed { step, detail }, _))) => return Err(StartError::Failed { step, detail }),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Err(StartError::LaunchGone),
        }
    }
}

pub(super) async fn capture(
    runs: &Runs,
    (app, folder): (AppNumber, &str),
    spec: Spec,
    bytes_max: usize,
    timeout: Duration,
) -> Result<Captured, StartError> {
    let failed = |error: io::Error| StartError::failed("make a pipe", &error);
    let (output, stdout) = io::pipe().map_err(failed)?;
    let stdout = OwnedFd::from(stdout);
    let stdin = std::fs::File::open("/dev/null").map_err(failed)?.into();
    let stderr = stdout.try_clone().map_err(failed)?;
    let request = JoinRequest { app, folder: folder.to_owned(), spec, stdin, stdout, stderr, terminal: false };
    let joined = join(runs, request).await?;
    let mut pipe = pipe::Receiver::from_owned_fd(output.into()).map_err(failed)?;
    let mut kept = Vec::new();
    let mut hearing = Box::pin(hear(&mut pipe, &mut kept, bytes_max));
    let mut heard = false;
    let deadline = tokio::time::sleep(timeout);
    tokio::pin!(deadline);
    let ended = loop {
        tokio::select! {
            end = joined.end() => break Some(end),
            () = &mut deadline => break None,
            () = &mut hearing, if !heard => heard = true,
        }
    };
    if ended.is_none() {
        // Where that does not reach it, dropping it does.
        let _ = joined.kill().await;
        let _ = within(JOINED_KILL_MAX, joined.end()).await;
    }
    if !heard {
        // Whatever would not die may hold the pipe.
        let _ = within(JOINED_DRAIN, &mut hearing).await;
    }
    drop(hearing);
    Ok(match ended {
        Some(end) => Captured::Ended(end, kept),
        None => Captured::TimedOut(kept),
    })
}

/// Reads to the end. What is beyond the limit is not kept, but read, so that it never
/// blocks.
async fn hear(pipe: &mut pipe::Receiver, kept: &mut Vec<u8>, bytes_max: usize) {
    let mut buffer = [0; JOINED_READ_BYTES];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let room = bytes_max.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}
