//! Starting: the folder and its lock first, then launch, then two reports. What was given
//! away is closed here at once, so that the end of the reply socket means the end.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use launch::names::is_name;
use launch::protocol::{Frame, OutputKind, RunFrame};
use rustix::fs::{MemfdFlags, SealFlags};
use shim::Report;

use super::folder::{FOLDER_MODE, FreshFolder, RunFolder, pidfd_of};
use super::launcher::within;
use super::live::LiveRun;
use super::socket::{Packets, pair};
use super::watch::watch_pidfd;
use super::{Output, RunRequest, Runs, StartError};
use crate::limits::{GONE_LOCK_RETRY, GONE_LOCK_WAIT, START_REPORTS_MAX};

/// Everything that goes to launch, and the folder.
struct Prepared {
    fresh: FreshFolder,
    frame: Frame,
    spec: OwnedFd,
    output: Vec<OwnedFd>,
    descriptors: Vec<OwnedFd>,
}

/// What was heard before the reply socket ended.
#[derive(Default)]
struct Heard {
    spawned: Option<(u32, Option<OwnedFd>)>,
    ready: Option<i64>,
    failed: Option<StartError>,
}

pub(super) async fn start(runs: &Runs, request: RunRequest) -> Result<LiveRun, StartError> {
    let root = runs.root.clone();
    let prepared = tokio::task::spawn_blocking(move || prepare(&root, request)).await;
    let prepared = prepared.map_err(|error| StartError::failed("prepare the run", &io::Error::other(error)))??;
    let folder = prepared.fresh.folder.clone();
    let heard = match send(runs, prepared).await {
        Ok(reply) => listen(&reply).await,
        Err(error) => Heard { failed: Some(error), ..Heard::default() },
    };
    match live(runs, &folder, &heard) {
        Some(run) => run.map_err(|error| StartError::failed("watch the run", &error)),
        None => Err(give_up(&folder, heard).await),
    }
}

fn prepare(root: &Path, request: RunRequest) -> Result<Prepared, StartError> {
    let app = request.app.0;
    let failed = |step: &'static str| move |error: io::Error| StartError::failed(step, &error);
    if !is_name(&request.folder) {
        return Err(StartError::failed("make the run folder", &io::ErrorKind::InvalidFilename.into()));
    }
    // Two runs of an instance share its log folder during a switch: each line names its own.
    let log_subject = if matches!(request.output, Output::Log(_)) { request.folder.clone().into_bytes() } else { Vec::new() };
    let spec = sealed(&shim::Spec { log_subject, ..request.spec.clone() }.encode()).map_err(failed("write the spec"))?;
    let (kind, output) = match request.output {
        Output::Log(name) => {
            let log = log_folder(root, app, &name).map_err(failed("make the log folder"))?;
            (OutputKind::Log, vec![log])
        }
        Output::Inherit { stdin, stdout, stderr, terminal } => {
            (if terminal { OutputKind::Terminal } else { OutputKind::Inherit }, vec![stdin, stdout, stderr])
        }
    };
    let hostname = String::from_utf8_lossy(&request.spec.hostname).into_owned();
    let frame = Frame::Run(RunFrame {
        profile: request.profile,
        app,
        hostname: if hostname.is_empty() { request.folder.clone() } else { hostname },
        folder: request.folder.clone(),
        subject: request.subject,
        output: kind,
    });
    let path = root.join("runs").join(app.to_string()).join(&request.folder);
    let fresh = RunFolder::create(path).map_err(failed("make the run folder"))?;
    Ok(Prepared { fresh, frame, spec, output, descriptors: request.descriptors })
}

/// Hands everything to launch; nothing of it stays open here but our end of the reply socket.
async fn send(runs: &Runs, prepared: Prepared) -> Result<Packets, StartError> {
    let (ours, theirs) = pair().map_err(|error| StartError::failed("make a socket", &error))?;
    let FreshFolder { descriptor, lock, .. } = &prepared.fresh;
    let mut all: Vec<BorrowedFd<'_>> = vec![theirs.as_fd(), descriptor.as_fd(), lock.as_fd(), prepared.spec.as_fd()];
    all.extend(prepared.output.iter().map(AsFd::as_fd));
    all.extend(prepared.descriptors.iter().map(AsFd::as_fd));
    runs.launcher.send(&prepared.frame, &all).await?;
    Ok(ours)
}

