//! Sockets of packets, on the runtime.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use shim::limits::FRAME_BYTES_MAX;
use shim::{Report, wire_socket};
use tokio::io::unix::AsyncFd;

use super::watch::watch_socket;
use crate::limits::CONNECT_RETRY;

/// One end of a socket of packets.
#[derive(Debug)]
pub(super) struct Packets(AsyncFd<OwnedFd>);

/// Two ends: ours, and one to give away.
pub(super) fn pair() -> io::Result<(Packets, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    Ok((Packets(watch_socket(ours)?), theirs))
}

impl Packets {
    /// Connects to a listening socket; one whose queue is full is tried again until the
    /// caller gives up.
    pub(super) async fn connect(address: &SocketAddrUnix) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        loop {
            let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
            match rustix::net::connect(&socket, address) {
                Ok(()) => return Ok(Self(watch_socket(socket)?)),
                Err(rustix::io::Errno::AGAIN) => tokio::time::sleep(CONNECT_RETRY).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The process that listens on the other side, as the kernel knows it.
    pub(super) fn peer_pid(&self) -> io::Result<u32> {
        let credentials = rustix::net::sockopt::socket_peercred(self.0.get_ref())?;
        Ok(credentials.pid.as_raw_nonzero().get().cast_unsigned())
    }

    pub(super) async fn send(&self, packet: &[u8]) -> io::Result<()> {
        loop {
            let mut ready = self.0.writable().await?;
            if let Ok(result) = ready.try_io(|socket| wire_socket::try_send(socket.as_fd(), packet, &[])) {
                return result;
            }
        }
    }

    /// One packet with its descriptors; `None` at the end.
    pub(super) async fn receive(&self) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
        let mut buffer = vec![0; FRAME_BYTES_MAX];
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|socket| wire_socket::try_receive(socket.as_fd(), &mut buffer)) {
                Ok(Ok(Some((count, descriptors)))) => {
                    buffer.truncate(count);
                    return Ok(Some((buffer, descriptors)));
                }
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }

    /// One report with at most one descriptor; `None` at the end.
    pub(super) async fn report(&self) -> io::Result<Option<(Report, Option<OwnedFd>)>> {
        match self.receive().await? {
            Some((packet, descriptors)) => {
                let report = Report::decode(&packet).map_err(io::Error::other)?;
                Ok(Some((report, descriptors.into_iter().next())))
            }
            None => Ok(None),
        }
    }

    /// Tries something on this socket for this long.
    pub(super) async fn exchange(&self, packet: &[u8], time: Duration) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
        super::launcher::within(time, async {
            self.send(packet).await?;
            self.receive().await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        })
        .await?
    }
}
