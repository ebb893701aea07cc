//! Starting, stopping and looking at a server.

use nix::sys::signal::Signal;

use super::support::processes::{is_alive, send};
use super::support::seats::Mode;
use super::support::{Host, RequestLoop, SOON, small, wait_until};

#[test]
fn a_second_server_on_the_same_root_is_refused_and_disturbs_nothing() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let process = app.process("web.1");
    let root = host.root().to_string_lossy().into_owned();
    let second = host.paas(&["server", "--root", &root, "--http", "127.0.0.1:0"]);
    assert_ne!(second.code, 0);
    second.expect_text(&root);
    assert_eq!(app.process("web.1"), process);
    assert_eq!(host.facts("small")["version"], "one");
}

#[test]
fn sigterm_ends_the_server_and_stops_no_app() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let process = app.process("web.1");
    let visitors = RequestLoop::start(&host, "small");
    send(host.guardian_pid(), Signal::SIGTERM);
    host.wait_for_end_of_server();
    assert!(is_alive(process));
    host.paas(&["status"]).expect_code(5).expect_text("paas server");
    host.start_server();
    assert_eq!(app.process("web.1"), process);
    visitors.stop().expect_no_failure();
}

#[test]
fn stop_all_stops_everything_and_the_next_server_starts_what_ran() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let process = app.process("web.1");
    host.paas(&["stop", "--all"]).expect_ok();
    host.wait_for_end_of_server();
    wait_until("nothing of it runs", SOON, || host.processes().is_empty().then_some(()));
    assert!(!is_alive(process));
    host.start_server();
    assert_eq!(host.facts("small")["version"], "one");
}

#[test]
fn status_tells_the_box_in_one_screen() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let shown = host.paas(&["status"]).expect_ok().expect_text("small").expect_text("v1").expect_text("web 1/1 up");
    assert!(shown.stdout.lines().count() <= 25, "{}", shown.stdout);
    let status = host.status();
    assert_eq!(status["mode"], if host.mode == Mode::Root { "root" } else { "rootless" });
    assert_eq!(status["apps"][0]["name"], "small");
    super::support::processes::kill_hard(app.process("web.1"));
    wait_until("status tells of it", SOON, || host.paas(&["status"]).stdout.contains("ps:why web.1").then_some(()));
    let events = host.paas(&["events", "--json"]).expect_ok().json();
    let codes: Vec<_> = events["events"].as_array().expect("events").iter().filter_map(|event| event["code"].as_str()).collect();
    assert!(codes.contains(&"release.switched"), "{codes:?}");
}

#[test]
fn in_root_mode_every_process_runs_as_its_own_user() {
    let host = Host::start();
    if host.mode == Mode::Rootless {
        // One user is all that rootless has; `status` says the mode.
        return;
    }
    let app = small::serve(&host, "small");
    let other = small::serve(&host, "other");
    let user = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
        let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("users").to_owned();
        uids.split_whitespace().next().and_then(|uid| uid.parse::<u32>().ok()).expect("a user") - host.seat.uid_base()
    };
    let router = super::support::processes::children(host.router_shim_pid())[0];
    assert_eq!((user(host.server_pid()), user(router), user(host.router_shim_pid())), (0, 1, 2));
    assert_eq!((user(app.process("web.1")), user(other.process("web.1"))), (16 + 3, 16 + 6));
}
