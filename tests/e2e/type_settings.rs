//! `ps:overlap` and `ps:limits`: what people set for a process type.

use super::support::checkout::Checkout;
use super::support::{App, Host, RequestLoop, SOON, wait_until};

/// Says whether another one of its type was alive when it started: whoever lives holds a lock
/// in the folder that all of them share.
const WEB: &str = r#"#!/usr/bin/python3
import fcntl, http.server, json, os

VERSION = "one"
lock = open("/data/web", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    alone = True
except BlockingIOError:
    alone = False


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        facts = {"version": VERSION, "release": os.environ["RELEASE_VERSION"], "instance": os.environ["DYNO"], "alone": alone}
        body = json.dumps(facts).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


Server(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// The same for a worker, which ends only when it is killed.
const WORKER: &str = "#!/bin/bash
trap '' TERM
exec 9>/data/worker
if flock -n 9; then echo \"$RELEASE_VERSION works alone\"; else echo \"$RELEASE_VERSION works beside another\"; fi
while true; do sleep 1000 9>&-; done
";

fn create(host: &Host) -> App<'_> {
    let files = [("Procfile", "web: bin/web\nworker: bin/worker\n"), ("bin/web", WEB), ("bin/worker", WORKER)];
    let app = host.create("small", Checkout::of_files(host, &files));
    app.push().expect_accepted();
    app
}

#[test]
fn a_type_runs_twice_during_a_switch_only_if_people_let_it() {
    let host = Host::start();
    let app = create(&host);
    app.paas(&["ps:limits", "worker", "--stop-timeout", "1"]).expect_ok();
    app.paas(&["ps:scale", "worker=1"]).expect_ok();
    app.wait_for_log("v1 works alone", SOON);
    app.push_change("bin/web", "VERSION = \"one\"", "VERSION = \"two\"").expect_accepted();
    assert_eq!(host.facts("small")["alone"], false, "web runs twice unless people say otherwise");
    app.wait_for_log("v2 works alone", SOON);
    app.paas(&["ps:overlap", "web", "off"]).expect_ok().expect_text("web: overlap off");
    app.paas(&["ps:overlap", "worker", "on"]).expect_ok().expect_text("worker: overlap on");
    let visitors = RequestLoop::start(&host, "small");
    let pushed = app.push_change("bin/web", "VERSION = \"two\"", "VERSION = \"three\"").expect_accepted();
    pushed.expect_text("web does not run twice: paas ps:overlap web on");
    let report = visitors.stop();
    report.expect_no_failure();
    assert_eq!(report.releases.keys().collect::<Vec<_>>(), ["v2", "v3"], "visitors are held, not turned away");
    assert_eq!(host.facts("small")["alone"], true);
    // Of the worker alone: the visitors have left more lines than are shown.
    let says = || app.paas(&["logs", "--process", "worker", "--source", "app"]).expect_ok().stdout;
    wait_until("the new worker works beside the old one", SOON, || says().contains("v3 works beside another").then_some(()));
}

#[test]
fn a_process_is_killed_when_its_own_stop_timeout_is_over() {
    let host = Host::start();
    let app = create(&host);
    app.paas(&["ps:scale", "worker=1"]).expect_ok();
    app.paas(&["ps:limits", "worker", "--stop-timeout", "2"]).expect_ok().expect_text("worker: overlap off, stop timeout 2 s");
    app.wait_for_log("v1 works alone", SOON);
    app.up("worker.1");
    app.paas(&["ps:restart", "worker"]).expect_ok();
    app.wait_for_log("R12: did not stop within 2 s of SIGTERM and was killed", SOON);
    wait_until("it works again", SOON, || (app.logs().matches("v1 works alone").count() == 2).then_some(()));
    app.paas(&["ps:limits", "worker", "--stop-timeout", "default"]).expect_ok().expect_text("stop timeout 30 s");
    app.paas(&["ps:limits", "worker", "--boot-timeout", "5"]).expect_code(2).expect_text("worker has no boot timeout");
}

#[test]
fn a_release_that_does_not_answer_within_its_own_boot_timeout_is_refused() {
    let host = Host::start();
    let app = create(&host);
    app.paas(&["ps:limits", "web", "--boot-timeout", "2"]).expect_ok();
    let shown = app.paas(&["ps:limits", "--json"]).expect_ok().json();
    assert_eq!((&shown["types"][0]["process_type"], &shown["types"][0]["boot_timeout_s"]), (&"web".into(), &2.into()), "{shown}");
    app.checkout.write("Procfile", "web: sleep 1000\nworker: bin/worker\n");
    app.checkout.commit("Never answer");
    app.push().expect_refused().expect_text("R10").expect_text("within 2 s");
    assert_eq!((app.release().as_str(), &host.facts("small")["version"]), ("v1", &"one".into()));
}
