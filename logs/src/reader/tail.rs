//! The newest lines of some folders.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::cursor::{Cursor, Step};
use super::{Broken, Line, Marks, Placed, segments};
use crate::limits::{TAIL_BYTES_MAX, TAIL_RECORDS_MAX};
use crate::record::{Damage, HEADER_BYTES, Record};

/// A segment's modification time may lie this much before its last line: the kernel's
/// clock for files is coarse.
const MODIFIED_SLACK: Duration = Duration::from_secs(1);

/// Decides about a line: the folder's place in the list, the record.
pub type Keep<'a> = dyn Fn(usize, &Record) -> bool + 'a;

/// What to look for.
#[derive(Clone, Copy, Default)]
pub struct Query<'a> {
    /// How many of the newest lines, at most [`TAIL_RECORDS_MAX`].
    pub records: usize,
    /// No line before this time, in microseconds since 1970 UTC.
    pub since_unix_us: Option<i64>,
    /// No line after this time, in microseconds since 1970 UTC.
    pub until_unix_us: Option<i64>,
    /// Which lines count; all of them if there is none.
    pub keep: Option<&'a Keep<'a>>,
}

/// The answer to a [`Query`].
#[derive(Debug, Default)]
pub struct Tail {
    /// The lines, oldest first.
    pub lines: Vec<Line>,
    /// For each folder how far it was read: a follower goes on there.
    pub marks: Vec<Marks>,
    /// What could not be read.
    pub broken: Vec<Broken>,
}

/// The newest lines of the folders together, merged by time. A folder that is not there
/// counts as empty.
pub fn tail(folders: &[&Path], query: &Query<'_>) -> io::Result<Tail> {
    let mut gathered = Gathered { query, limit: query.records.min(TAIL_RECORDS_MAX), placed: Vec::new() };
    let mut answer = Tail::default();
    for (source, folder) in folders.iter().enumerate() {
        let mut marks = Marks::default();
        let numbers = segments(folder)?;
        for &segment in numbers.iter().rev() {
            // One bad segment must not hide the others.
            let (damage, offset) = match gathered.open(folder, source, segment) {
                Ok(None) => continue,
                Ok(Some(read)) => read,
                Err(_) => (Some(Damage::Unreadable), 0),
            };
            let is_newest = numbers.last() == Some(&segment);
            if let Some(damage) = damage.filter(|damage| *damage != Damage::Torn || !is_newest) {
                answer.broken.push(Broken { source, segment, offset, damage });
            }
            marks.set(segment, if matches!(damage, None | Some(Damage::Torn)) { offset } else { Marks::NEVER_AGAIN });
        }
        answer.marks.push(marks);
    }
    answer.lines = gathered.placed.into_iter().map(|placed| placed.line).collect();
    Ok(answer)
}

/// The time of the oldest line that a folder still holds, in microseconds since 1970 UTC.
pub fn oldest(folder: &Path) -> io::Result<Option<i64>> {
    for segment in segments(folder)? {
        if let Some(mut cursor) = Cursor::open(folder, segment)?
            && let Step::Record(record) = cursor.read()?
        {
            return Ok(Some(record.stamp.time_unix_us));
        }
    }
    Ok(None)
}

struct Gathered<'a> {
    query: &'a Query<'a>,
    limit: usize,
    /// Sorted; never more than the limit.
    placed: Vec<Placed>,
}

