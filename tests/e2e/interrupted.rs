//! A server killed at bad moments of a deploy: the old release serves, the ref tells
//! the truth, the next push works.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::support::gate::Gate;
use super::support::processes::kill_hard;
use super::support::{App, Host, RequestLoop, SOON, small, wait_until};

/// Kills the server while a push stands at the gate, starts another, checks the truth.
#[track_caller]
fn expect_nothing_changed(host: &Host, app: &App<'_>, gate: &Gate) {
    let (release, head, process) = (app.release(), app.remote_head(), app.process("web.1"));
    let visitors = RequestLoop::start(host, &app.name);
    std::thread::scope(|scope| {
        let push = scope.spawn(|| app.push());
        let waiting = gate.wait();
        kill_hard(host.server_pid());
        host.wait_for_end_of_server();
        host.start_server();
        waiting.expect_killed(SOON);
        let push = push.join().expect("push");
        assert_ne!(push.code, 0, "{}", push.text());
    });
    visitors.stop().expect_no_failure();
    assert_eq!((app.release(), app.remote_head(), app.process("web.1")), (release, head, process));
    let state = app.paas(&["builds", "--json"]).expect_ok().json()["builds"][0]["state"].clone();
    assert_ne!(state, "running");
    std::thread::scope(|scope| {
        let push = scope.spawn(|| app.push());
        gate.wait().let_go();
        push.join().expect("push").expect_accepted();
    });
    assert_eq!(app.remote_head(), Some(app.checkout.head()));
}

#[test]
fn a_server_killed_in_the_middle_of_a_build_changes_nothing() {
    let (host, gate) = (Host::start(), Gate::open());
    let app = small::serve(&host, "small");
    app.paas(&["config:set", &gate.config_var()]).expect_ok();
    small::wait_in_build(&app);
    app.checkout.commit("A build that waits");
    expect_nothing_changed(&host, &app, &gate);
}

#[test]
fn a_server_killed_in_the_release_phase_changes_nothing() {
    let (host, gate) = (Host::start(), Gate::open());
    let app = small::serve(&host, "small");
    app.paas(&["config:set", &gate.config_var()]).expect_ok();
    small::wait_in_release_phase(&app);
    app.checkout.commit("A release phase that waits");
    expect_nothing_changed(&host, &app, &gate);
}

#[test]
fn a_server_killed_between_slug_and_release_leaves_one_truth() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.checkout.replace("bin/web", "VERSION = \"one\"", "VERSION = \"two\"");
    app.checkout.commit("Two");
    let old = app.remote_head();
    let mut push = app.checkout.git_command(&["push", "paas", "main"]).stderr(Stdio::piped()).spawn().expect("git");
    let mut lines = BufReader::new(push.stderr.take().expect("stderr")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("Compressing slug")), "no slug was made");
    kill_hard(host.server_pid());
    // Read to the end, or git waits for the pipe.
    lines.for_each(drop);
    let accepted = push.wait().expect("git").success();
    host.wait_for_end_of_server();
    host.start_server();
    // The kill falls where it falls: either the push was accepted and two serves, or
    // it was not, one serves and the ref did not move.
    let head = app.remote_head();
    if accepted {
        assert_eq!(head, Some(app.checkout.head()));
    } else if head == old {
        assert_eq!((app.release().as_str(), host.facts("small")["version"].as_str()), ("v1", Some("one")));
    }
    let version = if head == old { "one" } else { "two" };
    wait_until("what serves is what the ref says", SOON, || (host.facts("small")["version"] == version).then_some(()));
    let push = app.push();
    assert_eq!(push.code, 0, "{}", push.text());
    assert_eq!(app.remote_head(), Some(app.checkout.head()));
    assert_eq!(host.facts("small")["version"], "two");
}

#[test]
fn a_launch_killed_during_a_build_fails_that_push_at_most() {
    let (host, gate) = (Host::start(), Gate::open());
    let app = small::serve(&host, "small");
    app.paas(&["config:set", &gate.config_var()]).expect_ok();
    small::wait_in_build(&app);
    app.checkout.commit("A build that waits");
    let visitors = RequestLoop::start(&host, "small");
    let first = std::thread::scope(|scope| {
        let push = scope.spawn(|| app.push());
        let waiting = gate.wait();
        kill_hard(host.launch_pid().expect("launch"));
        waiting.let_go();
        push.join().expect("push")
    });
    visitors.stop().expect_no_failure();
    if first.code != 0 {
        std::thread::scope(|scope| {
            let push = scope.spawn(|| app.push());
            gate.wait().let_go();
            push.join().expect("push").expect_accepted();
        });
    }
    assert_eq!(app.remote_head(), Some(app.checkout.head()));
}
