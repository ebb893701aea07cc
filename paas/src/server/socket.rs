//! The server's side of its Unix sockets: requests with their descriptors in, frames out.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use api::wire::{self, FromClient, FromServer, Request};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
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
        // One byte at a time could bring along more than this process may have open.
        if descriptors.len() > api::limits::REQUEST_DESCRIPTORS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too many descriptors").into());
        }
        bytes.extend_from_slice(&chunk[..count]);
    };
    let request = wire::decode(&bytes[4..4 + wanted])?;
    Ok(Received { request, descriptors, stream })
}

fn receive_some(stream: &UnixStream, chunk: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(api::limits::REQUEST_DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [io::IoSliceMut::new(chunk)];
    let received = rustix::net::recvmsg(stream, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(received.bytes)
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

/// Sends one message to another part of paas, with a descriptor on its first byte.
pub async fn send_message<T: serde::Serialize>(stream: &UnixStream, message: &T, descriptor: Option<OwnedFd>) -> io::Result<()> {
    let bytes = wire::encode(message).map_err(io::Error::other)?;
    let mut sent = 0;
    let mut descriptor = descriptor;
    while sent < bytes.len() {
        let rest = &bytes[sent..];
        let rights = descriptor.as_ref().map(std::os::fd::AsFd::as_fd);
        sent += stream.async_io(Interest::WRITABLE, || send_some(stream, rest, rights)).await?;
        descriptor = None;
    }
    Ok(())
}

fn send_some(stream: &UnixStream, bytes: &[u8], descriptor: Option<std::os::fd::BorrowedFd<'_>>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let rights: Vec<_> = descriptor.into_iter().collect();
    if !rights.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&rights));
    }
    Ok(rustix::net::sendmsg(stream, &[io::IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?)
}

/// Reads one message of another part of paas; `None` at its end.
pub async fn receive_message<T: serde::de::DeserializeOwned>(stream: &UnixStream) -> io::Result<Option<T>> {
    let mut header = [0; 4];
    if !read_whole(stream, &mut header).await? {
        return Ok(None);
    }
    let mut body = vec![0; wire::body_length(header).map_err(io::Error::other)?];
    if !read_whole(stream, &mut body).await? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    wire::decode(&body).map(Some).map_err(io::Error::other)
}

/// Fills the buffer; false if the stream ended before its first byte.
async fn read_whole(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        stream.readable().await?;
        match stream.try_read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
