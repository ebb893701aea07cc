//! A pty whose master we pump; its slave is the command's terminal.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Termios};

use crate::limits;

/// The master's side.
#[derive(Debug)]
pub struct Pty {
    master: File,
    /// Typed, and not taken by the command yet.
    pending: Vec<u8>,
    buffer: Vec<u8>,
    is_open: bool,
}

impl Pty {
    /// Makes a pair with the settings and the size of our terminal. The slave is not
    /// opened by its path, so no other user's rights are needed.
    pub fn open(ours: &Termios) -> io::Result<(Self, OwnedFd)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
        rustix::termios::tcsetattr(&slave, OptionalActions::Now, ours)?;
        // Only this end of the pair: nobody else holds the master.
        rustix::fs::fcntl_setfl(&master, OFlags::NONBLOCK)?;
        let pty = Self { master: File::from(master), pending: Vec::new(), buffer: vec![0; limits::SESSION_CHUNK_BYTES], is_open: true };
        pty.follow_size();
        Ok((pty, slave))
    }

    /// Gives the command's terminal the size of ours.
    pub fn follow_size(&self) {
        if let Ok(size) = rustix::termios::tcgetwinsize(io::stdin()) {
            // A terminal without a size is still a terminal.
            let _ = rustix::termios::tcsetwinsize(&self.master, size);
        }
    }

    /// Whether the command's side may still write.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether typed bytes wait for the command to take them.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Keeps typed bytes until the command takes them. Only called with none pending,
    /// so at most one chunk waits.
    pub fn queue(&mut self, typed: &[u8]) {
        self.pending.extend_from_slice(typed);
    }

    /// Hands over what the command takes now.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.is_open && !self.pending.is_empty() {
            match self.master.write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => self.closed_or(error)?,
            }
        }
        if !self.is_open {
            self.pending.clear();
        }
        Ok(())
    }

    /// What the command wrote, if there is something.
    pub fn read(&mut self) -> io::Result<Option<&[u8]>> {
        match self.master.read(&mut self.buffer) {
            Ok(0) => self.is_open = false,
            Ok(count) => return Ok(Some(&self.buffer[..count])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.closed_or(error)?,
        }
        Ok(None)
    }

    /// A master whose slaves are all closed answers with EIO.
    fn closed_or(&mut self, error: io::Error) -> io::Result<()> {
        if error.raw_os_error() == Some(nix::libc::EIO) {
            self.is_open = false;
            return Ok(());
        }
        Err(error)
    }
}

impl AsFd for Pty {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}
