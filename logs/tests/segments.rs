//! Claims about what is written and what can be read again.

mod common;

use std::fs;
use std::path::Path;

use common::{newest, segment_names, small, texts, writer};
use logs::Stream;
use logs::limits::{SEGMENT_FILES_MAX, TEXT_BYTES_MAX};
use logs::reader::{Marks, Query, oldest, read_on, tail};
use logs::record::{Damage, Record, Stamp};
use logs::segment::Limits;
use proptest::prelude::*;
use tempfile::tempdir;

fn stamp(sequence: u64, time_unix_us: i64, stream: Stream, partial: bool, lost: bool) -> Stamp {
    Stamp { sequence, time_unix_us, stream, partial, lost }
}

#[test]
fn a_segment_of_version_1_is_readable_for_ever() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/formats/logs/segment-v1.seg");
    let folder = tempdir().expect("folder");
    fs::copy(golden, folder.path().join("00000009.seg")).expect("golden segment");
    let all: Vec<u8> = (0..=255).collect();
    let expected = [
        (stamp(41, 1_767_366_245_123_456, Stream::Stdout, false, false), "", "hello wörld".as_bytes()),
        (stamp(42, 1_767_366_245_123_457, Stream::Stderr, true, false), "", &all),
        (stamp(43, 1_767_366_245_123_458, Stream::Platform, false, true), "", b"7 lines were lost: the log could not be written"),
        (stamp(44, -1, Stream::Router, false, false), "12 web.1", b""),
    ];
    let expected = expected.map(|(stamp, subject, text)| Record { stamp, subject: subject.to_owned(), text: text.to_vec() });
    let read: Vec<Record> = newest(folder.path(), 10).lines.into_iter().map(|line| line.record).collect();
    assert_eq!(read, expected);
}

#[test]
fn what_is_written_is_version_1_byte_for_byte() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/formats/logs/segment-v1.seg");
    let all: Vec<u8> = (0..=255).collect();
    let mut bytes = logs::record::header(41).to_vec();
    let mut add = |stamp, subject, text: &[u8]| logs::record::encode(&mut bytes, stamp, subject, text);
    add(stamp(41, 1_767_366_245_123_456, Stream::Stdout, false, false), "", "hello wörld".as_bytes());
    add(stamp(42, 1_767_366_245_123_457, Stream::Stderr, true, false), "", &all);
    add(stamp(43, 1_767_366_245_123_458, Stream::Platform, false, true), "", b"7 lines were lost: the log could not be written");
    add(stamp(44, -1, Stream::Router, false, false), "12 web.1", b"");
    assert_eq!(bytes, fs::read(golden).expect("golden segment"));
}

#[test]
fn a_line_is_visible_as_soon_as_it_is_flushed() {
    let folder = tempdir().expect("folder");
    let mut writer = writer(folder.path(), Limits::default());
    writer.append(Stream::Stdout, 1, b"one", false).expect("append");
    assert!(writer.is_dirty());
    assert_eq!(newest(folder.path(), 10).lines, []);
    writer.flush().expect("flush");
    assert!(!writer.is_dirty());
    assert_eq!(texts(&newest(folder.path(), 10).lines), ["one"]);
}

#[test]
fn many_lines_take_few_writes_and_stay_in_order() {
    let folder = tempdir().expect("folder");
    let mut writer = writer(folder.path(), Limits::default());
    for number in 0..5_000 {
        writer.append(Stream::Stdout, number, format!("line {number}").as_bytes(), false).expect("append");
    }
    let before_flush = newest(folder.path(), 10_000).lines.len();
    assert!((1..5_000).contains(&before_flush), "{before_flush} lines came without a flush");
    writer.flush().expect("flush");
    let read = texts(&newest(folder.path(), 10_000).lines);
    assert_eq!(read.len(), 5_000);
    assert_eq!((read[0].as_str(), read[4_999].as_str()), ("line 0", "line 4999"));
    assert_eq!(texts(&newest(folder.path(), 2).lines), ["line 4998", "line 4999"]);
}