impl Gathered<'_> {
    /// Takes the lines of one segment: what is wrong with it, and how far it was read.
    fn open(&mut self, folder: &Path, source: usize, segment: u32) -> io::Result<Option<(Option<Damage>, u64)>> {
        let Some(mut cursor) = Cursor::open(folder, segment)? else { return Ok(None) };
        let damage = self.segment(source, segment, &mut cursor)?;
        Ok(Some((damage, cursor.offset())))
    }

    /// Takes the lines of one segment and leaves the cursor where a follower goes on.
    fn segment(&mut self, source: usize, segment: u32, cursor: &mut Cursor) -> io::Result<Option<Damage>> {
        if !self.may_matter(cursor)? {
            cursor.seek(cursor.metadata()?.len());
            return Ok(None);
        }
        let plain = self.query.since_unix_us.is_none() && self.query.until_unix_us.is_none() && self.query.keep.is_none();
        if plain {
            skip_to_last(cursor, self.limit)?;
        }
        let (mut found, mut damage) = self.read(source, segment, cursor)?;
        if plain && matches!(damage, Some(Damage::Checksum | Damage::Content)) {
            // Damaged among the last ones: the newest whole ones are found from the start.
            cursor.seek(0);
            (found, damage) = self.read(source, segment, cursor)?;
        }
        self.add(found);
        Ok(damage)
    }

    /// The newest lines from the cursor on.
    fn read(&self, source: usize, segment: u32, cursor: &mut Cursor) -> io::Result<(VecDeque<Placed>, Option<Damage>)> {
        let mut found: VecDeque<Placed> = VecDeque::new();
        let mut bytes = 0;
        let mut time = i64::MIN;
        loop {
            let offset = cursor.offset();
            let record = match cursor.read()? {
                Step::Record(record) => record,
                Step::End => return Ok((found, None)),
                Step::Torn => return Ok((found, Some(Damage::Torn))),
                Step::Damaged(damage) => return Ok((found, Some(damage))),
            };
            time = time.max(record.stamp.time_unix_us);
            if self.matches(source, &record) {
                bytes += record.text.len();
                found.push_back(Placed { key: (time, source, segment, offset), line: Line { source, record } });
            }
            while found.len() > self.limit || (bytes > TAIL_BYTES_MAX && found.len() > 1) {
                bytes -= found.pop_front().map_or(0, |placed| placed.line.record.text.len());
            }
        }
    }

    /// Whether the segment can hold a line that belongs into the answer.
    fn may_matter(&self, cursor: &Cursor) -> io::Result<bool> {
        let oldest_wanted = if self.placed.len() < self.limit {
            self.query.since_unix_us
        } else {
            self.placed.first().map(|placed| placed.key.0).max(self.query.since_unix_us)
        };
        let modified = cursor.metadata()?.modified()? + MODIFIED_SLACK;
        let modified_us = modified.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_micros());
        Ok(self.limit > 0 && oldest_wanted.is_none_or(|oldest| i64::try_from(modified_us).is_ok_and(|us| us >= oldest)))
    }

    fn matches(&self, source: usize, record: &Record) -> bool {
        let time = record.stamp.time_unix_us;
        self.query.since_unix_us.is_none_or(|since| time >= since)
            && self.query.until_unix_us.is_none_or(|until| time <= until)
            && self.query.keep.is_none_or(|keep| keep(source, record))
    }

    fn add(&mut self, found: VecDeque<Placed>) {
        self.placed.extend(found);
        self.placed.sort_by_key(|placed| placed.key);
        let mut bytes = 0;
        let fits = |placed: &&Placed| {
            bytes += placed.line.record.text.len();
            bytes <= TAIL_BYTES_MAX
        };
        let kept = self.placed.iter().rev().take(self.limit).take_while(fits).count();
        self.placed.drain(..self.placed.len() - kept);
    }
}

/// Moves the cursor to the last records of its segment by their lengths alone.
fn skip_to_last(cursor: &mut Cursor, records: usize) -> io::Result<()> {
    let mut offsets = VecDeque::with_capacity(records + 1);
    loop {
        let offset = cursor.offset();
        let Step::Record(()) = cursor.skip()? else { break };
        offsets.push_back(offset.max(HEADER_BYTES as u64));
        if offsets.len() > records {
            offsets.pop_front();
        }
    }
    if let Some(first) = offsets.front() {
        cursor.seek(*first);
    }
    Ok(())
}
