//! Commands that ask and show.

use std::io::{Read, Write};
use std::process::Stdio;

use api::wire::{FromClient, FromServer};
use api::{Failure, Kind};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Conversation, Host, Told, finish, pid, run, spawn, succeed};

fn hello_app() -> Value {
    json!({"name": "hello", "release": "v7", "processes": ["web 2/2 up"], "url": "http://hello.localhost/"})
}

fn created() -> Value {
    json!({"name": "hello", "url": "http://hello.localhost/", "port_url": "http://10.0.0.2:8101/", "ssh_remote": "paas@box:hello",
        "local_remote": "file:///hello", "database": "postgresql"})
}

fn reply(conversation: &Conversation, value: Value) {
    conversation.socket.send(&FromServer::Reply(value), &[]).expect("replied");
}

#[test]
fn data_goes_to_stdout_and_progress_to_stderr() {
    let host = Host::new();
    let server = host.answer("operator.sock", 2, |_, client| {
        client.socket.send(&FromServer::Line("looking\u{1b}[2J".to_owned()), &[]).expect("line");
        reply(&client, json!({"apps": [hello_app()]}));
        client.request.operation
    });
    let told = run(&mut host.paas(["apps"]));
    assert_eq!(
        told,
        Told { code: Some(0), stdout: "hello  v7  web 2/2 up  http://hello.localhost/\n".to_owned(), stderr: "looking\n".to_owned() }
    );
    let told = run(&mut host.paas(["apps", "--json"]));
    assert_eq!(serde_json::from_str::<Value>(&told.stdout).expect("JSON"), json!({"apps": [hello_app()]}));
    assert_eq!(server.join().expect("server"), ["apps", "apps"]);
}

#[test]
fn a_failure_says_what_why_and_fix_and_ends_with_its_kinds_code() {
    let host = Host::new();
    let server = host.answer("operator.sock", 2, |_, client| {
        let failure = Failure::no_such_app("hello").why("it was destroyed");
        client.socket.send(&FromServer::Failure(failure), &[]).expect("failed");
    });
    let told = run(&mut host.paas(["ps", "-a", "hello"]));
    assert_eq!((told.code, told.stdout.as_str()), (Some(i32::from(Kind::NotFound.exit_code())), ""));
    assert!(told.stderr.starts_with(" !     no such app: hello\n       it was destroyed\n       fix: "), "{}", told.stderr);
    let told = run(&mut host.paas(["ps", "-a", "hello", "--json"]));
    assert_eq!(serde_json::from_str::<Failure>(&told.stderr).expect("JSON").code, "app.not_found");
    server.join().expect("server");
}

#[test]
fn without_a_server_the_fix_is_how_to_start_it() {
    let told = run(&mut Host::new().paas(["status"]));
    assert_eq!(told.code, Some(i32::from(Kind::Unavailable.exit_code())));
    assert!(told.stderr.contains("paas server --root /"), "{}", told.stderr);
}

#[test]
fn a_server_that_goes_away_is_told_apart_from_an_answer() {
    let host = Host::new();
    let server = host.answer("operator.sock", 1, |_, client| drop(client));
    let told = run(&mut host.paas(["apps"]));
    assert_eq!(told.code, Some(i32::from(Kind::Unavailable.exit_code())));
    assert!(told.stderr.contains("went away"), "{}", told.stderr);
    server.join().expect("server");
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_tail_quietly() {
    let host = Host::new();
    let server = host.answer("operator.sock", 1, |_, client| {
        let line = json!({"at_unix_us": 0, "source": "app", "process": "web.1", "text": "x".repeat(1_000)});
        // Until the client is gone.
        while client.socket.send(&FromServer::Item(line.clone()), &[]).is_ok() {}
    });
    let mut child = spawn(&mut host.paas(["logs", "-t", "-a", "hello"]));
    let mut first = [0; 100];
    child.stdout.take().expect("stdout").read_exact(&mut first).expect("a line");
    assert!(first.starts_with(b"1970-01-01T00:00:00.000000+00:00 app[web.1]: x"));
    let told = finish(child);
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""));
    server.join().expect("server");
}