/// Listens until the run is ready or the socket ends. Giving up closes our end, and a shim
/// that cannot say that it is ready does not let its child go.
async fn listen(reply: &Packets) -> Heard {
    let mut heard = Heard::default();
    let timed = within(START_REPORTS_MAX, async {
        while heard.spawned.is_none() || heard.ready.is_none() {
            match reply.report().await? {
                Some((Report::Spawned { shim_pid }, pidfd)) => heard.spawned = Some((shim_pid, pidfd)),
                Some((Report::Ready { started_unix_ms }, _)) => heard.ready = Some(started_unix_ms),
                Some((Report::Failed { step, detail }, _)) => {
                    // The first one is the cause.
                    heard.failed.get_or_insert(StartError::Failed { step, detail });
                }
                Some((Report::Done | Report::Ended { .. }, _)) => {}
                None => return Ok(()),
            }
        }
        Ok::<(), io::Error>(())
    })
    .await;
    if let Err(error) | Ok(Err(error)) = timed {
        heard.failed.get_or_insert(StartError::failed("wait for the run to be ready", &error));
    }
    heard
}

/// The run, if its child was let go.
fn live(runs: &Runs, folder: &RunFolder, heard: &Heard) -> Option<io::Result<LiveRun>> {
    let started_unix_ms = heard.ready?;
    let pidfd = match &heard.spawned {
        Some((pid, Some(pidfd))) => pidfd.try_clone().map(|pidfd| (*pid, pidfd)),
        // Stage 0 died before it could say: the run folder knows too.
        _ => folder.process().and_then(|record| Some((record.shim_pid, pidfd_of(&record)?))).ok_or(io::ErrorKind::NotFound.into()),
    };
    Some(pidfd.and_then(|(pid, pidfd)| LiveRun::new(folder.clone(), pid, started_unix_ms, pidfd, runs.launcher.clone())))
}

/// Makes sure that nothing of a failed start is alive, and removes its folder. If something
/// is, the folder stays and [`Runs::adopt`] finds it.
async fn give_up(folder: &RunFolder, heard: Heard) -> StartError {
    let is_known = heard.spawned.is_some();
    if let Some((_, Some(pidfd))) = heard.spawned
        && let Ok(pidfd) = watch_pidfd(pidfd)
    {
        let _ = within(GONE_LOCK_WAIT, pidfd.readable()).await;
    }
    let removed = within(GONE_LOCK_WAIT, async {
        while folder.try_lock()?.is_none() {
            tokio::time::sleep(GONE_LOCK_RETRY).await;
        }
        fs::remove_dir_all(folder.path())
    })
    .await;
    if let Err(error) | Ok(Err(error)) = removed {
        tracing::warn!(%error, folder = %folder.path().display(), "the folder of a failed start stays");
    }
    heard.failed.unwrap_or(if is_known {
        StartError::Failed { step: "start the supervisor".to_owned(), detail: "it ended without a word".to_owned() }
    } else {
        StartError::LaunchGone
    })
}

fn log_folder(root: &Path, app: u32, name: &str) -> io::Result<OwnedFd> {
    if !is_name(name) {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    let path = root.join("logs").join(app.to_string()).join(name);
    match DirBuilder::new().create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let folder = File::open(&path)?;
    // Also of one that is there: a server killed in between left it without the shims' right.
    if folder.metadata()?.permissions().mode() & 0o7777 != FOLDER_MODE {
        folder.set_permissions(Permissions::from_mode(FOLDER_MODE))?;
    }
    Ok(folder.into())
}

/// A memfd that nobody can change any more.
pub(super) fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let memfd = rustix::fs::memfd_create("paas", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(memfd);
    file.write_all(bytes)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(file.into())
}
