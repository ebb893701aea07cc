//! The one place where connections to instances come from: 127.0.0.1 only, and with a
//! network namespace per app it will be the only place to change.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::net::TcpStream;

use crate::instance::Instance;

/// A connection to an instance.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// The connection.
    pub(crate) stream: TcpStream,
    /// It has carried a request before.
    pub(crate) reused: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Nobody listens.
    #[error("the instance refused the connection")]
    Refused,
    /// Its queue is full, or it is stopped.
    #[error("the instance did not take the connection in time")]
    TimedOut,
    /// Our own trouble: descriptors, ports.
    #[error("no connection could be made")]
    Platform(#[source] io::Error),
}

impl Upstream {
    /// Takes an unused connection if `reuse` allows it, or makes a new one. Without
    /// `reuse` an unused one is closed in exchange: an app that serves one connection
    /// at a time would never come to the new one.
    pub(crate) async fn open(instance: &Arc<Instance>, reuse: bool, timeout: Duration) -> Result<Self, ConnectError> {
        if reuse {
            while let Some(stream) = instance.take_unused() {
                if is_open_and_silent(&stream) {
                    return Ok(Self { stream, reused: true });
                }
            }
        } else {
            drop(instance.take_unused());
        }
        let connect = tokio::time::timeout(timeout, TcpStream::connect(instance.address)).await;
        let stream = connect.map_err(|_| ConnectError::TimedOut)?.map_err(|error| match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => ConnectError::Refused,
            ErrorKind::TimedOut => ConnectError::TimedOut,
            _ => ConnectError::Platform(error),
        })?;
        stream.set_nodelay(true).map_err(ConnectError::Platform)?;
        Ok(Self { stream, reused: false })
    }
}

/// Asks the kernel itself: what tokio knows of readiness may be older than the close.
fn is_open_and_silent(stream: &TcpStream) -> bool {
    let mut byte = [0; 1];
    matches!(rustix::net::recv(stream, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT), Err(rustix::io::Errno::AGAIN))
}
