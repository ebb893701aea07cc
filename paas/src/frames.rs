//! Frames of [`api::wire`] over a blocking Unix socket, with descriptors.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde::{Serialize, de::DeserializeOwned};

use crate::limits;

/// A conversation that broke.
#[derive(Debug, thiserror::Error)]
pub enum ConversationError {
    /// The socket failed, or the other side is gone.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// The other side ended in the middle of a frame.
    #[error("the connection ended in the middle of a message")]
    Truncated,
    /// The other side sent what is no frame of ours.
    #[error("a message was not understood")]
    Frame(#[source] api::wire::FrameError),
}

/// A message and the descriptors that came with it.
#[derive(Debug)]
pub struct Received<T> {
    /// The message.
    pub message: T,
    /// What came along, closed on exec.
    pub descriptors: Vec<OwnedFd>,
}

/// One end of a conversation.
#[derive(Debug)]
pub struct FrameSocket {
    stream: UnixStream,
}

impl FrameSocket {
    /// Connects to a socket of the server.
    pub fn connect(path: &Path) -> io::Result<Self> {
        Self::new(UnixStream::connect(path)?)
    }

    /// Speaks over a socket that is there already.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        let stall = Some(Duration::from_secs(limits::FRAME_STALL_S));
        stream.set_read_timeout(stall)?;
        stream.set_write_timeout(stall)?;
        Ok(Self { stream })
    }

    /// Sends a message; the descriptors travel with its first byte.
    pub fn send<T: Serialize>(&self, message: &T, descriptors: &[BorrowedFd<'_>]) -> Result<(), ConversationError> {
        let frame = api::wire::encode(message).map_err(ConversationError::Frame)?;
        let sent = if descriptors.is_empty() { 0 } else { self.send_with(&frame, descriptors)? };
        (&self.stream).write_all(&frame[sent..]).map_err(ConversationError::Broken)
    }

    fn send_with(&self, frame: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<usize, ConversationError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(limits::FRAME_DESCRIPTORS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(ConversationError::Broken(io::ErrorKind::InvalidInput.into()));
        }
        rustix::net::sendmsg(&self.stream, &[IoSlice::new(frame)], &mut ancillary, SendFlags::NOSIGNAL)
            .map_err(|error| ConversationError::Broken(error.into()))
    }

    /// Waits for a message; nothing if the other side ended between two. The wait is
    /// as long as the other side lives; only a begun frame has a time limit.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<Option<Received<T>>, ConversationError> {
        wait_readable(self.as_fd()).map_err(ConversationError::Broken)?;
        let mut header = [0; 4];
        let (count, descriptors) = self.receive_first(&mut header)?;
        if count == 0 {
            return Ok(None);
        }
        self.receive_rest(&mut header[count..])?;
        let mut body = vec![0; api::wire::body_length(header).map_err(ConversationError::Frame)?];
        self.receive_rest(&mut body)?;
        let message = api::wire::decode(&body).map_err(ConversationError::Frame)?;
        Ok(Some(Received { message, descriptors }))
    }

    fn receive_first(&self, header: &mut [u8; 4]) -> Result<(usize, Vec<OwnedFd>), ConversationError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(limits::FRAME_DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let count = loop {
            let mut buffers = [IoSliceMut::new(header)];
            match rustix::net::recvmsg(&self.stream, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => break received.bytes,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(ConversationError::Broken(error.into())),
            }
        };
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        Ok((count, descriptors))
    }

    fn receive_rest(&self, buffer: &mut [u8]) -> Result<(), ConversationError> {
        (&self.stream).read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ConversationError::Truncated,
            _ => ConversationError::Broken(error),
        })
    }
}

impl AsFd for FrameSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Waits until a descriptor can be read, or has ended.
fn wait_readable(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], None)
}

/// Waits for one of the descriptors, for ever or for so many milliseconds.
pub fn poll(descriptors: &mut [PollFd<'_>], timeout_ms: Option<i64>) -> io::Result<()> {
    let timeout = timeout_ms.map(|ms| rustix::event::Timespec { tv_sec: ms / 1_000, tv_nsec: ms % 1_000 * 1_000_000 });
    loop {
        match rustix::event::poll(descriptors, timeout.as_ref()) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
