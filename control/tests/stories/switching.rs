//! Two releases at once, for as short as can be.

use std::time::Duration;

use super::support::engine::OneOffEnd;
use super::support::instances::Boot;
use super::support::{COMMIT_A, COMMIT_B, Site, lock, until};

#[test]
fn a_deploy_is_told_as_done_once_the_router_sends_requests_to_it() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(&[("web", "serve")]).await;
        server.door.behind.send_replace(true);
        let push = server.begin_push("hello", COMMIT_B);
        until("v2 is current", async || (server.releases("hello").await[0] == "v2 current").then_some(())).await;
        server.settle().await;
        assert!(!push.task.is_finished());
        server.door.behind.send_replace(false);
        assert!(push.task.await.expect("the push").result.is_ok());
    });
}

#[test]
fn a_bot_never_runs_twice() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live_with_bot().await;
        server.deploy("hello", COMMIT_B).await;
        server.alive(&["bot.1-v2 up", "web.1-v2 up"]).await;
        assert_eq!(server.machine.started(), ["web.1-v1", "bot.1-v1", "web.1-v2", "bot.1-v2"]);
    });
}

#[test]
fn a_bot_that_crashes_brings_the_old_one_back() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live_with_bot().await;
        site.builders.boot(COMMIT_B, "bot", Boot::Crash(vec!["login failed".to_owned()]));
        let pushed = server.push("hello", COMMIT_B).await;
        assert_eq!(pushed.result.expect_err("refused").what, "v2 refused (bot.1 exited 1 before it was ready); v1 keeps serving");
        server.alive(&["bot.1-v1 up", "web.1-v1 up"]).await;
        assert_eq!(server.machine.started(), ["web.1-v1", "bot.1-v1", "web.1-v2", "bot.1-v2", "bot.1-v1"]);
        assert!(!server.door.told().iter().any(|told| told.contains("v2")), "{:?}", server.door.told());
    });
}

#[test]
fn a_new_bot_waits_until_the_old_one_is_gone() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live_with_bot().await;
        lock(&server.machine.state).undying.insert("bot".parse().expect("type"));
        let push = server.begin_push("hello", COMMIT_B);
        server.alive(&["bot.1-v1 stuck", "web.1-v1 up", "web.1-v2 up"]).await;
        let pushed = server.while_time_passes(Duration::from_mins(31), push.task).await.expect("the push");
        assert_eq!(pushed.result.expect_err("refused").what, "v2 refused (not ready after 30 min); v1 keeps serving");
        assert!(!server.machine.started().contains(&"bot.1-v2".to_owned()));
    });
}

#[test]
fn a_release_phase_that_takes_too_long_is_killed() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, &[("web", "serve"), ("release", "migrate")]);
    site.while_up(async |server| {
        server.create("hello").await;
        *lock(&server.engine.one_off_end) = OneOffEnd::UntilKilled;
        let push = server.begin_push("hello", COMMIT_A);
        let pushed = server.while_time_passes(Duration::from_secs(610), push.task).await.expect("the push");
        assert_eq!(pushed.result.expect_err("refused").what, "v1 refused (release phase took longer than 600 s); nothing serves yet");
    });
}

#[test]
fn a_cancelled_release_phase_is_killed_and_the_next_push_works() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, &[("web", "serve"), ("release", "migrate")]);
    site.while_up(async |server| {
        server.create("hello").await;
        *lock(&server.engine.one_off_end) = OneOffEnd::UntilKilled;
        let push = server.begin_push("hello", COMMIT_A);
        until("the release phase runs", async || (lock(&server.engine.one_offs).len() == 1).then_some(())).await;
        push.cancel.send_replace(true);
        assert_eq!(push.task.await.expect("the push").result.expect_err("cancelled").what, "v1 refused (cancelled); nothing serves yet");
        *lock(&server.engine.one_off_end) = OneOffEnd::Code(0);
        server.deploy("hello", COMMIT_A).await;
        server.alive(&["web.1-v2 up"]).await;
    });
}

#[test]
fn a_vanished_process_type_stops_with_the_switch() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live_with_bot().await;
        site.builders.commit(COMMIT_B, &[("web", "serve")]);
        server.deploy("hello", COMMIT_B).await;
        server.alive(&["web.1-v2 up"]).await;
    });
}

#[test]
fn a_release_that_answers_500_is_refused_unless_the_old_one_did_too() {
    let site = Site::new();
    for commit in [COMMIT_A, COMMIT_B] {
        site.builders.commit(commit, &[("web", "serve")]);
    }
    site.builders.boot(COMMIT_B, "web", Boot::Ill);
    site.while_up(async |server| {
        server.create("hello").await;
        server.deploy("hello", COMMIT_A).await;
        let failure = server.push("hello", COMMIT_B).await.result.expect_err("refused");
        assert_eq!(failure.what, "v2 refused (GET / -> 500); v1 keeps serving");
        server.alive(&["web.1-v1 up"]).await;
        server.create("ill").await;
        let first = server.deploy("ill", COMMIT_B).await;
        let warning = " !     GET / -> 500: taken all the same, there is no release before it to compare with";
        assert!(first.lines.contains(&warning.to_owned()), "{first:?}");
        server.deploy("ill", COMMIT_B).await;
        server.deploy("ill", COMMIT_A).await;
    });
}
