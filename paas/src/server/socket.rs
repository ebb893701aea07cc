//! The server's side of its Unix sockets: requests with their descriptors in, frames out.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use api::wire::{self, FromClient, FromServer, Request};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// A request that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The client is gone, or the system refuses.
    #[error("the client went away")]
    Io(#[from] io::Error),
    /// The client does not speak our language.
    #[error("the client sent something else than a request")]
    Frame(#[from] wire::FrameError),
}

/// A request with the descriptors that came along.
#[derive(Debug)]
pub struct Received {
    /// What is asked.
    pub request: Request,
    /// stdin, stdout, stderr, or nothing.
    pub descriptors: Vec<OwnedFd>,
    /// The connection, for answers.
    pub stream: UnixStream,
}

/// Reads the first frame of a connection.
pub async fn receive(stream: UnixStream) -> Result<Received, ReceiveError> {
    let mut bytes = Vec::new();
    let mut descriptors = Vec::new();
    let wanted = loop {
        let missing = match bytes.get(..4) {
            None => 4 - bytes.len(),
            Some(header) => {
                let length = wire::body_length(header.try_into().unwrap_or_default())?;
                if bytes.len() == 4 + length {
                    break length;
                }
                4 + length - bytes.len()
            }
        };
        let mut chunk = vec![0; missing.min(64 * 1024)];
        let count = stream.async_io(Interest::READABLE, || receive_some(&stream, &mut chunk, &mut descriptors)).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        bytes.extend_from_slice(&chunk[..count]);
    };
    let request = wire::decode(&bytes[4..4 + wanted])?;
    Ok(Received { request, descriptors, stream })
}

#[expect(unsafe_code, reason = "a descriptor that the kernel just made for us by SCM_RIGHTS has no other owner")]
fn receive_some(stream: &UnixStream, chunk: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; api::limits::REQUEST_DESCRIPTORS_MAX]);
    let mut buffers = [io::IoSliceMut::new(chunk)];
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut buffers, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            descriptors.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    Ok(message.bytes)
}

/// Sends one frame.
pub async fn send(stream: &mut OwnedWriteHalf, frame: &FromServer) -> io::Result<()> {
    let bytes = wire::encode(frame).map_err(io::Error::other)?;
    stream.write_all(&bytes).await
}

/// Reads what the client adds; `None` when it is gone or makes no sense any more.
pub async fn next(stream: &mut OwnedReadHalf) -> Option<FromClient> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await.ok()?;
    let mut body = vec![0; wire::body_length(header).ok()?];
    stream.read_exact(&mut body).await.ok()?;
    wire::decode(&body).ok()
}
