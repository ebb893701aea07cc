//! What a killed or stopped server leaves behind, and what its processes hold: nothing
//! that is not theirs.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use super::support::checkout::Checkout;
use super::support::gate::Gate;
use super::support::processes::{children, is_alive, kill_hard, send};
use super::support::{App, Host, SOON, small, wait_until};

/// The numbers and names of a process's open descriptors.
fn descriptors(pid: u32) -> Vec<(u32, String)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors of a process");
    let open = entries.flatten().filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, target.to_string_lossy().into_owned()))
    });
    open.collect()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// An app whose next push stands at the gate in its build.
fn app_that_waits<'h>(host: &'h Host, gate: &Gate) -> App<'h> {
    let app = small::serve(host, "small");
    app.paas(&["config:set", &gate.config_var()]).expect_ok();
    small::wait_in_build(&app);
    app.checkout.commit("A build that waits");
    app
}

#[test]
fn stop_all_ends_a_build_and_its_push_too() {
    let (host, gate) = (Host::start(), Gate::open());
    let app = app_that_waits(&host, &gate);
    let old = app.remote_head();
    std::thread::scope(|scope| {
        let push = scope.spawn(|| app.push());
        let waiting = gate.wait();
        host.paas(&["stop", "--all"]).expect_ok();
        host.wait_for_end_of_server();
        waiting.expect_killed(SOON);
        assert_ne!(push.join().expect("push").code, 0);
    });
    wait_until("nothing of it runs", SOON, || host.processes().is_empty().then_some(()));
    host.start_server();
    assert_eq!(host.facts("small")["version"], "one");
    assert_eq!(app.remote_head(), old);
}

#[test]
fn nothing_of_a_killed_build_stays() {
    let (host, gate) = (Host::start(), Gate::open());
    let app = app_that_waits(&host, &gate);
    let orphan = host.root().join("slugs").join(format!("{}.tar.gz", "ab".repeat(32)));
    std::thread::scope(|scope| {
        let push = scope.spawn(|| app.push());
        let waiting = gate.wait();
        kill_hard(host.server_pid());
        host.wait_for_end_of_server();
        fs::write(&orphan, "named, and its row never written").expect("slug");
        host.start_server();
        waiting.expect_killed(SOON);
        assert_ne!(push.join().expect("push").code, 0);
    });
    wait_until("the build's folder is gone", SOON, || is_empty(&host.root().join("builds/1")).then_some(()));
    wait_until("the slug that nothing names is gone", SOON, || (!orphan.exists()).then_some(()));
    let objects = fs::read_dir(host.root().join("repositories/1/objects")).expect("objects").flatten();
    let quarantines = objects.filter(|entry| entry.file_name().to_string_lossy().starts_with("tmp_objdir-incoming-")).count();
    assert_eq!(quarantines, 0, "what was pushed and refused stays");
    let runs = fs::read_dir(host.root().join("runs/1")).expect("run folders").flatten();
    let left: Vec<_> = runs.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().starts_with("build-")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(host.facts("small")["version"], "one");
}

#[test]
fn process_types_named_like_parts_of_paas_survive_a_killed_server() {
    let host = Host::start();
    let files = [("Procfile", "git-sync: exec sleep 100000\nbuild-index: exec sleep 100000\n")];
    let app = host.create("workers", Checkout::of_files(&host, &files));
    app.push().expect_accepted();
    let before = [app.process("git-sync.1"), app.process("build-index.1")];
    kill_hard(host.server_pid());
    host.wait_for_end_of_server();
    host.start_server();
    assert_eq!([app.process("git-sync.1"), app.process("build-index.1")], before);
}

#[test]
fn a_database_that_dies_without_a_server_is_started_by_the_next_one() {
    let host = Host::start();
    small::serve(&host, "small");
    let postgres = postgres(&host);
    kill_hard(host.server_pid());
    host.wait_for_end_of_server();
    kill_hard(postgres);
    host.start_server();
    let is_up = || host.status()["database"].as_str().is_some_and(|database| database.ends_with(" up"));
    wait_until("the database is up", SOON, || is_up().then_some(()));
    kill_hard(self::postgres(&host));
    wait_until("status says that it is down, or it is back", SOON, || (!is_up() || self::postgres(&host) != postgres).then_some(()));
    wait_until("the database is up again", SOON, || is_up().then_some(()));
}

