//! How processes end, and what they would like to leave behind.

use super::super::support::http::Request;
use super::super::support::processes::{children, is_alive, kill_hard, words};
use super::super::support::{App, Host, SOON, wait_until};
use super::{create, program, running, scale, serve_with};

#[test]
fn a_command_that_daemonizes_has_ended_and_its_daemon_goes_with_it() {
    let host = Host::start();
    let app = serve_with(&host, "daemon", "daemon", program!("daemon"));
    scale(&app, "daemon=1");
    wait_until("it counts as finished", SOON, || app.instance("daemon.1").filter(|row| row["state"] == "finished"));
    app.paas(&["ps:why", "daemon.1"]).expect_ok().expect_text("exited 0");
    assert_eq!(running(&host, "86401"), Vec::<u32>::new(), "a daemon outlived the process that left it behind");
    app.checkout.write("Procfile", "web: bin/daemon\n");
    app.checkout.commit("The web process daemonizes");
    app.push().expect_refused().expect_text("web.1").expect_text("exited 0");
    assert_eq!(running(&host, "86401"), Vec::<u32>::new());
    assert_eq!(host.facts("daemon")["release"], "v1");
}

#[test]
fn a_process_behind_a_shell_hears_the_stop_too() {
    let host = Host::start();
    let app =
        create(&host, "shell", "web: bin/web\njob: bin/behind_a_shell; true\n", &[("bin/behind_a_shell", program!("behind_a_shell"))]);
    app.push().expect_accepted();
    scale(&app, "job=1");
    app.wait_for_log("child", SOON);
    let shell = app.process("job.1");
    let child = wait_until("the shell has its child", SOON, || children(shell).first().copied());
    assert!(words(child).iter().any(|word| word.ends_with("behind_a_shell")), "{:?} is no shell", words(shell));
    scale(&app, "job=0");
    wait_until("both are gone", SOON, || (!is_alive(shell) && !is_alive(child)).then_some(()));
    app.wait_for_log("the child heard SIGTERM", SOON);
    assert!(!app.logs().contains("R12"), "{}", app.logs());
}

/// The child of the web process of `heir`.
#[track_caller]
fn heir(app: &App<'_>) -> (u32, u32) {
    let parent = app.process("web.1");
    (parent, wait_until("the child has the port", SOON, || children(parent).first().copied()))
}

#[test]
fn a_grandchild_that_holds_port_and_output_neither_delays_the_end_nor_survives_it() {
    let host = Host::start();
    let app = create(&host, "heir", "web: bin/heir\n", &[("bin/heir", program!("heir"))]);
    app.push().expect_accepted();
    let (parent, child) = heir(&app);
    kill_hard(parent);
    // Its restart waits for the end of the run, so for what still holds the output.
    let row = wait_until("it was restarted", SOON, || app.instance("web.1").filter(|row| row["restarts"] == 1 && row["state"] == "up"));
    assert!(!is_alive(child), "the old child holds the port");
    let (new_parent, new_child) = heir(&app);
    assert!(new_parent != parent && new_child != child);
    assert_eq!(host.get("heir", "/").status, 200);
    assert!(row["last_end"].as_str().is_some_and(|end| end.contains("killed by SIGKILL")), "{row}");
}

#[test]
fn a_web_process_that_exits_with_0_is_restarted_and_its_code_is_told() {
    let host = Host::start();
    let app = create(&host, "leaver", "web: bin/leaver\n", &[("bin/leaver", program!("leaver"))]);
    app.push().expect_accepted();
    for (restarts, code) in [(1, "0"), (2, "255")] {
        app.up("web.1");
        let asked = Request::post("leaver.localhost", "/").host;
        drop(host.send(&Request::post(asked, &format!("/exit/{code}"))));
        wait_until("it was restarted", SOON, || app.instance("web.1").filter(|row| row["restarts"] == restarts && row["state"] == "up"));
        app.paas(&["ps:why", "web.1"]).expect_ok().expect_text(&format!("exited {code}"));
        app.wait_for_log(&format!("Process exited {code} after"), SOON);
    }
}

#[test]
fn orphans_are_buried() {
    let host = Host::start();
    let app = serve_with(&host, "orphans", "orphans", program!("orphans"));
    scale(&app, "orphans=1");
    app.wait_for_log("fifty orphans", SOON);
    let shim = super::super::support::asking::pid_of(&app.up("orphans.1")["shim_pid"]);
    wait_until("no zombie is left", SOON, || super::super::support::processes::zombies_of(shim).is_empty().then_some(()));
    wait_until("the process itself goes on", SOON, || (running(&host, "86402").len() == 1).then_some(()));
}

#[test]
fn a_silent_stop_is_waited_for_and_nothing_is_started_or_killed_meanwhile() {
    let host = Host::start();
    let app = create(&host, "slow", "web: bin/slow_stop\n", &[("bin/slow_stop", program!("slow_stop"))]);
    app.push().expect_accepted();
    let process = app.process("web.1");
    app.paas(&["ps:stop"]).expect_ok();
    app.wait_for_log("heard SIGTERM", SOON);
    wait_until("it has ended", SOON, || {
        assert_eq!(running(&host, "bin/slow_stop").iter().filter(|pid| **pid != process).count(), 0, "another one was started");
        (!is_alive(process)).then_some(())
    });
    app.wait_for_log("ending by myself", SOON);
    let log = app.logs();
    assert!(!log.contains("R12") && !log.contains("silent for") && log.matches("heard SIGTERM").count() == 1, "{log}");
}
