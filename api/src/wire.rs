//! The frames between a client and the server's sockets: a length of 4 bytes (little
//! endian), then JSON. The first frame of a client is its [`Request`]; descriptors for
//! stdin, stdout and stderr may come with it (SCM_RIGHTS on its first byte).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Failure, limits};

/// The version of this conversation.
pub const VERSION: u32 = 1;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`] of the client.
    pub version: u32,
    /// An [`Operation::NAME`](crate::Operation::NAME).
    pub operation: String,
    /// The operation itself.
    pub body: Value,
    /// On the door socket: the fingerprint of the key that logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What a client may add while an operation runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromClient {
    /// The person gave up, or is gone.
    Cancel,
    /// Pass this signal on to the session's process.
    Signal(i32),
}

/// What the server answers, in this order: any number of `Line` and `Item`, then one
/// of `Reply`, `Failure`, `Exit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromServer {
    /// A line of progress for stderr, ready to print.
    Line(String),
    /// One element of a stream (`logs`).
    Item(Value),
    /// The reply.
    Reply(Value),
    /// It failed.
    Failure(Failure),
    /// The session's process ended with this exit code.
    Exit(u8),
}

/// A frame that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It is larger than [`limits::FRAME_BYTES_MAX`].
    #[error("a frame of {0} bytes is over the limit")]
    TooLarge(usize),
    /// Its JSON is not what was expected.
    #[error("a frame is not understood")]
    Malformed(#[source] serde_json::Error),
}

/// A message as the bytes of a frame, length included.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let body = serde_json::to_vec(message).map_err(FrameError::Malformed)?;
    let length = u32::try_from(body.len()).map_err(|_| FrameError::TooLarge(body.len()))?;
    if body.len() > limits::FRAME_BYTES_MAX {
        return Err(FrameError::TooLarge(body.len()));
    }
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// The length of a frame's body from its first 4 bytes.
pub fn body_length(header: [u8; 4]) -> Result<usize, FrameError> {
    let length = u32::from_le_bytes(header) as usize;
    if length > limits::FRAME_BYTES_MAX { Err(FrameError::TooLarge(length)) } else { Ok(length) }
}

/// A frame's body as a message.
pub fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, FrameError> {
    serde_json::from_slice(body).map_err(FrameError::Malformed)
}
