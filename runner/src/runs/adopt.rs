//! Adoption: what an earlier server left behind, judged by lock, pid, start time and boot,
//! never by a number alone. While the lock is held and nobody is known to hold it, there is
//! no judgement: whoever asks must not start the same run again.

use std::io;

use tokio::time::Instant;

use super::folder::{RunFolder, pidfd_of};
use super::launcher::within;
use super::live::LiveRun;
use super::socket::Packets;
use super::{Adopted, Runs};
use crate::limits::{ADOPT_MAX, ADOPT_RETRY, ADOPT_RETRY_MAX, ADOPT_SOCKET_MAX};
use shim::record::boot_id;

pub(super) async fn adopt(runs: &Runs, folder: RunFolder) -> io::Result<Adopted> {
    if !folder.path().is_dir() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let began = Instant::now();
    let mut pause = ADOPT_RETRY;
    loop {
        match look(runs, &folder, began.elapsed() < ADOPT_SOCKET_MAX).await {
            Ok(Some(adopted)) => return Ok(adopted),
            // Between its lock and its socket a shim needs a moment; our own trouble may pass.
            Ok(None) | Err(_) if began.elapsed() < ADOPT_MAX => {}
            Ok(None) => return Err(io::Error::new(io::ErrorKind::TimedOut, "its lock is held, but not by a process that is known")),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ADOPT_RETRY_MAX);
    }
}

/// One look. `wants_socket`: a shim that does not listen may not have come so far yet;
/// after a while it counts as alive all the same, since lock and process say so.
async fn look(runs: &Runs, folder: &RunFolder, wants_socket: bool) -> io::Result<Option<Adopted>> {
    let lock = folder.try_lock()?;
    let Some(record) = folder.process() else { return Ok(lock.map(|lock| Adopted::Ended(folder.end(&lock, runs.is_after_boot)))) };
    if record.boot_id != boot_id()? {
        return Ok(lock.map(|lock| Adopted::Ended(folder.end(&lock, true))));
    }
    let Some(pidfd) = pidfd_of(&record) else { return Ok(lock.map(|lock| Adopted::Ended(folder.end(&lock, false)))) };
    let run = LiveRun::new(folder.clone(), record.shim_pid, record.started_unix_ms, pidfd, runs.launcher.clone())?;
    if let Some(lock) = lock {
        drop(lock);
        // The lock is free before the last of the run has let go of its memory and port.
        return Ok(Some(match within(ADOPT_SOCKET_MAX, run.gone()).await {
            Ok(end) => Adopted::Ended(end),
            Err(_) => Adopted::Live(run),
        }));
    }
    let (_folder, address) = folder.socket()?;
    let listens = match within(ADOPT_SOCKET_MAX, Packets::connect(&address)).await {
        Ok(Ok(socket)) => socket.peer_pid()? == record.shim_pid,
        Ok(Err(_)) | Err(_) => false,
    };
    if !listens && wants_socket {
        return Ok(None);
    }
    if !listens {
        tracing::warn!(folder = %folder.path().display(), shim = record.shim_pid, "a shim does not listen; its run is adopted all the same");
    }
    Ok(Some(Adopted::Live(run)))
}
