//! Frames and descriptors over a Unix socket of tokio's.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::limits;
use crate::protocol::{self, FrameError};

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
pub enum ConversationError {
    /// The peer closed it.
    #[error("the other side closed the conversation")]
    Closed,
    /// The socket failed.
    #[error("the control socket failed")]
    Io(#[from] io::Error),
    /// A frame could not be read.
    #[error("a frame of the control conversation was refused")]
    Frame(#[from] FrameError),
    /// The peer does not follow the conversation.
    #[error("the other side broke the conversation: {0}")]
    Protocol(&'static str),
}

/// What was read and not yet taken.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Inbox {
    /// The next whole frame. Safe to drop and call again.
    pub(crate) async fn next<T: for<'a> Deserialize<'a>>(&mut self, stream: &UnixStream) -> Result<T, ConversationError> {
        loop {
            if let Some(frame) = protocol::take(&mut self.buffer)? {
                return Ok(frame);
            }
            let mut chunk = vec![0; limits::FRAMES_READ_BYTES];
            let read = stream.async_io(Interest::READABLE, || self.receive(stream, &mut chunk)).await?;
            if read == 0 {
                return Err(ConversationError::Closed);
            }
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }

    /// The oldest descriptor that came and belongs to no frame yet.
    pub(crate) fn descriptor(&mut self) -> Result<OwnedFd, ConversationError> {
        self.descriptors.pop_front().ok_or(ConversationError::Protocol("a descriptor is missing"))
    }

    fn receive(&mut self, stream: &UnixStream, chunk: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(limits::DESCRIPTORS_WAITING_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = rustix::net::recvmsg(stream, &mut [IoSliceMut::new(chunk)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for item in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = item {
                self.descriptors.extend(descriptors);
            }
        }
        // Whatever came beyond what can be waiting is closed, oldest first.
        while self.descriptors.len() > limits::DESCRIPTORS_WAITING_MAX {
            self.descriptors.pop_front();
        }
        Ok(message.bytes)
    }
}

/// Writes one frame, with a descriptor on its first byte if there is one.
pub(crate) async fn send<T: Serialize>(
    stream: &UnixStream,
    message: &T,
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<(), ConversationError> {
    let frame = protocol::encode(message)?;
    let mut sent = 0;
    while sent < frame.len() {
        let attached = descriptor.filter(|_| sent == 0);
        sent += stream.async_io(Interest::WRITABLE, || transmit(stream, &frame[sent..], attached)).await?;
    }
    Ok(())
}

fn transmit(stream: &UnixStream, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors: &[BorrowedFd<'_>] = descriptor.as_slice();
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}
