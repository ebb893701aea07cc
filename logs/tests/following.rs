//! Claims about followers.

mod common;

use std::fs;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use common::{newest, small, texts, writer};
use logs::Stream;
use logs::reader::{Follower, Marks};
use logs::segment::Limits;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tempfile::tempdir;

const DEADLINE: Duration = Duration::from_secs(20);

/// Lines as they come, until there are `count`; waits for the descriptor, never by time.
fn collect(follower: &mut Follower, count: usize) -> Vec<String> {
    let deadline = Instant::now() + DEADLINE;
    let mut read = Vec::new();
    loop {
        let batch = follower.take().expect("batch");
        assert_eq!(batch.broken, []);
        read.extend(texts(&batch.lines));
        if read.len() >= count {
            return read;
        }
        if !batch.more {
            let left = deadline.checked_duration_since(Instant::now());
            let left = left.unwrap_or_else(|| panic!("only {} of {count} lines came", read.len()));
            let timeout = PollTimeout::try_from(left).expect("timeout");
            poll(&mut [PollFd::new(follower.as_fd(), PollFlags::POLLIN)], timeout).expect("poll");
        }
    }
}

fn is_quiet(follower: &Follower) -> bool {
    poll(&mut [PollFd::new(follower.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).expect("poll") == 0
}

#[test]
fn nothing_is_lost_or_told_twice_between_tail_and_follow() {
    let folder = tempdir().expect("folder");
    let mut writer = writer(folder.path(), Limits::default());
    writer.append(Stream::Stdout, 1, b"before", false).expect("append");
    writer.flush().expect("flush");
    let mut tail = newest(folder.path(), 10);
    writer.append(Stream::Stdout, 2, b"between", false).expect("append");
    writer.flush().expect("flush");
    let mut follower = Follower::new().expect("follower");
    follower.follow(folder.path(), tail.marks.remove(0)).expect("follow");
    writer.append(Stream::Stdout, 3, b"after", false).expect("append");
    writer.flush().expect("flush");
    assert_eq!(texts(&tail.lines), ["before"]);
    assert_eq!(collect(&mut follower, 2), ["between", "after"]);
}

#[test]
fn a_follower_sees_every_line_across_rotations() {
    let folder = tempdir().expect("folder");
    let mut follower = Follower::new().expect("follower");
    follower.follow(folder.path(), Marks::default()).expect("follow");
    let path = folder.path().to_owned();
    let thread = std::thread::spawn(move || {
        // More segments than are ever kept by default: the follower must not lose to retention here.
        let mut writer = writer(&path, small(1_000, 4_000));
        for number in 0..20_000 {
            writer.append(Stream::Stdout, number, format!("line {number}").as_bytes(), false).expect("append");
            if number % 37 == 0 {
                writer.flush().expect("flush");
            }
        }
    });
    let read = collect(&mut follower, 20_000);
    thread.join().expect("writer");
    let expected: Vec<String> = (0..20_000).map(|number| format!("line {number}")).collect();
    assert!(read == expected);
}

#[test]
fn an_idle_follower_is_not_woken() {
    let folder = tempdir().expect("folder");
    let mut follower = Follower::new().expect("follower");
    follower.follow(folder.path(), Marks::default()).expect("follow");
    let batch = follower.take().expect("batch");
    assert!(batch.lines.is_empty() && !batch.more);
    assert!(is_quiet(&follower));
}

#[test]
fn a_folder_that_appears_later_is_followed() {
    let parent = tempdir().expect("folder");
    let deep = parent.path().join("logs/7/web.1");
    let mut follower = Follower::new().expect("follower");
    let number = follower.follow(&deep, Marks::default()).expect("follow");
    assert!(follower.take().expect("batch").lines.is_empty());
    fs::create_dir_all(&deep).expect("folder");
    let mut writer = writer(&deep, Limits::default());
    writer.append(Stream::Stdout, 1, b"first", false).expect("append");
    writer.flush().expect("flush");
    assert_eq!(collect(&mut follower, 1), ["first"]);
    assert_eq!(follower.folder(number), Some(deep.as_path()));
    writer.append(Stream::Stdout, 2, b"second", false).expect("append");
    writer.flush().expect("flush");
    assert_eq!(collect(&mut follower, 1), ["second"]);
}

#[test]
fn folders_made_in_a_followed_parent_are_followed_if_their_name_is_accepted() {
    let parent = tempdir().expect("folder");
    let app = parent.path().join("7");
    let mut follower = Follower::new().expect("follower");
    follower.follow_children(&app, |name| name.starts_with("web.")).expect("follow");
    for name in ["web.1", "worker.1", "web.2"] {
        fs::create_dir_all(app.join(name)).expect("folder");
        let mut writer = writer(&app.join(name), Limits::default());
        writer.append(Stream::Stdout, 1, name.as_bytes(), false).expect("append");
    }
    let mut read = collect(&mut follower, 2);
    read.sort();
    assert_eq!(read, ["web.1", "web.2"]);
    assert!(follower.take().expect("batch").lines.is_empty());
}

#[test]
fn a_folder_that_was_removed_and_made_again_is_followed_again() {
    let parent = tempdir().expect("folder");
    let folder = parent.path().join("web.1");
    let mut follower = Follower::new().expect("follower");
    follower.follow(&folder, Marks::default()).expect("follow");
    for text in ["first life", "second life"] {
        fs::create_dir(&folder).expect("folder");
        let mut writer = writer(&folder, Limits::default());
        writer.append(Stream::Stdout, 1, text.as_bytes(), false).expect("append");
        drop(writer);
        assert_eq!(collect(&mut follower, 1), [text]);
        fs::remove_dir_all(&folder).expect("removed");
        while !follower.take().expect("batch").lines.is_empty() {}
    }
}