/// The one PostgreSQL server of a host.
#[track_caller]
fn postgres(host: &Host) -> u32 {
    wait_until("PostgreSQL runs", SOON, || {
        let is_server = |pid: &u32| super::support::processes::words(*pid).first().is_some_and(|word| word.ends_with("/bin/postgres"));
        // An ordinary user's PostgreSQL is told from others by its shim, whose path is the host's.
        let kept = host.processes().into_iter().flat_map(|pid| [vec![pid], children(pid)].concat());
        let servers: std::collections::BTreeSet<u32> = kept.filter(is_server).collect();
        // A process that it just forked has its name for a moment.
        let forked: Vec<u32> = servers.iter().flat_map(|pid| children(*pid)).collect();
        let servers: Vec<u32> = servers.into_iter().filter(|pid| !forked.contains(pid)).collect();
        assert!(servers.len() < 2, "two servers work on one cluster: {servers:?}");
        servers.first().copied()
    })
}

#[test]
fn a_server_that_is_told_to_listen_elsewhere_does() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let (process, router) = (app.process("web.1"), host.router_shim_pid());
    // As if an earlier server had listened somewhere else.
    let folders = fs::read_dir(host.root().join("runs/0")).expect("run folders").flatten();
    let folder =
        folders.map(|entry| entry.path()).find(|path| path.join("setting").exists() && path.to_string_lossy().contains("/router-"));
    fs::write(folder.expect("the router's run folder").join("setting"), "192.0.2.1:80").expect("setting");
    kill_hard(host.server_pid());
    host.wait_for_end_of_server();
    host.start_server();
    assert_ne!(host.router_shim_pid(), router);
    assert_eq!(host.facts("small")["version"], "one");
    assert_eq!(app.process("web.1"), process);
}

#[test]
fn a_closed_terminal_ends_the_server_and_stops_no_app() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let process = app.process("web.1");
    for signal in [Signal::SIGHUP, Signal::SIGINT] {
        send(host.guardian_pid(), signal);
        host.wait_for_end_of_server();
        assert!(is_alive(process));
        host.start_server();
        assert_eq!(app.process("web.1"), process);
    }
    assert!(host.server_log().contains("apps, router and database go on"), "{}", host.server_log());
}

#[test]
fn no_process_holds_rights_or_descriptors_that_are_not_its_own() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let router = children(host.router_shim_pid())[0];
    for pid in [app.process("web.1"), router, postgres(&host)] {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status of a process");
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
        for name in ["CapEff:", "CapPrm:", "CapBnd:", "CapInh:", "CapAmb:"] {
            assert_eq!(field(name), "0000000000000000", "{name} of {pid}");
        }
        assert_eq!(field("NoNewPrivs:"), "1");
        let environment = fs::read_to_string(format!("/proc/{pid}/environ")).expect("environment");
        assert!(!environment.contains("PAAS_") && !environment.contains("SHELL="), "{environment}");
        let root = host.root().to_string_lossy().into_owned();
        let foreign = descriptors(pid).into_iter().filter(|(_, target)| target.starts_with(&root)).collect::<Vec<_>>();
        assert!(foreign.is_empty(), "{pid} holds {foreign:?}");
    }
    // An app's: null, two pipes to its log, and what it opened itself.
    let mut inherited = descriptors(app.process("web.1"));
    inherited.retain(|(number, target)| *number < 3 || !target.starts_with("socket:"));
    inherited.sort();
    let kinds: Vec<_> = inherited.iter().map(|(number, target)| (*number, target.split(':').next().unwrap_or_default())).collect();
    assert_eq!(kinds, [(0, "/dev/null"), (1, "pipe"), (2, "pipe")]);
}
