//! The socket of `NOTIFY_SOCKET`: in the sandbox, read by the supervisor. Only processes of
//! the run are listened to, a flood waits, and silence costs nothing.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use shim::control::Reply;
use shim::limits::{NOTIFY_BYTES_MAX, NOTIFY_DATAGRAMS_PER_S_MAX, NOTIFY_TELL_APART_MS};
use shim::notify::Heard;

use crate::failure::{Outcome, Step};

/// Binds relative to the working directory, which is the root of the sandbox to be.
pub(crate) fn bind(path: &str) -> Outcome<OwnedFd> {
    const STEP: &str = "make the socket of NOTIFY_SOCKET";
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).step(STEP)?;
    // Before anybody can send: what was sent without it has no sender.
    sockopt::set_socket_passcred(&socket, true).step(STEP)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path).step(STEP)?).step(STEP)?;
    Ok(socket)
}

pub(crate) struct Notify {
    socket: OwnedFd,
    heard: Heard,
    /// How many more are read, and until when that counts.
    left: u32,
    left_until: Option<Instant>,
    /// Not read before this: somebody floods it.
    read_from: Option<Instant>,
    /// Not told again before this.
    tell_from: Option<Instant>,
}

impl Notify {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, heard: Heard::default(), left: 0, left_until: None, read_from: None, tell_from: None }
    }

    /// The socket, while it is to be watched.
    pub(crate) fn watched(&mut self, now: Instant) -> Option<BorrowedFd<'_>> {
        if self.read_from.is_some_and(|at| at <= now) {
            self.read_from = None;
        }
        self.read_from.is_none().then(|| self.socket.as_fd())
    }

    pub(crate) fn read(&mut self, now: Instant) {
        if self.left_until.is_none_or(|until| until <= now) {
            (self.left, self.left_until) = (NOTIFY_DATAGRAMS_PER_S_MAX, Some(now + Duration::from_secs(1)));
        }
        let mut datagram = [0; NOTIFY_BYTES_MAX];
        while self.left > 0 {
            self.left -= 1;
            match receive(&self.socket, &mut datagram) {
                Ok(Some(count)) => self.heard.take(now, &datagram[..count]),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Not again and again.
                Err(_) => break,
            }
        }
        self.read_from = self.left_until;
    }

    /// When something that was asked for can be told; `None`: nothing is new.
    pub(crate) fn due(&self, now: Instant, seen: u64) -> Option<Instant> {
        (self.heard.change() != seen).then(|| self.tell_from.unwrap_or(now))
    }

    /// When reading goes on.
    pub(crate) fn pause(&self) -> Option<Instant> {
        self.read_from
    }

    pub(crate) fn tell(&mut self, now: Instant) -> Reply {
        self.tell_from = Some(now + Duration::from_millis(NOTIFY_TELL_APART_MS));
        Reply::Notified(self.heard.notified(now))
    }
}

/// One datagram; `None` if its sender is not of the run, whose numbers begin at 1 in here,
/// or if it carries descriptors, which are not let in.
fn receive(socket: &OwnedFd, datagram: &mut [u8]) -> io::Result<Option<usize>> {
    let mut control = nix::cmsg_space!(UnixCredentials);
    let mut parts = [IoSliceMut::new(datagram)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
        Ok(message) => message,
        Err(nix::errno::Errno::EINTR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Ok(mut parts) = message.cmsgs() else { return Ok(None) };
    let is_of_run = parts.any(|part| matches!(part, ControlMessageOwned::ScmCredentials(who) if who.pid() > 0));
    Ok(is_of_run.then_some(message.bytes))
}