#[test]
fn a_value_from_standard_input_arrives_unchanged() {
    let host = Host::new();
    let server = host.answer("operator.sock", 1, |_, client| {
        reply(&client, json!({"release": "v10", "keys": ["KEY", "B"], "unchanged": false}));
        client.request.body
    });
    let mut child = spawn(host.paas(["config:set", "-a", "hello", "KEY=-", "B=$x  y"]).stdin(Stdio::piped()));
    child.stdin.take().expect("stdin").write_all("it's \"two\"\n $lines\n\n".as_bytes()).expect("written");
    let told = finish(child);
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), "Setting B, KEY and restarting hello... done, v10\n"));
    let bodies = server.join().expect("server");
    assert_eq!(bodies[0]["set"], json!({"KEY": "it's \"two\"\n $lines\n", "B": "$x  y"}));
}

#[test]
fn a_stray_word_of_config_set_asks_nobody() {
    let told = run(&mut Host::new().paas(["config:set", "-a", "hello", "GREETING=hello", "world"]));
    assert_eq!(told.code, Some(i32::from(Kind::Usage.exit_code())));
    assert!(told.stderr.contains("`world` is not NAME=value") && told.stderr.contains("config:import"), "{}", told.stderr);
}

#[test]
fn destroying_without_the_name_asks_nobody() {
    let host = Host::new();
    for words in [vec!["apps:destroy", "-a", "hello"], vec!["apps:destroy", "-a", "hello", "--confirm", "other"]] {
        let told = run(&mut host.paas(&words));
        assert_eq!(told.code, Some(i32::from(Kind::Refused.exit_code())), "{}", told.stderr);
        assert!(told.stderr.contains("--confirm hello"), "{}", told.stderr);
    }
}

#[test]
fn ctrl_c_cancels_and_still_waits_for_the_outcome() {
    let host = Host::new();
    let (asked, wait_asked) = std::sync::mpsc::channel();
    let server = host.answer("operator.sock", 1, move |_, client| {
        client.socket.send(&FromServer::Line("-----> Building".to_owned()), &[]).expect("line");
        asked.send(()).expect("told");
        let received = client.socket.receive::<FromClient>().expect("received").expect("there");
        client
            .socket
            .send(&FromServer::Failure(Failure::new(Kind::Failed, "build.cancelled", "the build was cancelled")), &[])
            .expect("failed");
        received.message
    });
    let mut child = spawn(&mut host.paas(["deploy", "-a", "hello"]));
    wait_asked.recv().expect("asked");
    // Its own line proves that it listens, so the signal finds it waiting.
    let mut stderr = child.stderr.take().expect("stderr");
    let mut seen = String::new();
    while !seen.contains("Building\n") {
        let mut byte = [0];
        stderr.read_exact(&mut byte).expect("the line");
        seen.push(char::from(byte[0]));
    }
    kill_process(pid(&child), Signal::INT).expect("signalled");
    assert_eq!(finish(child).code, Some(1));
    assert_eq!(server.join().expect("server"), [FromClient::Cancel]);
}

#[test]
fn a_created_app_is_the_checkouts_from_then_on() {
    let host = Host::new();
    succeed(&mut host.git(["init", "--quiet"]));
    let server = host.answer("operator.sock", 2, |number, client| {
        reply(&client, if number == 0 { created() } else { json!({"app": "hello", "release": null, "stopped": false, "types": []}) });
        client.request.body
    });
    let told = run(&mut host.paas(["apps:create", "hello"]));
    assert_eq!(told.stderr, "Creating hello... done\ngit remote paas added: git push paas main\n");
    assert!(told.stdout.contains("http://hello.localhost/") && told.stdout.contains("paas@box:hello"), "{}", told.stdout);
    assert_eq!(succeed(&mut host.git(["config", "remote.paas.url"])), "file:///hello\n");
    // Neither -a nor a root: the remote names both.
    let told = run(host.paas(["ps"]).env_remove("PAAS_ROOT"));
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "No processes on hello yet: git push paas main\n"), "{}", told.stderr);
    assert_eq!(server.join().expect("server")[1], json!({"app": "hello"}));
}

#[test]
fn outside_a_checkout_the_app_has_to_be_named() {
    let told = run(&mut Host::new().paas(["ps"]));
    assert_eq!(told.code, Some(i32::from(Kind::Usage.exit_code())));
    assert!(told.stderr.contains("-a APP"), "{}", told.stderr);
}

#[test]
fn an_unknown_command_names_the_nearest() {
    let told = run(&mut Host::new().paas(["ps:scal", "web=2"]));
    assert_eq!(told.code, Some(i32::from(Kind::Usage.exit_code())));
    assert!(told.stderr.contains("`paas ps:scale`"), "{}", told.stderr);
}
