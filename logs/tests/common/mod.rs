//! What the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs::File;
use std::path::Path;

use logs::reader::{Line, Query, Tail, tail};
use logs::segment::{Limits, Writer};

pub(crate) fn writer(folder: &Path, limits: Limits) -> Writer {
    Writer::open(File::open(folder).expect("folder").into(), limits).expect("writer")
}

pub(crate) fn small(segments: usize, segment_bytes: u64) -> Limits {
    Limits { segments, segment_bytes }
}

pub(crate) fn newest(folder: &Path, records: usize) -> Tail {
    tail(&[folder], &Query { records, ..Query::default() }).expect("tail")
}

pub(crate) fn texts(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|line| String::from_utf8_lossy(&line.record.text).into_owned()).collect()
}

pub(crate) fn segment_names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        folder.read_dir().expect("folder").map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
