//! A machine that is out of something, stands still or goes dark.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::super::support::http::Request;
use super::super::support::processes::{children, cpu_time, descriptors, is_alive, kill_hard, kill_leftover, send};
use super::super::support::seats::Mode;
use super::super::support::{Filler, Host, HostOptions, SOON, tools, wait_until};
use super::{create, running, serve_with};

/// Sets the soft limit of a process and returns the one before. Only its own user may,
/// or who has more rights than root in a container has.
fn limit(pid: u32, name: &str, soft: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
    let id = |kind: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(kind)).expect("ids of a process");
        line.split_whitespace().next().expect("an id").to_owned()
    };
    let (uid, gid, pid) = (format!("--reuid={}", id("Uid:")), format!("--regid={}", id("Gid:")), format!("--pid={pid}"));
    let words = [format!("--{name}={soft}:"), format!("--{name}")].map(|word| {
        let as_user = ["--clear-groups", "--", "prlimit", "--raw", "--noheadings", "--output=SOFT", &pid, &word];
        let prlimit = &as_user[2..];
        (as_user.map(str::to_owned).to_vec(), prlimit.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    });
    let run = |(as_user, prlimit): &(Vec<String>, Vec<String>)| {
        let all: Vec<&str> = if nix::unistd::geteuid().is_root() {
            [uid.as_str(), gid.as_str()].into_iter().chain(as_user.iter().map(String::as_str)).collect()
        } else {
            prlimit[1..].iter().map(String::as_str).collect()
        };
        tools::run(if nix::unistd::geteuid().is_root() { "setpriv" } else { "prlimit" }, &all).trim().to_owned()
    };
    let [set, show] = &words;
    let before = run(show);
    run(set);
    before
}

#[test]
fn a_server_out_of_descriptors_neither_spins_nor_ends_and_goes_on_when_there_are_some() {
    let host = Host::start();
    let app = create(&host, "files", "web: bin/web\n", &[]);
    app.push().expect_accepted();
    let (server, process) = (host.server_pid(), app.process("web.1"));
    let held = descriptors(server).len();
    let before = limit(server, "nofile", &held.to_string());
    kill_hard(process);
    // Somebody wants to know, too: accepting fails as well.
    let mut asking = host.paas_command(&["status"]).stdout(std::process::Stdio::null()).spawn().expect("a client");
    let (looked, spent) = (Instant::now(), cpu_time(server));
    wait_until("it was without for a while", SOON, || (looked.elapsed() > Duration::from_secs(4)).then_some(()));
    let share = cpu_time(server).saturating_sub(spent).as_secs_f64() / looked.elapsed().as_secs_f64();
    assert!(share < 0.5, "it takes {:.0} % of a core while it has no descriptors", share * 100.0);
    assert!(is_alive(server));
    limit(server, "nofile", &before);
    wait_until("the instance is back", SOON, || app.instance("web.1").filter(|row| row["state"] == "up" && row["shim_pid"].is_u64()));
    assert_eq!((host.server_pid(), host.facts("files")["version"].as_str()), (server, Some("one")));
    kill_leftover(asking.id());
    asking.wait().expect("the client");
}

#[test]
fn a_machine_out_of_processes_is_told_and_the_start_is_tried_again() {
    // root's processes are not counted, so it is always an ordinary user's server here.
    let host = Host::start_with(HostOptions { mode: Some(Mode::Rootless), ..HostOptions::default() });
    let app = create(&host, "forks", "web: bin/web\n", &[]);
    app.push().expect_accepted();
    let (launch, process) = (host.launch_pid().expect("launch"), app.process("web.1"));
    let before = limit(launch, "nproc", "1");
    kill_hard(process);
    wait_until("it says that it cannot be started, and why", SOON, || {
        let told = |row: &serde_json::Value| {
            row["last_end"].as_str().is_some_and(|end| end.contains("could not be started") && end.contains("unavailable"))
        };
        app.instance("web.1").filter(|row| row["state"] == "crashed" && told(row))
    });
    assert_eq!(host.launch_pid(), Some(launch), "launch did not survive it");
    limit(launch, "nproc", &before);
    wait_until("the instance is back", SOON, || app.instance("web.1").filter(|row| row["state"] == "up" && row["shim_pid"].is_u64()));
    assert_eq!(host.facts("forks")["version"], "one");
}

#[test]
fn a_stopped_process_is_restarted_although_its_port_accepts() {
    let host = Host::start();
    let app = create(&host, "frozen", "web: bin/web\n", &[]);
    app.push().expect_accepted();
    let process = app.process("web.1");
    send(process, Signal::SIGSTOP);
    let stopped = Instant::now();
    wait_until("it was restarted", Duration::from_secs(90), || {
        drop(host.send(&Request { deadline: Duration::from_secs(2), ..Request::get("frozen.localhost", "/") }));
        app.instance("web.1").filter(|row| row["restarts"] == 1 && row["state"] == "up")
    });
    assert!(stopped.elapsed() > Duration::from_secs(50), "{:?} is too quick to judge it dead", stopped.elapsed());
    assert!(!is_alive(process), "a stopped process did not hear the end");
    app.paas(&["ps:why", "web.1"]).expect_ok().expect_text("silent for");
    assert_eq!(host.facts("frozen")["version"], "one");
}

#[test]
fn a_server_that_starts_on_a_full_disk_finds_its_apps_and_serves_them() {
    if !nix::unistd::geteuid().is_root() {
        println!("NOT TRIED: only root can make a small disk");
        return;
    }
    let host = Host::start_with(HostOptions { disk_bytes: Some(900 * 1024 * 1024), ..HostOptions::default() });
    let app = create(&host, "full", "web: bin/web\n", &[]);
    app.push().expect_accepted();
    let process = app.process("web.1");
    kill_hard(host.server_pid());
    host.wait_for_end_of_server();
    let filler = Filler::fill(&host.root(), 0);
    host.start_server();
    assert_eq!(app.process("web.1"), process);
    assert_eq!(host.facts("full")["version"], "one");
    filler.give_back();
    app.push_change("bin/web", "VERSION = \"one\"", "VERSION = \"two\"").expect_accepted();
    assert_eq!(host.facts("full")["version"], "two");
}

#[test]
fn after_everything_was_killed_at_once_the_next_start_brings_back_what_ran() {
    let host = Host::start();
    let app = serve_with(&host, "dark", "sleeper", "#!/bin/sh\nexec sleep 86404\n");
    app.paas(&["ps:scale", "web=2", "sleeper=2"]).expect_ok();
    for instance in ["web.1", "web.2", "sleeper.1", "sleeper.2"] {
        app.up(instance);
    }
    // The router too: as in a power cut, nobody gets to tidy anything.
    for pid in host.processes() {
        kill_leftover(pid);
    }
    host.wait_for_end_of_server();
    wait_until("nothing runs", SOON, || host.processes().is_empty().then_some(()));
    host.start_server();
    for instance in ["web.1", "web.2", "sleeper.1", "sleeper.2"] {
        app.up(instance);
    }
    // Up means that its shim let it go; its program follows a moment later.
    wait_until("both sleep", SOON, || (running(&host, "86404").len() == 2).then_some(()));
    assert_eq!(host.facts("dark")["release"], "v1");
    assert_eq!(children(host.router_shim_pid()).len(), 1);
}
