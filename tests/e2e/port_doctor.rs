//! The port doctor and the flight recorder, seen by an author.

use std::time::Duration;

use super::support::checkout::Checkout;
use super::support::{Host, small, wait_until};

/// Long enough for the boot timeout of a release that never answers.
const BOOT_DEADLINE: Duration = Duration::from_secs(100);

/// Listens on the port in its file instead of `$PORT`.
const ELSEWHERE: &str = r#"#!/usr/bin/python3
import http.server, os
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", int(open("port").read())), http.server.BaseHTTPRequestHandler).serve_forever()
"#;

/// A port that nobody listens on for the moment.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

#[test]
fn a_release_that_listens_elsewhere_is_refused_with_the_address_and_the_fix() {
    let host = Host::start();
    let port = free_port().to_string();
    let files = [("Procfile", "web: bin/web\n"), ("bin/web", ELSEWHERE), ("port", port.as_str())];
    let app = host.create("deaf", Checkout::of_files(&host, &files));
    let found = format!("web.1 listens on 127.0.0.1:{port}, not on $PORT=");
    std::thread::scope(|scope| {
        let push = scope.spawn(|| app.push());
        // Said at once, long before the boot timeout.
        app.wait_for_log(&found, Duration::from_secs(40));
        assert!(!push.is_finished(), "the boot timeout had passed already");
        let push = push.join().expect("push");
        assert_ne!(push.code, 0);
        push.expect_text(&found).expect_text("R10").expect_text("--port $PORT");
    });
    app.paas(&["events"]).expect_ok().expect_text("instance.port").expect_text(&found);
    let why = app.paas(&["ps:why", "web.1"]).expect_ok();
    let why = why.expect_text(&format!("it listens on 127.0.0.1:{port}")).expect_text("R10").expect_text("| listening");
    why.expect_text("Before it was stopped it was 1 process");
}

#[test]
fn a_release_that_dies_of_a_taken_address_is_told_who_holds_it() {
    let host = Host::start();
    let port = free_port();
    let both = small::WEB
        .replace("print(\"serving", &format!("other = http.server.HTTPServer((\"127.0.0.1\", {port}), Handler)\nprint(\"serving"));
    let app = host.create("both", Checkout::of_files(&host, &[("Procfile", "web: bin/web\n"), ("bin/web", &both)]));
    app.push().expect_accepted();
    let push = app.push_change("bin/web", "VERSION = \"one\"", "VERSION = \"two\"");
    assert_ne!(push.code, 0);
    // Python's own words name no port.
    push.expect_text("Address already in use").expect_text("ended because an address that it listens on is taken");
    let named = both.replace(
        "other = ",
        &format!("print(\"Port {port} is in use by another program, if this is the last line\", flush=True)\nother = "),
    );
    app.checkout.write("bin/web", &named);
    app.checkout.commit("Name the port");
    app.push().expect_text(&format!("{port} is held by both web.1 (v1)"));
    assert_eq!(host.facts("both")["release"], "v1");
}

#[test]
fn the_end_of_a_run_is_told_by_the_next_server_too() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let process = app.process("web.1");
    super::support::processes::kill_hard(process);
    wait_until("web.1 was restarted", BOOT_DEADLINE, || app.instance("web.1").filter(|row| row["restarts"] == 1 && row["state"] == "up"));
    super::support::processes::kill_hard(host.server_pid());
    host.wait_for_end_of_server();
    host.start_server();
    let why = app.paas(&["ps:why", "--json"]).expect_ok().json();
    let end = &why["instances"][0]["ends"][0];
    assert_eq!(end["status"], "killed by SIGKILL");
    assert!(end["last_lines"].as_array().is_some_and(|lines| lines.iter().any(|line| line == "serving version one")), "{why}");
    assert!(end["probes"].as_array().is_some_and(|probes| !probes.is_empty()), "{why}");
    app.paas(&["ps:why"]).expect_ok().expect_text("killed by SIGKILL").expect_text("| serving version one");
}
