//! Lines of output kept in segment files: written by the process beside the one that
//! speaks, read by everyone else.
//!
//! A folder holds `00000001.seg`, `00000002.seg`, …; a segment is a header and records.
//! Writers rotate, readers only read, and neither waits for the other.

pub mod checksum;
mod folder;
pub mod limits;
pub mod reader;
pub mod record;
pub mod segment;

/// Who said a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Stream {
    /// The process, on its standard output.
    Stdout = 1,
    /// The process, on its standard error.
    Stderr = 2,
    /// The platform, about the process.
    Platform = 3,
    /// The router, about a request.
    Router = 4,
}

impl Stream {
    /// The byte that stands for it in a record.
    pub const fn to_byte(self) -> u8 {
        self as u8
    }

    /// The stream that a byte stands for.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            3 => Some(Self::Platform),
            4 => Some(Self::Router),
            _ => None,
        }
    }
}
