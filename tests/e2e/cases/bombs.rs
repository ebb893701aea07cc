//! One app that starts processes without end, and what the others notice of it.

use super::super::support::asking::pid_of;
use super::super::support::processes::is_alive;
use super::super::support::{App, Host, SOON, wait_until};
use super::{create, program, running, scale, serve_with};

/// What one user of an app may have, where the machine has enough for four of them.
const TASKS_MAX: usize = 8_192;
/// Fewer than this are no bomb, on the smallest machine that builds this.
const TASKS_MIN: usize = 500;

/// Waits until the bomb has gone off as far as it may; returns the shim beside it.
#[track_caller]
fn goes_off(host: &Host, app: &App<'_>, times: usize) -> u32 {
    let said = |words: &str| app.logs().lines().filter(|line| line.contains("app[bomb.1]:") && line.ends_with(words)).count();
    wait_until("the bomb was stopped", SOON * 2, || {
        assert_eq!(said("nothing stopped the bomb"), 0, "{} processes", running(host, "bin/bomb").len());
        (said("the bomb was stopped") == times).then_some(())
    });
    let count = running(host, "bin/bomb").len();
    assert!((TASKS_MIN..=TASKS_MAX).contains(&count), "{count} processes");
    pid_of(&app.up("bomb.1")["shim_pid"])
}

#[test]
fn a_fork_bomb_is_stopped_by_its_limit_its_neighbours_answer_and_it_can_be_ended() {
    let host = Host::start();
    let neighbour = create(&host, "neighbour", "web: bin/web\n", &[]);
    neighbour.push().expect_accepted();
    let app = serve_with(&host, "bomb", "bomb", program!("bomb"));
    scale(&app, "bomb=1");
    let shim = goes_off(&host, &app, 1);
    // The neighbour answers, can be started anew, and even built anew.
    assert_eq!(host.facts("neighbour")["version"], "one");
    neighbour.push_change("bin/web", "VERSION = \"one\"", "VERSION = \"two\"").expect_accepted();
    assert_eq!(host.facts("neighbour")["version"], "two");
    // It was not ended either: that is its author's to decide.
    assert_eq!(app.up("bomb.1")["restarts"], 0);

    app.paas(&["ps:restart", "bomb.1"]).expect_ok();
    wait_until("the first bomb is gone", SOON, || (!is_alive(shim)).then_some(()));
    let shim = goes_off(&host, &app, 2);
    scale(&app, "bomb=0");
    wait_until("the second is gone with all that it started", SOON, || {
        (!is_alive(shim) && running(&host, "bin/bomb").is_empty()).then_some(())
    });
    // And nothing of it counts any more.
    app.push_change("bin/web", "VERSION = \"one\"", "VERSION = \"two\"").expect_accepted();
    assert_eq!((host.facts("bomb")["version"].clone(), app.up("web.1")["restarts"].clone()), ("two".into(), 0.into()));
}
