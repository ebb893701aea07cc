//! What a `kill -9` of each part costs: nothing that a visitor would notice, or a restart.

use std::path::Path;

use super::support::asking::pid_of;
use super::support::gateway::Gateway;
use super::support::http::Request;
use super::support::processes::{children, is_alive, kill_hard};
use super::support::{App, Host, Knocking, RequestLoop, SOON, small, wait_until};

/// Kills an instance's process and waits until another one is there.
#[track_caller]
fn kill_and_wait_for_restart(app: &App<'_>, instance: &str) {
    let before = app.process(instance);
    kill_hard(before);
    wait_until(&format!("{instance} was restarted"), SOON, || {
        let row = app.instance(instance)?;
        (row["state"] == "up" && row["restarts"].as_u64() >= Some(1) && !is_alive(before)).then_some(())
    });
    assert_ne!(app.process(instance), before);
    app.paas(&["ps:why", instance]).expect_ok().expect_text("killed by SIGKILL");
}

/// Kills the server hard and starts another: the same processes go on.
#[track_caller]
fn kill_server_and_adopt(host: &Host, instances: &[(&App<'_>, &str)]) {
    let pids = || instances.iter().map(|(app, name)| app.process(name)).collect::<Vec<_>>();
    let shims = || instances.iter().map(|(app, name)| app.up(name)["shim_pid"].clone()).collect::<Vec<_>>();
    let before = (pids(), shims(), host.router_shim_pid());
    kill_hard(host.server_pid());
    host.wait_for_end_of_server();
    assert!(before.0.iter().all(|pid| is_alive(*pid)), "an app died with the server");
    host.start_server();
    assert_eq!((pids(), shims(), host.router_shim_pid()), before);
    for (app, name) in instances {
        assert_eq!(app.up(name)["restarts"], 0, "{name} was restarted");
    }
}

#[test]
fn a_killed_web_process_is_restarted_and_the_reason_is_told() {
    let host = Host::start();
    let hello = host.create("hello", host.checkout("python-postgres"));
    hello.push().expect_accepted();
    kill_and_wait_for_restart(&hello, "web.1");
    assert_eq!(host.facts("hello")["rows"].as_array().map(Vec::len), Some(3));
    hello.paas(&["ps"]).expect_ok().expect_text("web.1: up");
    assert!(hello.logs().contains("paas[web.1]: Process killed by SIGKILL"), "{}", hello.logs());

    hello.paas(&["config:set", "SWITCHES=on"]).expect_ok();
    let before = hello.process("web.1");
    // The answer is lost with the process that would have given it.
    drop(host.send(&super::support::http::Request::post("hello.localhost", "/switch/crash")));
    wait_until("web.1 was restarted", SOON, || {
        let web = hello.instance("web.1")?;
        (!is_alive(before) && web["state"] == "up" && web["restarts"] == 1).then_some(())
    });
    hello.paas(&["ps:why", "web.1"]).expect_ok().expect_text("killed by SIGABRT").expect_text("switch crash is on");
}

#[test]
fn killed_processes_of_the_other_examples_are_restarted() {
    let (host, gateway) = (Host::start(), Gateway::open());
    let node = host.create("node-web", host.checkout("node-web"));
    let jobs = host.create("jobs", host.checkout("worker-and-clock"));
    let bot = host.create("bot", host.checkout("discord-style-bot"));
    bot.paas(&["config:set", &format!("GATEWAY={}", gateway.address)]).expect_ok();
    for app in [&node, &jobs, &bot] {
        app.push().expect_accepted();
    }
    kill_and_wait_for_restart(&node, "web.1");
    assert_eq!(host.facts("node-web")["version"], "one");
    kill_and_wait_for_restart(&jobs, "worker.1");
    kill_and_wait_for_restart(&jobs, "clock.1");
    kill_and_wait_for_restart(&bot, "worker.1");
    gateway.expect_never_twice();
}

#[test]
fn a_killed_server_stops_no_example_and_the_next_one_adopts_all_of_them() {
    let (host, gateway) = (Host::start(), Gateway::open());
    let hello = host.create("hello", host.checkout("python-postgres"));
    let node = host.create("node-web", host.checkout("node-web"));
    let jobs = host.create("jobs", host.checkout("worker-and-clock"));
    let bot = host.create("bot", host.checkout("discord-style-bot"));
    bot.paas(&["config:set", &format!("GATEWAY={}", gateway.address)]).expect_ok();
    for app in [&hello, &node, &jobs, &bot] {
        app.push().expect_accepted();
    }
    let visitors = [RequestLoop::start(&host, "hello"), RequestLoop::start(&host, "node-web")];
    kill_server_and_adopt(&host, &[(&hello, "web.1"), (&node, "web.1"), (&jobs, "worker.1"), (&jobs, "clock.1"), (&bot, "worker.1")]);
    for visitor in visitors {
        visitor.stop().expect_no_failure();
    }
    assert_eq!(gateway.logins().len(), 1);
    gateway.expect_never_twice();
    hello.push_change("app.py", "VERSION = \"one\"", "VERSION = \"two\"").expect_accepted();
    assert_eq!(host.facts("hello")["version"], "two");
}

#[test]
fn no_log_line_is_lost_while_the_server_is_away() {
    let host = Host::start();
    let jobs = host.create("jobs", host.checkout("worker-and-clock"));
    jobs.push().expect_accepted();
    jobs.wait_for_log("tick 2", SOON);
    let folder = host.root().join("logs/1/clock.1");
    let server = host.server_pid();
    let newest = |text: &str| text.lines().filter_map(tick).max();
    let before = newest(&jobs.logs()).expect("a tick");
    kill_hard(server);
    host.wait_for_end_of_server();
    let written = bytes_in(&folder);
    // A line is shorter than 100 bytes in a segment, so that some were written whole.
    wait_until("the clock is heard while there is no server", SOON, || (bytes_in(&folder) > written + 300).then_some(()));
    host.start_server();
    let seen = newest(&jobs.logs()).expect("a tick");
    assert!(seen > before + 2, "{seen} after {before}: what was said while there was no server is missing");
    wait_until("the clock ticks on", SOON, || (newest(&jobs.logs()) > Some(seen + 1)).then_some(()));
    let ticks: Vec<u32> = jobs.logs().lines().filter_map(tick).collect();
    let last = *ticks.last().expect("a tick");
    assert_eq!(ticks, (1..=last).collect::<Vec<_>>());
}

/// How much lies in the files of a folder.
fn bytes_in(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).expect("a log folder").flatten();
    files.map(|file| file.metadata().expect("a log file").len()).sum()
}

/// The number of a line `… app[clock.1]: tick 7 at …`.
fn tick(line: &str) -> Option<u32> {
    line.split_once("app[clock.1]: tick ")?.1.split(' ').next()?.parse().ok()
}

#[test]
fn a_killed_guardian_stops_no_app() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let (process, visitors) = (app.process("web.1"), RequestLoop::start(&host, "small"));
    kill_hard(host.guardian_pid());
    host.wait_for_end_of_server();
    wait_until("server and launch have ended too", SOON, || {
        host.processes().iter().all(|pid| !super::support::processes::words(*pid).iter().any(|word| word == "launch")).then_some(())
    });
    host.start_server();
    assert_eq!(app.process("web.1"), process);
    visitors.stop().expect_no_failure();
}

