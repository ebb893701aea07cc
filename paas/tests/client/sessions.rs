//! `run` and `pg:psql`, with pipes and with a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

use api::wire::{FromClient, FromServer};
use rustix::process::{Signal, kill_process};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize};

use crate::support::{Host, finish, pid, spawn, wait};

#[test]
fn a_session_gets_our_pipes_and_its_exit_code_is_ours() {
    let host = Host::new();
    let server = host.answer("operator.sock", 1, |_, client| {
        let [stdin, stdout, stderr] = <[OwnedFd; 3]>::try_from(client.descriptors).expect("three descriptors");
        let mut text = String::new();
        File::from(stdin).read_to_string(&mut text).expect("read");
        File::from(stdout).write_all(text.to_uppercase().as_bytes()).expect("written");
        File::from(stderr).write_all(b"and an error\n").expect("written");
        client.socket.send(&FromServer::Exit(7), &[]).expect("ended");
        client.request.body
    });
    let mut child = spawn(host.paas(["run", "-a", "hello", "tr", "a-z", "A-Z", "--json"]).stdin(Stdio::piped()));
    child.stdin.take().expect("stdin").write_all(b"through\n").expect("written");
    let told = finish(child);
    assert_eq!((told.code, told.stdout.as_str(), told.stderr.as_str()), (Some(7), "THROUGH\n", "and an error\n"));
    let body = &server.join().expect("server")[0];
    assert_eq!(body["command"], serde_json::json!(["tr", "a-z", "A-Z", "--json"]));
    assert_eq!(body["terminal"], false);
}

#[test]
fn signals_are_passed_on_to_the_session() {
    let host = Host::new();
    let server = host.answer("operator.sock", 1, |_, client| {
        client.socket.send(&FromServer::Line("started".to_owned()), &[]).expect("line");
        let signals: Vec<_> = (0..2).map(|_| client.socket.receive::<FromClient>().expect("received").expect("there").message).collect();
        client.socket.send(&FromServer::Exit(143), &[]).expect("ended");
        signals
    });
    let mut child = spawn(&mut host.paas(["run", "-a", "hello", "sleep", "100"]));
    let mut started = [0; 8];
    child.stderr.as_mut().expect("stderr").read_exact(&mut started).expect("the line");
    kill_process(pid(&child), Signal::INT).expect("signalled");
    kill_process(pid(&child), Signal::TERM).expect("signalled");
    assert_eq!(finish(child).code, Some(143));
    assert_eq!(server.join().expect("server"), [vec![FromClient::Signal(2), FromClient::Signal(15)]]);
}

#[test]
fn a_file_of_sql_becomes_psqls_input() {
    let host = Host::new();
    std::fs::write(host.work().join("dump.sql"), "select 1;").expect("file");
    let server = host.answer("operator.sock", 1, |_, mut client| {
        let mut text = String::new();
        File::from(client.descriptors.remove(0)).read_to_string(&mut text).expect("read");
        client.socket.send(&FromServer::Exit(0), &[]).expect("ended");
        text
    });
    let told = finish(spawn(&mut host.paas(["pg:psql", "-a", "hello", "-f", "dump.sql"])));
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert_eq!(server.join().expect("server"), ["select 1;"]);
}

/// A terminal of so many rows; our end first.
fn terminal(rows: u16) -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags).expect("pty");
    rustix::pty::unlockpt(&master).expect("unlocked");
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).expect("slave");
    rustix::termios::tcsetwinsize(&master, Winsize { ws_row: rows, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).expect("size");
    (File::from(master), slave)
}

fn read_until(reader: &mut File, end: &str) -> String {
    let mut seen = String::new();
    let mut byte = [0];
    while !seen.ends_with(end) {
        reader.read_exact(&mut byte).expect("more before the end");
        seen.push(char::from(byte[0]));
    }
    seen
}

#[test]
fn a_terminal_session_is_pumped_follows_its_size_and_gives_the_terminal_back() {
    let host = Host::new();
    let server = host.answer("operator.sock", 1, |_, client| {
        let mut command = File::from(client.descriptors.into_iter().next().expect("a descriptor"));
        let rows = || rustix::termios::tcgetwinsize(&command).expect("a terminal").ws_row;
        assert_eq!(rows(), 33);
        command.write_all(b"size?").expect("written");
        // The client's terminal grows; the line that is typed then comes after it.
        let mut typed = [0; 5];
        command.read_exact(&mut typed).expect("typed");
        assert_eq!(&typed, b"yes!\n");
        assert_eq!(rustix::termios::tcgetwinsize(&command).expect("a terminal").ws_row, 44);
        command.write_all(b"bye").expect("written");
        drop(command);
        client.socket.send(&FromServer::Exit(9), &[]).expect("ended");
        client.request.body
    });
    let (mut ours, slave) = terminal(33);
    let copy = |descriptor: &OwnedFd| Stdio::from(descriptor.try_clone().expect("copied"));
    let mut command = host.paas(["run", "-a", "hello", "bash"]);
    command.stdin(copy(&slave)).stdout(copy(&slave)).stderr(copy(&slave)).env("TERM", "xterm-256color");
    let mut child = spawn(&mut command);
    read_until(&mut ours, "size?");
    assert!(!rustix::termios::tcgetattr(slave.as_fd()).expect("settings").local_modes.contains(LocalModes::ICANON), "not raw");
    rustix::termios::tcsetwinsize(&ours, Winsize { ws_row: 44, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).expect("size");
    // The terminal is not the child's controlling one here, so the signal comes by hand.
    kill_process(pid(&child), Signal::WINCH).expect("signalled");
    ours.write_all(b"yes!\r").expect("typed");
    read_until(&mut ours, "bye");
    assert_eq!(wait(&mut child), Some(9));
    assert!(rustix::termios::tcgetattr(slave.as_fd()).expect("settings").local_modes.contains(LocalModes::ICANON), "left raw");
    let body = &server.join().expect("server")[0];
    assert_eq!((&body["terminal"], &body["term"]), (&true.into(), &"xterm-256color".into()));
}