#[test]
fn a_folder_keeps_its_newest_segments_only() {
    let folder = tempdir().expect("folder");
    let mut writer = writer(folder.path(), small(3, 1_000));
    for number in 0..200 {
        writer.append(Stream::Stdout, number, format!("line {number}").as_bytes(), false).expect("append");
        writer.flush().expect("flush");
    }
    let names = segment_names(folder.path());
    assert_eq!(names.len(), 3, "{names:?}");
    for name in &names {
        assert!(fs::metadata(folder.path().join(name)).expect("segment").len() <= 1_000);
    }
    let lines = newest(folder.path(), 1_000).lines;
    let sequences: Vec<u64> = lines.iter().map(|line| line.record.stamp.sequence).collect();
    assert_eq!(sequences.last(), Some(&200));
    assert!(sequences.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    let first = lines[0].record.stamp.time_unix_us;
    assert_eq!(oldest(folder.path()).expect("oldest"), Some(first));
}

/// As after kills of their writers: what is kept is counted in bytes.
#[test]
fn segments_left_before_they_were_full_push_no_lines_out() {
    let folder = tempdir().expect("folder");
    let tear = |name: String| {
        let path = folder.path().join(name);
        let bytes = fs::read(&path).expect("segment");
        fs::write(&path, [bytes.as_slice(), b"torn"].concat()).expect("torn segment");
    };
    for number in 0..SEGMENT_FILES_MAX + 20 {
        let mut writer = writer(folder.path(), Limits::default());
        writer.append(Stream::Stdout, 1, format!("line {number}").as_bytes(), false).expect("append");
        drop(writer);
        tear(segment_names(folder.path()).pop().expect("a segment"));
        let kept = texts(&newest(folder.path(), 1_000).lines);
        assert_eq!(kept.len(), (number + 1).min(SEGMENT_FILES_MAX), "after line {number}");
        assert_eq!(kept.last(), Some(&format!("line {number}")));
    }
    let mut full = writer(folder.path(), small(3, 1_000));
    for number in 0..200 {
        full.append(Stream::Stdout, 2, format!("long line {number}").as_bytes(), false).expect("append");
        full.flush().expect("flush");
    }
    assert_eq!(segment_names(folder.path()).len(), 3, "full ones push them all out");
}

#[test]
fn a_new_writer_goes_on_where_the_last_one_stopped() {
    let folder = tempdir().expect("folder");
    for number in 0..4 {
        let mut writer = writer(folder.path(), Limits::default());
        writer.append(Stream::Stdout, number, format!("run {number}").as_bytes(), false).expect("append");
    }
    let lines = newest(folder.path(), 10).lines;
    assert_eq!(texts(&lines), ["run 0", "run 1", "run 2", "run 3"]);
    assert_eq!(lines.iter().map(|line| line.record.stamp.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(segment_names(folder.path()), ["00000001.seg"]);
}

#[test]
fn two_writers_of_one_folder_do_not_disturb_each_other() {
    let folder = tempdir().expect("folder");
    let (mut old, mut new) = (writer(folder.path(), Limits::default()), writer(folder.path(), Limits::default()));
    for number in 0..100 {
        old.append(Stream::Stdout, number * 2, format!("old {number}").as_bytes(), false).expect("append");
        old.flush().expect("flush");
        new.append(Stream::Stdout, number * 2 + 1, format!("new {number}").as_bytes(), false).expect("append");
        new.flush().expect("flush");
    }
    let tail = newest(folder.path(), 1_000);
    let read = texts(&tail.lines);
    assert_eq!((read.len(), &read[..4]), (200, &["old 0", "new 0", "old 1", "new 1"].map(String::from)[..]));
    assert_eq!(segment_names(folder.path()).len(), 2);
}

#[test]
fn a_removed_segment_is_left_for_a_new_one() {
    let folder = tempdir().expect("folder");
    let mut writer = writer(folder.path(), Limits::default());
    writer.append(Stream::Stdout, 1, b"gone", false).expect("append");
    writer.flush().expect("flush");
    fs::remove_file(folder.path().join("00000001.seg")).expect("removed");
    writer.append(Stream::Stdout, 2, b"kept", false).expect("append");
    writer.flush().expect("flush");
    assert_eq!(texts(&newest(folder.path(), 10).lines), ["kept"]);
}

#[test]
fn a_torn_end_is_cut_and_the_next_writer_begins_a_segment() {
    for cut in [1, 7, 8, 20, 28] {
        let folder = tempdir().expect("folder");
        let mut first = writer(folder.path(), Limits::default());
        first.append(Stream::Stdout, 1, b"whole", false).expect("append");
        first.append(Stream::Stdout, 2, b"torn", false).expect("append");
        drop(first);
        let path = folder.path().join("00000001.seg");
        let bytes = fs::read(&path).expect("segment");
        fs::write(&path, &bytes[..bytes.len() - cut]).expect("torn segment");
        assert_eq!(texts(&newest(folder.path(), 10).lines), ["whole"], "{cut} bytes cut");
        let mut next = writer(folder.path(), Limits::default());
        next.append(Stream::Stdout, 3, b"after", false).expect("append");
        drop(next);
        let tail = newest(folder.path(), 10);
        assert_eq!(texts(&tail.lines), ["whole", "after"], "{cut} bytes cut");
        assert_eq!(tail.lines[1].record.stamp.sequence, 2);
        assert_eq!(tail.broken.iter().map(|broken| broken.damage).collect::<Vec<_>>(), [Damage::Torn]);
    }
}

#[test]
fn a_damaged_record_ends_its_segment_and_the_next_is_read() {
    let folder = tempdir().expect("folder");
    let mut writer = writer(folder.path(), small(9, 300));
    for number in 0..16 {
        writer.append(Stream::Stdout, number, format!("line number {number:02}").as_bytes(), false).expect("append");
        writer.flush().expect("flush");
    }
    assert_eq!(segment_names(folder.path()).len(), 3);
    let path = folder.path().join("00000002.seg");
    let mut bytes = fs::read(&path).expect("segment");
    // The content of the third record: 24 bytes of header, 41 each.
    bytes[24 + 2 * 41 + 30] ^= 1;
    fs::write(&path, bytes).expect("damaged segment");
    let expected: Vec<String> = [0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15].map(|number| format!("line number {number:02}")).to_vec();
    let tail = newest(folder.path(), 100);
    assert_eq!(texts(&tail.lines), expected);
    assert_eq!((tail.broken[0].segment, tail.broken[0].damage), (2, Damage::Checksum));
    let batch = read_on(folder.path(), &mut Marks::default()).expect("read");
    assert_eq!(texts(&batch.lines), expected);
    assert_eq!(batch.broken, tail.broken);
}

#[test]
fn a_foreign_file_is_reported_and_not_read() {
    let folder = tempdir().expect("folder");
    fs::write(folder.path().join("00000001.seg"), [b'x'; 100]).expect("foreign");
    fs::write(folder.path().join("notes.txt"), "not a segment").expect("foreign");
    let mut writer = writer(folder.path(), Limits::default());
    writer.append(Stream::Stdout, 1, b"line", false).expect("append");
    writer.flush().expect("flush");
    let tail = newest(folder.path(), 10);
    assert_eq!(texts(&tail.lines), ["line"]);
    assert_eq!(tail.broken[0].damage, Damage::Header);
}

#[test]
fn a_writer_cannot_make_readers_open_other_files_or_wait() {
    let folder = tempdir().expect("folder");
    let secret = tempdir().expect("folder");
    let mut elsewhere = writer(secret.path(), Limits::default());
    elsewhere.append(Stream::Stdout, 1, b"secret", false).expect("append");
    drop(elsewhere);
    std::os::unix::fs::symlink(secret.path().join("00000001.seg"), folder.path().join("00000001.seg")).expect("link");
    nix::unistd::mkfifo(&folder.path().join("00000002.seg"), nix::sys::stat::Mode::S_IRWXU).expect("fifo");
    fs::create_dir(folder.path().join("00000003.seg")).expect("folder");
    let other = tempdir().expect("folder");
    let mut writer = writer(other.path(), Limits::default());
    writer.append(Stream::Stdout, 1, b"line", false).expect("append");
    drop(writer);
    let read = tail(&[folder.path(), other.path()], &Query { records: 10, ..Query::default() }).expect("tail");
    assert_eq!(texts(&read.lines), ["line"]);
    assert!(read.broken.len() == 3 && read.broken.iter().all(|broken| broken.damage == Damage::Unreadable));
    assert_eq!(read_on(folder.path(), &mut Marks::default()).expect("read").broken.len(), 3);
}

#[test]
fn a_line_of_a_mebibyte_is_one_record_and_a_longer_one_several() {
    let folder = tempdir().expect("folder");
    let mut writer = writer(folder.path(), Limits::default());
    let long: Vec<u8> = (0..=255).cycle().take(2 * TEXT_BYTES_MAX + 3).collect();
    writer.append(Stream::Stdout, 1, &long[..TEXT_BYTES_MAX], false).expect("append");
    writer.append(Stream::Stdout, 2, &long, false).expect("append");
    writer.flush().expect("flush");
    let lines = newest(folder.path(), 10).lines;
    let shapes: Vec<_> = lines.iter().map(|line| (line.record.text.len(), line.record.stamp.partial)).collect();
    assert_eq!(shapes, [(TEXT_BYTES_MAX, false), (TEXT_BYTES_MAX, true), (TEXT_BYTES_MAX, true), (3, false)]);
    let joined: Vec<u8> = lines[1..].iter().flat_map(|line| line.record.text.clone()).collect();
    assert!(joined == long);
}

#[test]
fn folders_are_merged_by_time_and_filtered() {
    let parent = tempdir().expect("folder");
    let folders = ["web.1", "worker.1", "none"].map(|name| parent.path().join(name));
    for (source, folder) in folders[..2].iter().enumerate() {
        fs::create_dir(folder).expect("folder");
        let mut writer = writer(folder, Limits::default());
        for number in 0..10 {
            let time = 10 * number + i64::try_from(source).expect("small");
            writer.append_for("7", Stream::Stdout, time, format!("{source}.{number}").as_bytes(), false).expect("append");
        }
    }
    let paths: Vec<&Path> = folders.iter().map(std::path::PathBuf::as_path).collect();
    let query = Query { records: 4, ..Query::default() };
    assert_eq!(texts(&tail(&paths, &query).expect("tail").lines), ["0.8", "1.8", "0.9", "1.9"]);
    let query = Query { since_unix_us: Some(20), until_unix_us: Some(31), ..Query { records: 100, ..query } };
    assert_eq!(texts(&tail(&paths, &query).expect("tail").lines), ["0.2", "1.2", "0.3", "1.3"]);
    let keep = |source: usize, record: &Record| source == 1 && record.text.ends_with(b"5") && record.subject == "7";
    let query = Query { records: 100, keep: Some(&keep), ..Query::default() };
    assert_eq!(texts(&tail(&paths, &query).expect("tail").lines), ["1.5"]);
}

#[test]
fn a_clock_that_steps_back_does_not_turn_the_order_of_lines() {
    let folder = tempdir().expect("folder");
    let mut writer = writer(folder.path(), Limits::default());
    for time in [100, 200, 50, 60] {
        writer.append(Stream::Stdout, time, time.to_string().as_bytes(), false).expect("append");
    }
    writer.flush().expect("flush");
    assert_eq!(texts(&newest(folder.path(), 10).lines), ["100", "200", "50", "60"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_lines_come_back_as_they_were(
        lines in prop::collection::vec((any::<i64>(), 1..=4_u8, "[a-z0-9. ]{0,20}", prop::collection::vec(any::<u8>(), 0..300), any::<bool>(), any::<bool>()), 0..80),
        segment_bytes in 200..5_000_u64,
    ) {
        let folder = tempdir().expect("folder");
        let mut writer = writer(folder.path(), small(1_000, segment_bytes));
        for (time, stream, subject, text, partial, flush) in &lines {
            let stream = Stream::from_byte(*stream).expect("stream");
            writer.append_for(subject, stream, *time, text, *partial).expect("append");
            if *flush {
                writer.flush().expect("flush");
            }
        }
        drop(writer);
        let mut marks = Marks::default();
        let mut read: Vec<Record> = read_on(folder.path(), &mut marks).expect("read").lines.into_iter().map(|line| line.record).collect();
        read.sort_by_key(|record| record.stamp.sequence);
        let expected: Vec<Record> = (1..).zip(&lines).map(|(sequence, (time, stream, subject, text, partial, _))| Record {
            stamp: stamp(sequence, *time, Stream::from_byte(*stream).expect("stream"), *partial, false),
            subject: subject.clone(),
            text: text.clone(),
        }).collect();
        prop_assert_eq!(read, expected);
        prop_assert_eq!(read_on(folder.path(), &mut marks).expect("read").lines, []);
    }

    #[test]
    fn any_bytes_are_survived(garbage in prop::collection::vec(any::<u8>(), 0..2_000), valid_header in any::<bool>()) {
        let folder = tempdir().expect("folder");
        let mut bytes = if valid_header { logs::record::header(5).to_vec() } else { Vec::new() };
        bytes.extend(garbage);
        fs::write(folder.path().join("00000001.seg"), bytes).expect("segment");
        newest(folder.path(), 10);
        read_on(folder.path(), &mut Marks::default()).expect("read");
        let mut writer = writer(folder.path(), Limits::default());
        writer.append(Stream::Stdout, i64::MAX, b"after", false).expect("append");
        drop(writer);
        let last = newest(folder.path(), 1).lines;
        prop_assert_eq!(texts(&last), ["after"]);
    }
}
