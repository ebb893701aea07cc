//! Claims about killed writers and full disks. The test binary starts itself as the
//! writer that is killed or starved.

mod common;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{newest, segment_names, small, texts, writer};
use logs::Stream;
use logs::reader::{Marks, read_on};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use tempfile::tempdir;

const FOLDER: &str = "LOGS_TEST_FOLDER";
/// What the writer that is killed may keep.
const SEGMENTS: u64 = 8;
const SEGMENT_BYTES: u64 = 100_000;

fn start(role: &str, folder: &std::path::Path) -> Child {
    Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", role, "--ignored", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("child")
}

fn own_folder() -> std::path::PathBuf {
    std::env::var_os(FOLDER).expect("started by another test").into()
}

#[test]
#[ignore = "runs as the child of after_kill_minus_9_every_whole_line_is_there_and_the_next_writer_goes_on"]
fn role_write_until_killed() {
    let mut writer = writer(&own_folder(), small(usize::try_from(SEGMENTS).expect("few"), SEGMENT_BYTES));
    for number in 0_u64.. {
        let size = usize::try_from(number % 5_000).expect("small");
        let mut text = format!("{number} ").into_bytes();
        text.resize(text.len() + size, b'x');
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros();
        writer.append(Stream::Stdout, i64::try_from(now).expect("in range"), &text, false).expect("append");
    }
}

#[test]
fn after_kill_minus_9_every_whole_line_is_there_and_the_next_writer_goes_on() {
    let folder = tempdir().expect("folder");
    let mut last_sequence = 0;
    for _ in 0..5 {
        let mut child = start("role_write_until_killed", folder.path());
        let deadline = Instant::now() + Duration::from_secs(20);
        while newest(folder.path(), 1).lines.last().is_none_or(|line| line.record.stamp.sequence < last_sequence + 200) {
            assert!(Instant::now() < deadline, "the writer wrote nothing");
            std::thread::yield_now();
        }
        child.kill().expect("killed");
        child.wait().expect("reaped");
        let lines = newest(folder.path(), 10_000).lines;
        // A torn segment is left for a new one: what is bounded is what all of them hold.
        let bytes: u64 = segment_names(folder.path()).iter().map(|name| folder.path().join(name).metadata().expect("segment").len()).sum();
        assert!(bytes <= SEGMENTS * SEGMENT_BYTES, "{bytes} bytes are kept");
        for pair in lines.windows(2) {
            let [before, after] = [0, 1].map(|index| pair[index].record.stamp.sequence);
            assert_eq!(after, before + 1);
        }
        last_sequence = lines.iter().map(|line| line.record.stamp.sequence).max().expect("lines");
    }
}

#[test]
#[ignore = "runs as the child of a_full_disk_loses_lines_counts_them_and_says_so"]
fn role_write_on_a_full_disk() {
    // A file may not grow beyond the limit: the kernel cuts the write that reaches it and
    // refuses the next, like a full disk. The signal that comes with it stays blocked.
    SigSet::from(Signal::SIGXFSZ).thread_block().expect("blocked");
    let mut writer = writer(&own_folder(), small(3, 1_000_000));
    setrlimit(Resource::RLIMIT_FSIZE, 2_000, nix::libc::RLIM_INFINITY).expect("limit");
    let mut failures = 0;
    for number in 0..100_i64 {
        let text = format!("{number:02} {}", "x".repeat(100));
        writer.append(Stream::Stdout, number, text.as_bytes(), false).expect("the batch has room");
        if number % 3 == 2 {
            failures += u64::from(writer.flush().is_err());
        }
    }
    assert!(failures > 10 && writer.lost() > 30, "{failures} failures, {} lost", writer.lost());
    setrlimit(Resource::RLIMIT_FSIZE, nix::libc::RLIM_INFINITY, nix::libc::RLIM_INFINITY).expect("limit");
    writer.append(Stream::Stdout, 100, b"100 after", false).expect("append");
    writer.flush().expect("works again");
    assert_eq!(writer.lost(), 0);
}

#[test]
fn a_full_disk_loses_lines_counts_them_and_says_so() {
    let folder = tempdir().expect("folder");
    assert!(start("role_write_on_a_full_disk", folder.path()).wait().expect("child").success());
    let batch = read_on(folder.path(), &mut Marks::default()).expect("read");
    assert_eq!(batch.broken, []);
    let read = texts(&batch.lines);
    let marker = batch.lines.iter().position(|line| line.record.stamp.lost).expect("a marker");
    assert_eq!(read.last().map(String::as_str), Some("100 after"));
    let lost: usize = read[marker].split(' ').next().and_then(|count| count.parse().ok()).expect("a count");
    // 101 lines were said: each is there or counted.
    let markers = batch.lines.iter().filter(|line| line.record.stamp.lost).count();
    assert_eq!((read.len() - markers + lost, markers), (101, 1), "{read:?}");
    assert_eq!(batch.lines[marker].record.stamp.stream, Stream::Platform);
}
