//! Descriptors that this process was started with, taken over without `unsafe`.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

/// Takes over the descriptor with this number, which whoever started us left open.
/// The kernel carries it once through a socket pair: what comes out is owned and
/// closed on exec, and the number itself is free again.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    let (sender, receiver) = UnixStream::pair()?;
    // A number that was free became one of ours just now.
    if [sender.as_raw_fd(), receiver.as_raw_fd()].contains(&number) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let numbers = [number];
    let rights = [ControlMessage::ScmRights(&numbers)];
    sendmsg::<UnixAddr>(sender.as_raw_fd(), &[IoSlice::new(&[0])], &rights, MsgFlags::empty(), None)?;
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(&receiver, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut owned = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            owned = owned.or(descriptors.last());
        }
    }
    let owned = owned.ok_or(io::ErrorKind::NotFound)?;
    nix::unistd::close(number)?;
    Ok(owned)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::IntoRawFd;

    use super::*;

    #[test]
    fn an_inherited_descriptor_is_taken_over_and_its_number_freed() {
        let (mut reader, writer) = io::pipe().expect("pipe");
        let mut taken = std::fs::File::from(take(writer.into_raw_fd()).expect("taken"));
        taken.write_all(b"through").expect("write");
        drop(taken);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("end of file, so no copy is left open");
        assert_eq!(text, "through");
    }

    #[test]
    fn a_number_that_is_not_open_is_an_error() {
        assert!(take(100_000).is_err());
    }
}
