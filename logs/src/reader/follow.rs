//! New lines as they are written, from folders that are there and folders that will be.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::sys::inotify::WatchDescriptor;

use super::cursor::{Cursor, Step};
use super::watch::{Changes, Watch};
use super::{Broken, Line, Marks, Placed, segments};
use crate::limits::{FOLDERS_MAX, FOLLOW_BYTES_MAX, FOLLOW_RECORDS_MAX};
use crate::record::Damage;

/// Some new lines.
#[derive(Debug, Default)]
pub struct Batch {
    /// The lines, merged by time.
    pub lines: Vec<Line>,
    /// What could not be read.
    pub broken: Vec<Broken>,
    /// There is more right now: ask again before waiting.
    pub more: bool,
}

/// Follows folders. The caller waits until its descriptor is readable (tokio's `AsyncFd`
/// takes a follower as it is), then calls [`Follower::take`].
#[derive(Debug)]
pub struct Follower {
    watch: Watch,
    sources: Vec<Source>,
    parents: Vec<Parent>,
    /// Where the next batch starts, so that a loud folder does not starve the others.
    turn: usize,
}

#[derive(Debug)]
struct Source {
    folder: PathBuf,
    marks: Marks,
    watch: Option<WatchDescriptor>,
    dirty: bool,
}

struct Parent {
    folder: PathBuf,
    watch: Option<WatchDescriptor>,
    accept: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

impl std::fmt::Debug for Parent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parent").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Follower {
    /// Follows nothing yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self { watch: Watch::new()?, sources: Vec::new(), parents: Vec::new(), turn: 0 })
    }

    /// Follows a folder from the marks on (an empty one: from its oldest line), also if it
    /// is not there yet. Returns the number that its lines will carry.
    pub fn follow(&mut self, folder: &Path, marks: Marks) -> io::Result<usize> {
        if let Some(known) = self.sources.iter().position(|source| source.folder == folder) {
            return Ok(known);
        }
        if self.sources.len() >= FOLDERS_MAX {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let watch = self.watch.add(folder)?;
        self.sources.push(Source { folder: folder.to_owned(), marks, watch, dirty: true });
        Ok(self.sources.len() - 1)
    }

    /// Follows every folder in `parent` whose name is accepted, also those made later;
    /// those that are followed already keep their marks.
    pub fn follow_children(&mut self, parent: &Path, accept: impl Fn(&str) -> bool + Send + Sync + 'static) -> io::Result<()> {
        let watch = self.watch.add(parent)?;
        self.parents.push(Parent { folder: parent.to_owned(), watch, accept: Box::new(accept) });
        self.look_for_children()
    }

    /// The folder that lines with this number come from.
    pub fn folder(&self, source: usize) -> Option<&Path> {
        self.sources.get(source).map(|source| source.folder.as_path())
    }

    /// Takes the news without waiting. An empty batch means: wait for the descriptor.
    pub fn take(&mut self) -> io::Result<Batch> {
        let changes = self.watch.take()?;
        self.note(&changes)?;
        let mut gathered = Vec::new();
        let mut batch = Batch::default();
        let mut room = Room::default();
        for step in 0..self.sources.len() {
            let number = (self.turn + step) % self.sources.len();
            let source = &mut self.sources[number];
            if source.dirty {
                source.dirty = read_folder(&source.folder, &mut source.marks, number, &mut room, |found| match found {
                    Found::Line(placed) => gathered.push(placed),
                    Found::Broken(broken) => batch.broken.push(broken),
                })?;
            }
        }
        self.turn = self.turn.wrapping_add(1);
        batch.more = self.sources.iter().any(|source| source.dirty);
        gathered.sort_by_key(|placed| placed.key);
        batch.lines = gathered.into_iter().map(|placed| placed.line).collect();
        Ok(batch)
    }

    fn note(&mut self, changes: &Changes) -> io::Result<()> {
        let mut unknown = changes.changed.len();
        for source in &mut self.sources {
            if source.watch.is_some_and(|watch| changes.changed.contains(&watch)) {
                source.dirty = true;
                unknown = unknown.saturating_sub(1);
            }
            if source.watch.is_some_and(|watch| changes.gone.contains(&watch)) {
                source.watch = None;
                // A folder that is made again starts its segments anew.
                source.marks = Marks::default();
            }
            source.dirty |= changes.all;
        }
        for parent in &mut self.parents {
            if parent.watch.is_some_and(|watch| changes.gone.contains(&watch)) {
                parent.watch = None;
            }
        }
        // Something happened in a parent or an ancestor: what was missing may be there now.
        if unknown > 0 || changes.all || !changes.gone.is_empty() {
            self.look_for_missing()?;
            self.look_for_children()?;
        }
        Ok(())
    }

    fn look_for_missing(&mut self) -> io::Result<()> {
        for source in self.sources.iter_mut().filter(|source| source.watch.is_none()) {
            source.watch = self.watch.add(&source.folder)?;
            source.dirty |= source.watch.is_some();
        }
        for parent in self.parents.iter_mut().filter(|parent| parent.watch.is_none()) {
            parent.watch = self.watch.add(&parent.folder)?;
        }
        Ok(())
    }

    fn look_for_children(&mut self) -> io::Result<()> {
        let mut found = Vec::new();
        for parent in &self.parents {
            let entries = match parent.folder.read_dir() {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let accepted = entry.file_name().to_str().is_some_and(|name| (parent.accept)(name));
                if accepted && entry.file_type()?.is_dir() {
                    found.push(entry.path());
                }
            }
        }
        found.sort();
        for folder in found {
            self.follow(&folder, Marks::default())?;
        }
        Ok(())
    }
}

