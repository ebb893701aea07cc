//! The author's checks in `app.json`: what they lead to, as users and visitors see it.

use std::path::Path;
use std::time::Duration;

use super::support::checkout::Checkout;
use super::support::{App, Host, SOON, small, wait_until};

/// Answers its facts; `/live` and `/ready` fail once `/break/…` was asked, `/ready` passes
/// again on its own after three failures.
const WEB: &str = r#"#!/usr/bin/python3
import http.server, json, os

VERSION = "one"
broken, refusals = set(), [0]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        word = self.path.rsplit("/", 1)[1]
        if self.path.startswith("/break/"):
            broken.add(word)
        status = 503 if self.path == "/" + word and word in broken else 200
        if word == "ready" and status == 503:
            refusals[0] += 1
            if refusals[0] >= 8:
                broken.discard("ready")
        body = json.dumps({"version": VERSION, "instance": os.environ["DYNO"]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


Server(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"#;

const CHECKS: &str = r#"{"healthchecks": {"web": [
    {"type": "startup", "path": "/up", "attempts": 10, "wait": 1, "timeout": 5},
    {"type": "readiness", "path": "/ready", "attempts": 2, "wait": 1, "timeout": 5},
    {"type": "liveness", "path": "/live", "attempts": 3, "wait": 1, "timeout": 5}
]}, "formation": {"web": {"quantity": 2}}}"#;

fn checked<'h>(host: &'h Host, name: &str) -> App<'h> {
    let app = host.create(name, Checkout::of_files(host, &[("Procfile", "web: bin/web\n"), ("bin/web", WEB), ("app.json", CHECKS)]));
    app.push().expect_accepted();
    app.paas(&["ps:scale", "web=2"]).expect_ok();
    app.up("web.1");
    app.up("web.2");
    app
}

/// Asks whoever answers to break, and returns who that was.
fn broken(host: &Host, name: &str, what: &str) -> String {
    let answer = host.get(name, &format!("/break/{what}"));
    let facts: serde_json::Value = serde_json::from_str(&answer.body).expect("facts");
    facts["instance"].as_str().expect("its name").to_owned()
}

#[test]
fn a_liveness_check_of_app_json_restarts_exactly_the_instance_that_fails() {
    let host = Host::start();
    let app = checked(&host, "alive");
    let before = [app.process("web.1"), app.process("web.2")];
    let ill = broken(&host, "alive", "live");
    wait_until("it was restarted", SOON, || app.instance(&ill).filter(|row| row["restarts"].as_u64() == Some(1)));
    app.up(&ill);
    let words = "liveness check GET /live failed 3 times (503)";
    app.wait_for_log(&format!("paas[{ill}]: Restarting: {words}"), SOON);
    app.paas(&["ps:why", &ill]).expect_ok().expect_text(words);
    app.paas(&["events"]).expect_ok().expect_text(&format!("{ill} restarted: {words}"));
    let well = usize::from(ill == "web.1");
    let names = ["web.1", "web.2"];
    assert_eq!(app.process(names[well]), before[well], "the other one goes on");
    assert_ne!(app.process(names[1 - well]), before[1 - well]);
}

#[test]
fn a_readiness_check_unroutes_and_routes_again_without_a_restart() {
    let host = Host::start();
    let app = checked(&host, "ready");
    let before = [app.process("web.1"), app.process("web.2")];
    let ill = broken(&host, "ready", "ready");
    app.wait_for_log(&format!("paas[{ill}]: Out of the routes: readiness check GET /ready failed 2 times (503)"), SOON);
    app.wait_for_log(&format!("paas[{ill}]: Passes its readiness checks, in the routes"), SOON);
    app.up(&ill);
    assert_eq!([app.process("web.1"), app.process("web.2")], before);
    app.paas(&["checks"]).expect_ok().expect_text("readiness  GET /ready: passing since").expect_text("expects 200 to 399, every 1 s");
}

#[test]
fn a_failing_startup_check_refuses_the_push_and_the_old_release_serves() {
    let host = Host::start();
    let app = checked(&host, "boot");
    app.checkout.write("app.json", &CHECKS.replace("\"path\": \"/up\"", "\"path\": \"/up\", \"content\": \"never said\""));
    app.checkout.commit("A startup check that fails");
    let refused = app.push().expect_refused();
    refused.expect_text("startup check GET /up failed 10 times (200 without `never said`) (R10)").expect_text("v1 keeps serving");
    assert_eq!(host.facts("boot")["version"], "one");
    assert_eq!(app.release(), "v1");
}

