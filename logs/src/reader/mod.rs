//! Reading what writers left and go on leaving: the newest lines, the lines after a mark,
//! several folders merged by time. A damaged record ends its segment for the reader; the
//! next segment is read as if nothing had happened, and the damage is reported.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::folder;
use crate::record::{Damage, Record};

mod cursor;
mod follow;
mod tail;
mod watch;

pub use follow::{Batch, Follower, read_on};
pub use tail::{Keep, Query, Tail, oldest, tail};

/// How far each segment of a folder was read, by number. The segments of one folder can
/// grow at the same time: during a switch two instances share a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks(BTreeMap<u32, u64>);

impl Marks {
    /// Stands for a segment that is damaged and not read any more.
    const NEVER_AGAIN: u64 = u64::MAX;

    fn get(&self, segment: u32) -> u64 {
        self.0.get(&segment).copied().unwrap_or(0)
    }

    fn set(&mut self, segment: u32, offset: u64) {
        self.0.insert(segment, offset);
    }

    fn keep_only(&mut self, segments: &[u32]) {
        self.0.retain(|segment, _| segments.contains(segment));
    }
}

/// A record and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The folder: its place in the list that was asked about, or in the follower.
    pub source: usize,
    /// The record.
    pub record: Record,
}

/// A place where a segment cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The folder: its place in the list that was asked about, or in the follower.
    pub source: usize,
    /// The number of the segment.
    pub segment: u32,
    /// Bytes from its start.
    pub offset: u64,
    /// What is wrong.
    pub damage: Damage,
}

/// A line with the key that sorts it: time (never falling inside a segment, whatever the
/// clock did), folder, segment, offset.
#[derive(Debug)]
struct Placed {
    key: (i64, usize, u32, u64),
    line: Line,
}

/// The numbers of a folder's segments, oldest first; none if there is no folder.
fn segments(folder: &Path) -> io::Result<Vec<u32>> {
    match fs::File::open(folder) {
        Ok(directory) => folder::list(&directory),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
