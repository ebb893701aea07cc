//! Talking to the shim of a run: hello first, then questions with one answer each.

use std::io;
use std::os::fd::OwnedFd;

use shim::control::{Reply, Request, VERSION_MAX, VERSION_MIN};

use super::folder::RunFolder;
use super::launcher::within;
use super::socket::Packets;
use crate::limits::SHIM_ANSWER_MAX;

/// Connects to the shim of a run, which must be that very process.
pub(super) async fn open(folder: &RunFolder, shim_pid: u32) -> io::Result<Packets> {
    let (_folder, address) = folder.socket()?;
    let socket = within(SHIM_ANSWER_MAX, Packets::connect(&address)).await??;
    if socket.peer_pid()? != shim_pid {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "another process listens on the run's socket"));
    }
    let hello = Request::Hello { min: VERSION_MIN, max: VERSION_MAX }.encode();
    let (welcome, _) = socket.exchange(&hello, SHIM_ANSWER_MAX).await?;
    if !matches!(Reply::decode(&welcome), Ok(Reply::Welcome { .. })) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the shim speaks another version"));
    }
    Ok(socket)
}

/// One question, with the descriptors of its answer.
pub(super) async fn ask(folder: &RunFolder, shim_pid: u32, request: Request) -> io::Result<(Reply, Vec<OwnedFd>)> {
    let socket = open(folder, shim_pid).await?;
    let (answer, descriptors) = socket.exchange(&request.encode(), SHIM_ANSWER_MAX).await?;
    Ok((Reply::decode(&answer).map_err(io::Error::other)?, descriptors))
}
