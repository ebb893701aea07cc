//! Adoption: what an earlier server left behind, judged by lock, socket, pid, start time
//! and boot, never by a number alone.

use std::io;

use super::folder::{RunFolder, boot_id, pidfd_of};
use super::launcher::within;
use super::live::{LiveRun, wait_for_lock};
use super::socket::Packets;
use super::{Adopted, Launcher};
use crate::limits::{ADOPT_MAX, ADOPT_RETRY};

pub(super) async fn adopt(folder: RunFolder, launcher: &Launcher) -> io::Result<Adopted> {
    if !folder.path().is_dir() {
        return Err(io::ErrorKind::NotFound.into());
    }
    if let Some(record) = folder.process()?
        && record.boot_id != boot_id()?
    {
        return Ok(Adopted::Ended(wait_for_lock(&folder, true).await?));
    }
    within(ADOPT_MAX, async {
        loop {
            if let Some(adopted) = look(&folder, launcher).await? {
                return Ok(adopted);
            }
            // Between its lock and its socket a shim needs a moment.
            tokio::time::sleep(ADOPT_RETRY).await;
        }
    })
    .await?
}

async fn look(folder: &RunFolder, launcher: &Launcher) -> io::Result<Option<Adopted>> {
    let lock = folder.try_lock()?;
    let record = folder.process()?;
    let pidfd = record.as_ref().and_then(|record| Some((record, pidfd_of(record)?)));
    match (lock, pidfd) {
        (Some(lock), None) => Ok(Some(Adopted::Ended(folder.end(&lock, false)?))),
        // The lock is free before the last of the run has let go of its memory and port.
        (Some(lock), Some((record, pidfd))) => {
            drop(lock);
            let run = LiveRun::new(folder.clone(), record.shim_pid, record.started_unix_ms, pidfd, launcher.clone())?;
            Ok(Some(Adopted::Ended(run.gone().await)))
        }
        (None, Some((record, pidfd))) => {
            let (_folder, address) = folder.socket()?;
            let is_shim = match Packets::connect(&address).await {
                Ok(socket) => socket.peer_pid()? == record.shim_pid,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => false,
                Err(error) => return Err(error),
            };
            if !is_shim {
                return Ok(None);
            }
            LiveRun::new(folder.clone(), record.shim_pid, record.started_unix_ms, pidfd, launcher.clone())
                .map(|run| Some(Adopted::Live(run)))
        }
        (None, None) => Ok(None),
    }
}
