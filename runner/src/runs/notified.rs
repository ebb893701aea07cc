//! What the processes of a run say of themselves on `NOTIFY_SOCKET`, heard through its shim.

use std::io;

use shim::control::{Reply, Request};
use shim::notify::Notified;

use super::conversation;
use super::folder::RunFolder;

/// Waits for a change; `None`: the run is gone, or its shim knows no such question.
pub(super) async fn notified(folder: &RunFolder, seen: u64) -> io::Result<Option<Notified>> {
    let Some(process) = folder.process() else { return Ok(None) };
    let socket = match conversation::open(folder, process.shim_pid).await {
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => return Ok(None),
        socket => socket?,
    };
    socket.send(&Request::Notified { seen }.encode()).await?;
    let Some((answer, _)) = socket.receive().await? else { return Ok(None) };
    match Reply::decode(&answer).map_err(io::Error::other)? {
        Reply::Notified(notified) => Ok(Some(notified)),
        _ => Ok(None),
    }
}
