use std::sync::mpsc;
use std::thread;

use super::super::protocol::RefUpdate;
use super::*;

fn pair() -> (FrameSocket, FrameSocket) {
    let (hook, server) = UnixStream::pair().expect("pair");
    (FrameSocket::new(hook).expect("hook"), FrameSocket::new(server).expect("server"))
}

fn hello() -> Hello {
    Hello {
        version: protocol::VERSION,
        refs: vec![RefUpdate {
            name: "refs/heads/main".to_owned(),
            old: "0".repeat(40),
            new: "1".repeat(40),
            facts: protocol::Facts::default(),
        }],
        options: vec!["dry-run".to_owned()],
        shallow: false,
        head: Some("refs/heads/main".to_owned()),
    }
}

fn no_source(_commit: &str, _folder: Option<&str>, _pipe: OwnedFd) -> Result<SourceDone, Failure> {
    Err(Failure::new(Kind::Refused, "source.lfs", "no source"))
}

/// Answers the hook from another thread and returns what the hook came to and printed.
fn converse_with(answer: impl FnOnce(FrameSocket) + Send + 'static) -> (Outcome, String) {
    let (hook, server) = pair();
    let server = thread::spawn(move || answer(server));
    let mut printed = Vec::new();
    let outcome = converse(&hook, hello(), &mut printed, no_source).expect("outcome");
    server.join().expect("server");
    (outcome, String::from_utf8(printed).expect("text"))
}

fn take_hello(server: &FrameSocket) -> Hello {
    match server.receive().expect("received").expect("there").message {
        FromHook::Hello(hello) => hello,
        other => panic!("{other:?} came first"),
    }
}

#[test]
fn a_verdict_ends_the_push_and_lines_come_whole_and_plain() {
    let (outcome, printed) = converse_with(|server| {
        assert_eq!(take_hello(&server), hello());
        for line in ["-----> Python app detected", "two\nlines", "\u{1b}[2Jforged\r"] {
            server.send(&ToHook::Line(line.to_owned()), &[]).expect("sent");
        }
        server.send(&ToHook::Line("é".repeat(limits::PUSH_LINE_BYTES_MAX)), &[]).expect("sent");
        server.send(&ToHook::Verdict { accept: true }, &[]).expect("sent");
    });
    assert_eq!(outcome, Outcome::Verdict(true));
    assert!(printed.starts_with("-----> Python app detected\ntwo\nlines\nforged\n"), "{printed}");
    assert!(printed.lines().all(|line| line.len() <= limits::PUSH_LINE_BYTES_MAX));
}

#[test]
fn a_server_that_ends_or_stops_in_the_middle_of_a_frame_is_gone() {
    let (outcome, _) = converse_with(|server| drop(take_hello(&server)));
    assert_eq!(outcome, Outcome::ServerGone);
    let (hook, server) = UnixStream::pair().expect("pair");
    let hook = FrameSocket::new(hook).expect("hook");
    let server = thread::spawn(move || (&server).write_all(&[200, 0, 0, 0, b'{']).expect("written"));
    let outcome = converse(&hook, hello(), &mut Vec::new(), no_source).expect("outcome");
    server.join().expect("server");
    assert_eq!(outcome, Outcome::ServerGone);
}

#[test]
fn an_author_who_is_gone_ends_the_push() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (hook, server) = pair();
    let (ended, wait) = mpsc::channel();
    let server = thread::spawn(move || {
        take_hello(&server);
        server.send(&ToHook::Line("nobody reads this".to_owned()), &[]).expect("sent");
        ended.send(server.receive::<FromHook>().expect("end of file").is_none()).expect("told");
    });
    assert_eq!(converse(&hook, hello(), &mut Closed, no_source).expect("outcome"), Outcome::AuthorGone);
    drop(hook);
    server.join().expect("server");
    assert!(wait.recv().expect("told"));
}

#[test]
fn a_source_that_cannot_be_sent_is_told_to_the_server_and_the_push_goes_on() {
    let (outcome, _) = converse_with(|server| {
        take_hello(&server);
        let (_reader, writer) = io::pipe().expect("pipe");
        let ask = ToHook::SendSource { commit: "1".repeat(40), folder: None };
        server.send(&ask, &[std::os::fd::AsFd::as_fd(&writer)]).expect("sent");
        drop(writer);
        for code in ["source.lfs", "hook.no_pipe"] {
            match server.receive().expect("received").expect("there").message {
                FromHook::SourceFailed(failure) => assert_eq!(failure.code, code),
                other => panic!("{other:?}"),
            }
            if code == "source.lfs" {
                server.send(&ask, &[]).expect("sent");
            }
        }
        server.send(&ToHook::Verdict { accept: false }, &[]).expect("sent");
    });
    assert_eq!(outcome, Outcome::Verdict(false));
}

#[test]
fn what_git_says_is_read_bounded() {
    let line = format!("{} {} refs/heads/main\n", "0".repeat(40), "a".repeat(40));
    let lines = read_ref_lines(line.as_bytes()).expect("read");
    assert_eq!(lines.first().map(|line| line.name.as_str()), Some("refs/heads/main"));
    assert!(lines[0].old.is_zero() && !lines[0].new.is_zero());
    assert!(read_ref_lines(line.repeat(limits::PUSH_REFS_MAX + 1).as_bytes()).is_err());
    let long = line.trim_end().to_owned() + &"x".repeat(limits::PUSH_REF_LINE_BYTES_MAX);
    for bad in [long.as_str(), "a b c\n", "0000\n", line.trim_end()] {
        assert!(read_ref_lines(bad.as_bytes()).is_err(), "{bad:?} was taken");
    }
    assert!(read_ref_lines(&b"\xff\xfe \xff \xff\n"[..]).is_err());
}

#[test]
fn options_of_a_push_are_read_bounded() {
    let variables = |pairs: &'static [(&'static str, &'static str)]| {
        move |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    let read =
        push_options(variables(&[("GIT_PUSH_OPTION_COUNT", "2"), ("GIT_PUSH_OPTION_0", "dry-run"), ("GIT_PUSH_OPTION_1", "detach")]));
    assert_eq!(read.expect("read"), ["dry-run", "detach"]);
    assert!(push_options(variables(&[])).expect("none").is_empty());
    assert!(push_options(variables(&[("GIT_PUSH_OPTION_COUNT", "1000000")])).is_err());
    assert!(push_options(variables(&[("GIT_PUSH_OPTION_COUNT", "1")])).is_err());
}
