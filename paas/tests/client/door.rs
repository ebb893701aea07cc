//! The door as sshd opens it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use api::Kind;
use api::wire::{FromClient, FromServer};

use crate::support::{Host, finish, run, spawn};

const KEY: &str = "SHA256:abc";

fn over_ssh(host: &Host, command: &str) -> Command {
    let mut door = host.paas(["internal", "door", "--key", KEY]);
    door.env("SSH_ORIGINAL_COMMAND", command).env("GIT_PROTOCOL", "version=2");
    door
}

#[test]
fn git_over_ssh_is_handed_on_with_its_key_and_its_own_pipes() {
    let host = Host::new();
    let server = host.answer("door.sock", 1, |_, client| {
        let mut descriptors = client.descriptors.into_iter();
        let mut text = String::new();
        File::from(descriptors.next().expect("stdin")).read_to_string(&mut text).expect("read");
        File::from(descriptors.next().expect("stdout")).write_all(text.as_bytes()).expect("written");
        client.socket.send(&FromServer::Line("one moment\u{1b}[2J".to_owned()), &[]).expect("line");
        client.socket.send(&FromServer::Exit(128), &[]).expect("ended");
        client.request
    });
    let mut child = spawn(over_ssh(&host, "git-receive-pack '/hello.git'").stdin(Stdio::piped()));
    child.stdin.take().expect("stdin").write_all(b"pack").expect("written");
    let told = finish(child);
    assert_eq!((told.code, told.stdout.as_str(), told.stderr.as_str()), (Some(128), "pack", "one moment\n"));
    let request = &server.join().expect("server")[0];
    assert_eq!((request.operation.as_str(), request.key.as_deref()), ("git", Some(KEY)));
    assert_eq!(request.body, serde_json::json!({"repository": "hello", "verb": "receive-pack", "protocol": "version=2"}));
}

#[test]
fn what_is_not_git_is_refused_before_the_server_is_asked() {
    let host = Host::new();
    for command in [
        "",
        "ls",
        "git-upload-archive 'hello'",
        "git-receive-pack '../x'",
        "git-receive-pack 'a' ; id",
        "git-lfs-authenticate hello upload",
    ] {
        let told = run(&mut over_ssh(&host, command));
        assert!(matches!(told.code, Some(2 | 4)), "{command:?}: {told:?}");
        assert!(told.stderr.contains("fix: "), "{command:?}: {told:?}");
    }
}

#[test]
fn a_client_that_is_gone_cancels_and_the_exit_code_is_still_waited_for() {
    let host = Host::new();
    let server = host.answer("door.sock", 1, |_, client| {
        let cancelled = client.socket.receive::<FromClient>().expect("received").expect("there").message;
        client.socket.send(&FromServer::Exit(3), &[]).expect("ended");
        cancelled
    });
    let mut child = spawn(&mut over_ssh(&host, "git-receive-pack 'hello'"));
    drop(child.stdout.take());
    assert_eq!(finish(child).code, Some(3));
    assert_eq!(server.join().expect("server"), [FromClient::Cancel]);
}

#[test]
fn without_a_server_git_is_told_what_to_do() {
    let told = run(&mut over_ssh(&Host::new(), "git-upload-pack 'hello'"));
    assert_eq!(told.code, Some(i32::from(Kind::Unavailable.exit_code())));
    assert!(told.stderr.contains(" !     no paas server runs"), "{}", told.stderr);
}
