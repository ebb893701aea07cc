//! Switching releases: visitors notice nothing, a failure changes nothing.

use super::support::checkout::Checkout;
use super::support::gateway::Gateway;
use super::support::{App, Host, HostOptions, RequestLoop, SOON, small, wait_until};

#[test]
fn ten_deploys_of_the_flask_example_fail_no_request() {
    let host = Host::start();
    let hello = host.create("hello", host.checkout("python-postgres"));
    hello.push().expect_accepted();
    let visitors = RequestLoop::start(&host, "hello");
    for number in 1..=10 {
        let (old, new) = (if number == 1 { "one".to_owned() } else { format!("change {}", number - 1) }, format!("change {number}"));
        hello.push_change("app.py", &format!("VERSION = \"{old}\""), &format!("VERSION = \"{new}\"")).expect_accepted();
        assert_eq!(host.facts("hello")["version"], new);
    }
    let report = visitors.stop();
    report.expect_no_failure();
    assert_eq!(report.releases.len(), 11, "{:?}", report.releases);
    assert_eq!(hello.release(), "v11");
}

#[test]
fn only_web_overlaps_so_a_bot_never_runs_twice_across_deploys() {
    let (host, gateway) = (Host::start(), Gateway::open());
    let bot = host.create("bot", host.checkout("discord-style-bot"));
    bot.paas(&["config:set", &format!("GATEWAY={}", gateway.address)]).expect_ok();
    bot.push().expect_accepted();
    for deploy in 2..=4 {
        bot.checkout.commit(&format!("Deploy {deploy}"));
        bot.push().expect_accepted();
        wait_until("the new bot is there", SOON, || (gateway.logins().len() == deploy).then_some(()));
    }
    gateway.expect_never_twice();
}

/// A push that must be refused, with the old release serving through all of it.
#[track_caller]
fn expect_refused_and_unnoticed(host: &Host, app: &App<'_>, reasons: &[&str]) {
    let (release, head, process) = (app.release(), app.remote_head(), app.process("web.1"));
    let visitors = RequestLoop::start(host, &app.name);
    app.checkout.commit("Something that does not work");
    let refused = app.push().expect_refused();
    for reason in reasons {
        refused.clone().expect_text(reason);
    }
    let report = visitors.stop();
    report.expect_no_failure();
    assert_eq!(report.releases.keys().collect::<Vec<_>>(), [&release]);
    assert_eq!((app.release(), app.remote_head()), (release, head));
    assert_eq!(app.process("web.1"), process);
    assert_ne!(app.paas(&["builds", "--json"]).expect_ok().json()["builds"][0]["state"], "succeeded");
}

#[test]
fn a_release_whose_web_process_crashes_is_refused() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.checkout.replace("bin/web", "VERSION = \"one\"", "raise SystemExit(\"the door is stuck\")");
    expect_refused_and_unnoticed(&host, &app, &["web.1", "exited 1", "the door is stuck"]);
}

#[test]
fn a_release_whose_release_phase_fails_is_refused() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.checkout.write("bin/release", "#!/bin/sh\necho the migration does not fit\nexit 3\n");
    app.checkout.write("Procfile", "web: bin/web\nrelease: bin/release\n");
    expect_refused_and_unnoticed(&host, &app, &["the migration does not fit", "exited 3"]);
}

#[test]
fn a_release_that_listens_on_no_port_is_refused_after_its_boot_timeout() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.checkout.write("Procfile", "web: sleep 1000\n");
    expect_refused_and_unnoticed(&host, &app, &["web.1", "$PORT", "R10"]);
}

#[test]
fn a_release_that_answers_5xx_where_the_old_one_did_not_is_refused() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.checkout.replace("bin/web", "send_response(200)", "send_response(500)");
    expect_refused_and_unnoticed(&host, &app, &["500"]);
    let accepted = app.checkout.git(&["push", "-o", "accept-5xx", "paas", "main"]);
    accepted.expect_accepted();
    assert_eq!(host.get("small", "/").status, 500);
}

#[test]
fn a_worker_that_dies_at_once_brings_the_old_worker_back() {
    let host = Host::start();
    let worker = "#!/bin/sh\necho working on one\nexec sleep 1000\n";
    let mut files = small::FILES.to_vec();
    files.extend([("bin/worker", worker), ("Procfile", "web: bin/web\nworker: bin/worker\n")]);
    let app = host.create("mixed", Checkout::of_files(&host, &files));
    app.push().expect_accepted().expect_text("worker is scaled to 0");
    app.paas(&["ps:scale", "worker=1"]).expect_ok();
    app.up("worker.1");
    app.checkout.write("bin/worker", "#!/bin/sh\necho dying\nexit 9\n");
    expect_refused_and_unnoticed(&host, &app, &["worker.1", "exited 9"]);
    assert_eq!(app.up("worker.1")["release"], "v1");
}

#[test]
fn without_memory_for_two_copies_visitors_are_held_while_one_replaces_the_other() {
    // Nothing is left for a second copy on any machine.
    let host = Host::start_with(HostOptions { settings: "memory_reserve_mib = 1000000000\n", ..HostOptions::default() });
    let app = small::serve(&host, "small");
    let visitors = RequestLoop::start(&host, "small");
    let short = "stopping web.1 of v1 first, requests are held meanwhile: memory is short for two copies";
    app.push_change("bin/web", "VERSION = \"one\"", "VERSION = \"two\"").expect_accepted().expect_text(short);
    let report = visitors.stop();
    report.expect_no_failure();
    assert_eq!(report.releases.keys().collect::<Vec<_>>(), ["v1", "v2"]);
    app.push_change("bin/web", "VERSION = \"two\"", "raise SystemExit(3)").expect_refused().expect_text("exited 3");
    assert_eq!(host.facts("small")["version"], "two");
    assert_eq!(app.release(), "v2");
    app.paas(&["ps:wait"]).expect_ok().expect_text("v2 up: web.1");
}

#[test]
fn requests_in_flight_finish_on_the_old_release() {
    let host = Host::start();
    let app = host.create("node-web", host.checkout("node-web"));
    app.push().expect_accepted();
    let port = host.seat.http();
    let slow = std::thread::spawn(move || super::support::http::Request::get("node-web.localhost", "/slow?wait=20s").send(port));
    app.push_change("server.js", "const VERSION = 'one'", "const VERSION = 'two'").expect_accepted();
    assert_eq!(host.facts("node-web")["version"], "two");
    assert!(!slow.is_finished(), "the request ended before the switch");
    assert_eq!(slow.join().expect("a thread").expect("an answer").body, "one after 20s\n");
}
