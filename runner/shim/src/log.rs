//! The log of one run: every line carries which run said it.

use std::io;
use std::os::fd::OwnedFd;

use logs::Stream;
use logs::segment::{Limits, Writer};

/// A writer with its subject.
pub(crate) struct Log {
    writer: Writer,
    subject: String,
}

impl Log {
    pub(crate) fn open(folder: OwnedFd, subject: String) -> io::Result<Self> {
        Ok(Self { writer: Writer::open(folder, Limits::default())?, subject })
    }

    /// Adds a line. What a full disk loses is counted by the writer.
    pub(crate) fn append(&mut self, stream: Stream, time_unix_us: i64, text: &[u8], partial: bool) {
        let _ = self.writer.append_for(&self.subject, stream, time_unix_us, text, partial);
    }

    pub(crate) fn flush_if_dirty(&mut self) {
        if self.writer.is_dirty() {
            let _ = self.writer.flush();
        }
    }
}
