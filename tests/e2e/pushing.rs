//! `git push` as git users know it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::support::checkout::Checkout;
use super::support::gate::Gate;
use super::support::{App, Host, SOON, processes, small, wait_until};

/// The state of the newest build.
fn newest_build(app: &App<'_>) -> String {
    let builds = app.paas(&["builds", "--json"]).expect_ok().json();
    builds["builds"][0]["state"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn another_branch_is_stored_and_not_deployed_and_the_push_says_so() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.checkout.git(&["switch", "--quiet", "--create", "feature"]).expect_ok();
    app.checkout.commit("A feature");
    app.checkout.git(&["push", "paas", "feature"]).expect_accepted().expect_text("feature is stored and not deployed");
    app.checkout.git(&["tag", "one"]).expect_ok();
    app.checkout.git(&["push", "paas", "one"]).expect_accepted();
    assert_eq!(app.release(), "v1");
    app.checkout.git(&["push", "paas", "feature:main"]).expect_accepted().expect_text("Release v2");
}

#[test]
fn the_deploy_branch_cannot_be_deleted() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.checkout.git(&["push", "paas", ":main"]).expect_refused().expect_text("refs/heads/main cannot be deleted");
    assert_eq!(app.remote_head(), Some(app.checkout.head()));
    assert_eq!(host.facts("small")["release"], "v1");
}

#[test]
fn a_dry_run_shows_the_plan_and_deploys_nothing() {
    let host = Host::start();
    let app = small::create(&host, "small");
    app.checkout.git(&["push", "-o", "dry-run", "paas", "main"]).expect_refused().expect_text("nothing was built or deployed");
    assert_eq!((app.remote_head(), app.release()), (None, "none".to_owned()));
    app.push().expect_accepted();
}

#[test]
fn a_push_from_a_shallow_clone_is_refused_with_the_way_out() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.checkout.commit("Second");
    let shallow = app.checkout.folder().with_extension("shallow");
    let source = format!("file://{}", app.checkout.folder().display());
    app.checkout.git(&["clone", "--quiet", "--depth", "1", &source, &shallow.to_string_lossy()]).expect_ok();
    for name in ["url", "receivepack", "uploadpack"] {
        let key = format!("remote.paas.{name}");
        let value = app.checkout.git(&["config", &key]).expect_ok().stdout;
        app.checkout.git(&["-C", &shallow.to_string_lossy(), "config", &key, value.trim_end()]).expect_ok();
    }
    app.checkout
        .git(&["-C", &shallow.to_string_lossy(), "push", "--force", "paas", "main"])
        .expect_text("shallow")
        .expect_text("git fetch --unshallow");
    assert_eq!(app.release(), "v1");
}

#[test]
fn a_submodule_is_named_and_left_empty() {
    let host = Host::start();
    let app = small::create(&host, "small");
    let head = app.checkout.head();
    app.checkout.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},library")]).expect_ok();
    app.checkout.git(&["commit", "--quiet", "--message", "Submodule"]).expect_ok();
    app.push().expect_accepted().expect_text("submodule").expect_text("library");
    assert_eq!(host.facts("small")["version"], "one");
}

#[test]
fn of_two_pushes_at_once_the_second_waits_and_is_told_to_fetch_first() {
    let (host, gate) = (Host::start(), Gate::open());
    let app = small::serve(&host, "small");
    app.paas(&["config:set", &gate.config_var()]).expect_ok();
    small::wait_in_build(&app);
    app.checkout.git(&["branch", "rival"]).expect_ok();
    app.checkout.commit("First of two");
    app.checkout.git(&["switch", "--quiet", "--create", "second", "rival"]).expect_ok();
    app.checkout.commit("Second of two");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| app.checkout.git(&["push", "paas", "main"]));
        let waiting = gate.wait();
        let mut command = app.checkout.git_command(&["push", "--force", "paas", "second:main"]);
        let mut second = command.stderr(Stdio::piped()).spawn().expect("git");
        let mut lines = BufReader::new(second.stderr.take().expect("stderr")).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("Waiting for another push")), "the second push did not wait");
        waiting.let_go();
        first.join().expect("first push").expect_accepted();
        let rest: Vec<String> = lines.collect();
        assert!(!second.wait().expect("git").success(), "{rest:#?}");
        assert!(rest.iter().any(|line| line.contains("fetch first")), "{rest:#?}");
    });
    assert!(gate.is_empty(), "the second push was built");
    assert_eq!(app.remote_head(), Some(app.checkout.git(&["rev-parse", "main"]).expect_ok().stdout.trim().to_owned()));
}

#[test]
fn a_push_whose_client_is_killed_is_cancelled_and_the_next_one_works() {
    let (host, gate) = (Host::start(), Gate::open());
    let app = small::serve(&host, "small");
    app.paas(&["config:set", &gate.config_var()]).expect_ok();
    let head = app.remote_head();
    small::wait_in_build(&app);
    app.checkout.commit("A build that waits");
    let mut client = app.checkout.git_command(&["push", "paas", "main"]).stderr(Stdio::null()).spawn().expect("git");
    let waiting = gate.wait();
    processes::kill_hard(client.id());
    drop(client.wait());
    waiting.expect_killed(SOON);
    wait_until("the build is on record as cancelled", SOON, || (newest_build(&app) == "cancelled").then_some(()));
    assert_eq!((app.remote_head(), host.facts("small")["version"].clone()), (head, "one".into()));
    std::thread::scope(|scope| {
        let push = scope.spawn(|| app.push());
        gate.wait().let_go();
        push.join().expect("push").expect_accepted();
    });
}

#[test]
fn builds_cancel_ends_the_build_that_runs() {
    let (host, gate) = (Host::start(), Gate::open());
    let app = small::create(&host, "small");
    app.paas(&["config:set", &gate.config_var()]).expect_ok();
    small::wait_in_build(&app);
    app.checkout.commit("A build that waits");
    std::thread::scope(|scope| {
        let push = scope.spawn(|| app.push());
        let waiting = gate.wait();
        app.paas(&["builds:cancel"]).expect_ok();
        waiting.expect_killed(SOON);
        push.join().expect("push").expect_refused().expect_text("cancelled");
    });
    assert_eq!(newest_build(&app), "cancelled");
}

#[test]
fn a_clone_brings_back_what_was_pushed() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let clone = Checkout::empty(&host);
    for name in ["url", "uploadpack"] {
        let key = format!("remote.paas.{name}");
        let value = app.checkout.git(&["config", &key]).expect_ok().stdout;
        clone.git(&["config", &key, value.trim_end()]).expect_ok();
    }
    clone.git(&["fetch", "paas", "main"]).expect_ok();
    let fetched = clone.git(&["rev-parse", "FETCH_HEAD"]).expect_ok().stdout;
    assert_eq!(fetched.trim(), app.checkout.head());
}
