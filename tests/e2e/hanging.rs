//! What paas is for: a process that no longer answers is restarted, and the reason is told.

use std::time::{Duration, Instant};

use super::support::http::Request;
use super::support::{App, Host, wait_until};

/// Product promise: an idle hang is restarted within 95 s.
const IDLE_RESTART_MAX: Duration = Duration::from_secs(95);
/// Under traffic the first failed probe is sent at once, so only the window of 60 s counts.
const BUSY_RESTART_MAX: Duration = Duration::from_secs(75);
/// Visitors of a hung app give up after this.
const PATIENCE: Duration = Duration::from_secs(2);

fn hung<'h>(host: &'h Host, name: &str) -> App<'h> {
    let app = host.create(name, host.checkout("python-postgres"));
    app.paas(&["config:set", "SWITCHES=on"]).expect_ok();
    app.push().expect_accepted();
    assert_eq!(host.facts(name)["version"], "one");
    assert_eq!(host.post(name, "/switch/hang").status, 200);
    app
}

#[track_caller]
fn expect_restart_told(host: &Host, app: &App<'_>, deadline: Duration, mut meanwhile: impl FnMut()) {
    let switched = Instant::now();
    wait_until("web.1 was restarted", deadline, || {
        meanwhile();
        app.instance("web.1").filter(|row| row["restarts"].as_u64() >= Some(1))
    });
    let took = switched.elapsed();
    assert!(took > Duration::from_secs(50), "restarted after {took:?}: too quick to judge it dead");
    assert_eq!(host.facts(&app.name)["version"], "one");
    let row = app.up("web.1");
    assert!(row["last_end"].as_str().is_some_and(|end| end.contains("silent for")), "{row}");
    app.paas(&["ps:why", "web.1"]).expect_ok().expect_text("silent for").expect_text("GET /");
    assert!(app.logs().lines().any(|line| line.contains("paas[web.1]:") && line.contains("silent for")), "{}", app.logs());
    app.paas(&["ps"]).expect_ok().expect_text("silent for");
}

#[test]
fn an_idle_hang_is_restarted_within_95_seconds_with_the_reason_in_logs_ps_and_why() {
    let host = Host::start();
    let app = hung(&host, "idle");
    expect_restart_told(&host, &app, IDLE_RESTART_MAX, || {});
}

#[test]
fn a_hang_under_traffic_is_restarted_sooner() {
    let host = Host::start();
    let app = hung(&host, "busy");
    expect_restart_told(&host, &app, BUSY_RESTART_MAX, || {
        drop(host.send(&Request { deadline: PATIENCE, ..Request::get("busy.localhost", "/") }));
    });
}

#[test]
fn an_answer_of_500_is_life_and_restarts_nothing() {
    let host = Host::start();
    let app = host.create("ill", host.checkout("python-postgres"));
    app.paas(&["config:set", "SWITCHES=on"]).expect_ok();
    app.push().expect_accepted();
    let process = app.process("web.1");
    host.post("ill", "/switch/500");
    assert_eq!(host.get("ill", "/").status, 500);
    let switched = Instant::now();
    let is_probe = |line: &str| line.contains("\"GET / HTTP/1.1\" 500") && line.contains("paas-check");
    // One that counts as silent would be restarted by then.
    wait_until("an idle instance was asked for as long as a hang may last", IDLE_RESTART_MAX * 2, || {
        (switched.elapsed() > IDLE_RESTART_MAX && app.logs().lines().filter(|line| is_probe(line)).count() >= 3).then_some(())
    });
    assert_eq!(app.process("web.1"), process);
    assert_eq!(app.up("web.1")["restarts"], 0);
}

#[test]
fn a_process_that_ignores_sigterm_is_killed_after_its_grace_period() {
    let host = Host::start();
    let app = host.create("deaf", host.checkout("python-postgres"));
    app.paas(&["config:set", "SWITCHES=on"]).expect_ok();
    app.push().expect_accepted();
    let before = app.process("web.1");
    host.post("deaf", "/switch/ignore-sigterm");
    app.paas(&["ps:restart", "web.1"]).expect_ok();
    wait_until("the deaf process was killed", Duration::from_mins(1), || (!super::support::processes::is_alive(before)).then_some(()));
    app.up("web.1");
    app.wait_for_log("Error R12", Duration::from_secs(30));
    app.paas(&["ps:why", "web.1"]).expect_ok().expect_text("did not stop within 30 s of SIGTERM and was killed (R12)");
}