#[test]
fn a_killed_launch_is_replaced_and_the_next_start_works() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let (launch, before) = (host.launch_pid().expect("launch"), app.process("web.1"));
    let visitors = RequestLoop::start(&host, "small");
    kill_hard(launch);
    wait_until("another launch is there", SOON, || host.launch_pid().filter(|pid| *pid != launch));
    assert_eq!(app.process("web.1"), before);
    app.push_change("bin/web", "VERSION = \"one\"", "VERSION = \"two\"").expect_accepted();
    visitors.stop().expect_no_failure();
    assert_eq!(host.facts("small")["version"], "two");
}

#[test]
fn a_killed_router_comes_back_and_no_app_is_restarted() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let (shim, before) = (host.router_shim_pid(), app.process("web.1"));
    kill_hard(*children(shim).first().expect("the router"));
    wait_until("another router is there", SOON, || {
        let pid = &host.status()["router_shim_pid"];
        (pid.is_u64() && pid_of(pid) != shim).then_some(())
    });
    assert_eq!(host.facts("small")["version"], "one");
    assert_eq!(app.process("web.1"), before);
}

#[test]
fn a_killed_shim_takes_its_process_along_and_the_instance_is_replaced() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let (shim, process) = (pid_of(&app.up("web.1")["shim_pid"]), app.process("web.1"));
    kill_hard(shim);
    wait_until("the instance was replaced", SOON, || {
        let row = app.instance("web.1")?;
        (row["state"] == "up" && row["shim_pid"] != shim && !is_alive(process)).then_some(())
    });
    assert_eq!(host.facts("small")["version"], "one");
    app.paas(&["ps:why", "web.1"]).expect_ok().expect_text("its supervisor process was killed and took it along");
}

/// Kills the router and `others`; returns once another one serves at both doors of an app.
#[track_caller]
fn kill_router_and(host: &Host, app: &App<'_>, others: &[u32]) {
    let (shim, port) = (host.router_shim_pid(), app.lasting_port());
    let router = *children(shim).first().expect("the router");
    [&[router], others].concat().into_iter().for_each(kill_hard);
    wait_until("another router is there", SOON, || {
        let pid = &host.status()["router_shim_pid"];
        (pid.is_u64() && pid_of(pid) != shim).then_some(())
    });
    assert_eq!(host.facts("small")["version"], "one");
    wait_until("the lasting port answers", SOON, || Request::get("any.example", "/").send(port).ok().filter(|answer| answer.status == 200));
}

#[track_caller]
fn replace_launch(host: &Host) {
    let launch = host.launch_pid().expect("launch");
    kill_hard(launch);
    wait_until("another launch is there", SOON, || host.launch_pid().filter(|pid| *pid != launch));
}

#[test]
fn launch_and_router_killed_together_refuse_no_connection() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let knocking = Knocking::start(&[host.seat.http(), app.lasting_port()]);
    kill_router_and(&host, &app, &[host.launch_pid().expect("launch")]);
    knocking.expect_none_refused();
}

#[test]
fn a_router_killed_after_launch_was_replaced_refuses_no_connection() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let knocking = Knocking::start(&[host.seat.http(), app.lasting_port()]);
    replace_launch(&host);
    kill_router_and(&host, &app, &[]);
    knocking.expect_none_refused();
}

#[test]
fn a_router_killed_after_the_server_was_replaced_refuses_no_connection() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let knocking = Knocking::start(&[host.seat.http(), app.lasting_port()]);
    for pid in [Host::server_pid, Host::guardian_pid] {
        kill_hard(pid(&host));
        host.wait_for_end_of_server();
        host.start_server();
        kill_router_and(&host, &app, &[]);
    }
    replace_launch(&host);
    kill_router_and(&host, &app, &[host.launch_pid().expect("launch")]);
    knocking.expect_none_refused();
}