impl AsFd for Follower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

impl AsRawFd for Follower {
    fn as_raw_fd(&self) -> RawFd {
        self.watch.as_fd().as_raw_fd()
    }
}

/// The lines of one folder after the marks, oldest first, and the marks behind them. At
/// most [`FOLLOW_RECORDS_MAX`] at once; `more` tells whether there are others.
pub fn read_on(folder: &Path, marks: &mut Marks) -> io::Result<Batch> {
    let mut gathered = Vec::new();
    let mut batch = Batch::default();
    batch.more = read_folder(folder, marks, 0, &mut Room::default(), |found| match found {
        Found::Line(placed) => gathered.push(placed),
        Found::Broken(broken) => batch.broken.push(broken),
    })?;
    gathered.sort_by_key(|placed: &Placed| placed.key);
    batch.lines = gathered.into_iter().map(|placed| placed.line).collect();
    Ok(batch)
}

enum Found {
    Line(Placed),
    Broken(Broken),
}

struct Room {
    records: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { records: FOLLOW_RECORDS_MAX, bytes: FOLLOW_BYTES_MAX }
    }
}

/// Reads on in every segment of a folder; true if the room did not suffice.
fn read_folder(folder: &Path, marks: &mut Marks, source: usize, room: &mut Room, mut found: impl FnMut(Found)) -> io::Result<bool> {
    let numbers = segments(folder)?;
    marks.keep_only(&numbers);
    for segment in numbers {
        match read_segment(folder, marks, (source, segment), room, &mut found) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            // One bad segment must not hide the others.
            Err(_) => {
                let offset = marks.get(segment);
                marks.set(segment, Marks::NEVER_AGAIN);
                found(Found::Broken(Broken { source, segment, offset, damage: Damage::Unreadable }));
            }
        }
    }
    Ok(false)
}

fn read_segment(
    folder: &Path,
    marks: &mut Marks,
    (source, segment): (usize, u32),
    room: &mut Room,
    found: &mut impl FnMut(Found),
) -> io::Result<bool> {
    let mark = marks.get(segment);
    if mark == Marks::NEVER_AGAIN {
        return Ok(false);
    }
    let Some(mut cursor) = Cursor::open(folder, segment)? else { return Ok(false) };
    if cursor.metadata()?.len() <= mark {
        return Ok(false);
    }
    cursor.seek(mark);
    let mut time = i64::MIN;
    loop {
        if room.records == 0 || room.bytes == 0 {
            return Ok(true);
        }
        let offset = cursor.offset();
        match cursor.read()? {
            Step::Record(record) => {
                room.records -= 1;
                room.bytes = room.bytes.saturating_sub(record.text.len());
                time = time.max(record.stamp.time_unix_us);
                marks.set(segment, cursor.offset());
                found(Found::Line(Placed { key: (time, source, segment, offset), line: Line { source, record } }));
            }
            // A torn record is one that its writer has not finished.
            Step::End | Step::Torn => return Ok(false),
            Step::Damaged(damage) => {
                marks.set(segment, Marks::NEVER_AGAIN);
                found(Found::Broken(Broken { source, segment, offset, damage }));
                return Ok(false);
            }
        }
    }
}
