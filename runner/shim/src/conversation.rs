//! The control socket of a run: packets, each answered at once.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use shim::control::{Reply, Request, common_version};
use shim::limits::{BACKLOG, FRAME_BYTES_MAX};
use shim::{NAMESPACES, record, wire_socket};

use crate::failure::{Outcome, Step};
use crate::files;

/// Listens in the working directory. The shim itself calls `listen`, so that the kernel
/// names the shim to whoever connects.
pub(crate) fn listen() -> Outcome<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).step("make the control socket")?;
    files::remove(record::SOCKET).step("remove an old control socket")?;
    let address = SocketAddrUnix::new(record::SOCKET).step("name the control socket")?;
    rustix::net::bind(&socket, &address).step("bind the control socket")?;
    rustix::fs::chmodat(CWD, record::SOCKET, Mode::from_raw_mode(0o660), rustix::fs::AtFlags::empty())
        .step("open the control socket to the server")?;
    rustix::net::listen(&socket, BACKLOG).step("listen on the control socket")?;
    Ok(socket)
}

/// One conversation.
pub(crate) struct Conversation {
    pub(crate) socket: OwnedFd,
    /// Waits for a change other than this one.
    pub(crate) waits_for_other_than: Option<u64>,
}

/// What came of looking at a conversation.
pub(crate) enum Heard {
    /// Nothing yet.
    Nothing,
    /// It is over.
    End,
    /// A question that must be answered.
    Request(Request),
}

/// Reads one packet without waiting. A hello is answered here.
pub(crate) fn hear(socket: BorrowedFd<'_>) -> Heard {
    let mut buffer = [0; FRAME_BYTES_MAX];
    match wire_socket::try_receive(socket, &mut buffer) {
        Ok(Some((count, _))) => match Request::decode(&buffer[..count]) {
            Ok(Request::Hello { min, max }) => {
                let version = common_version(min, max);
                answer(socket, &version.map_or(Reply::Refused, |version| Reply::Welcome { version }));
                Heard::Nothing
            }
            Ok(request) => Heard::Request(request),
            Err(_) => {
                answer(socket, &Reply::Refused);
                Heard::Nothing
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Heard::Nothing,
        Ok(None) | Err(_) => Heard::End,
    }
}

/// Answers without waiting: whoever does not read gets nothing.
pub(crate) fn answer(socket: BorrowedFd<'_>, reply: &Reply) {
    let _ = rustix::net::send(socket, &reply.encode(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
}

/// Answers with this process's namespaces, opened for the moment of the answer.
pub(crate) fn hand_out_namespaces(socket: BorrowedFd<'_>) {
    let open = |name| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::open(format!("/proc/self/ns/{name}"), flags, Mode::empty())
    };
    match NAMESPACES.into_iter().map(open).collect::<Result<Vec<_>, _>>() {
        Ok(open) => {
            let open: Vec<_> = open.iter().map(AsFd::as_fd).collect();
            let _ = wire_socket::try_send(socket, &Reply::HandedOut.encode(), &open);
        }
        Err(_) => answer(socket, &Reply::Refused),
    }
}

pub(crate) fn accept(listener: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    rustix::net::accept_with(listener.as_fd(), SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}