#[test]
fn checks_run_shows_request_answer_and_time_and_does_not_count() {
    let host = Host::start();
    let app = checked(&host, "tried");
    app.paas(&["checks:run"])
        .expect_ok()
        .expect_text("web.2 liveness GET /live: passed in")
        .expect_text("/live, Host: tried.localhost -> 200");
    let reply = app.paas(&["checks:run", "--json"]).expect_ok().json();
    let tries = reply["tries"].as_array().expect("tries");
    assert_eq!(tries.len(), 6, "{reply}");
    assert!(tries.iter().all(|tried| tried["passed"] == true && tried["took_ms"].is_u64()), "{reply}");
}

#[test]
fn without_checks_the_default_clock_is_shown() {
    let host = Host::start();
    let app = small::serve(&host, "plain");
    app.paas(&["checks"]).expect_ok().expect_text("default    GET /: passing since").expect_text("restarted after 60 s");
    app.paas(&["checks:run"]).expect_ok().expect_text("web.1 default GET /: passed in");
}

/// The code blocks of the page for authors in one language.
fn blocks(language: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/supervision.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().expect("its end").to_owned()).collect()
}

#[test]
fn what_the_page_for_authors_shows_can_be_pushed_and_its_commands_work() {
    let host = Host::start();
    let files = [("Procfile", "web: bin/web\nworker: exec sleep 1000000\n"), ("bin/web", WEB)];
    let app = host.create("page", Checkout::of_files(&host, &files));
    for example in blocks("json") {
        app.checkout.write("app.json", &example);
        app.checkout.commit("An example of the page");
        app.push().expect_accepted();
    }
    app.up_within("web.1", Duration::from_mins(2));
    for line in blocks("sh").iter().flat_map(|block| block.lines()) {
        let command = line.split('#').next().expect("a line").trim().strip_prefix("paas ").expect("a command of paas");
        app.paas(&command.split(' ').collect::<Vec<_>>()).expect_ok();
    }
}

#[test]
fn a_worker_says_when_it_is_up_and_is_restarted_when_its_command_fails() {
    let host = Host::start();
    let worker = r#"#!/usr/bin/python3
import os, signal, socket

with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.sendto(b"READY=1\nSTATUS=reads its queue", os.environ["NOTIFY_SOCKET"])
print("started", flush=True)
signal.pause()
"#;
    let alive = "#!/bin/sh\n[ ! -e /app/broken ] || { echo the queue is gone; exit 3; }\n";
    let checks = r#"{"healthchecks": {"worker": [{"type": "liveness", "command": ["bin/alive"], "attempts": 2, "wait": 1}]}}"#;
    let files = [("Procfile", "worker: bin/worker\n"), ("bin/worker", worker), ("bin/alive", alive), ("app.json", checks)];
    let app = host.create("jobs", Checkout::of_files(&host, &files));
    app.push().expect_accepted();
    let shown = wait_until("the worker says what it does and its check passes", SOON, || {
        let shown = app.paas(&["checks"]).expect_ok().stdout;
        (shown.contains("reads its queue") && shown.contains("bin/alive") && shown.contains("passing")).then_some(shown)
    });
    assert!(shown.contains("worker.1"), "{shown}");
    // Nobody waited ten seconds to see whether it stays up.
    let up = app.wait_for_log("State changed from starting to up after ", SOON);
    let seconds = up.split_once("up after ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<f64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds < 10.0), "{up}");
    let before = app.process("worker.1");
    app.paas(&["ps:exec", "worker.1", "touch", "/app/broken"]).expect_ok();
    // The writable layer is forgotten, and with it what was broken.
    wait_until("another process is up", SOON, || {
        app.instance("worker.1").is_some_and(|row| row["state"] == "up" && row["restarts"] == 1).then_some(())
    });
    assert_ne!(app.process("worker.1"), before);
    app.paas(&["ps:why", "worker.1"]).expect_ok().expect_text("liveness check `bin/alive` failed 2 times").expect_text("the queue is gone");
}
