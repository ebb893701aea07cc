//! Builds: their records, whoever stops them and however they end.

use std::sync::Arc;

use api::builds::{Cancel, Deploy, Rebuild};
use api::{Failure, Kind};

use super::support::builders::Outcome;
use super::support::instances::Boot;
use super::support::pushes::Push;
use super::support::{COMMIT_A, COMMIT_B, COMMIT_C, Server, Site, lock, until};

const WEB: &[(&str, &str)] = &[("web", "serve")];

async fn building(server: &Server, count: usize) {
    until("the build runs", async || (lock(&server.builders.asked).len() == count).then_some(())).await;
}

async fn held_push(server: &Server) -> Push {
    server.create("hello").await;
    server.builders.held.send_replace(true);
    let push = server.begin_push("hello", COMMIT_A);
    building(server, 1).await;
    push
}

#[test]
fn a_cancelled_build_changes_nothing_and_says_so() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.while_up(async |server| {
        let push = held_push(&server).await;
        push.cancel.send_replace(true);
        let pushed = push.task.await.expect("the push");
        assert_eq!(pushed.result.expect_err("cancelled").code, "build.cancelled");
        assert_eq!(server.builds("hello").await, ["1 cancelled"]);
        assert_eq!(server.events("hello").await.last().map(String::as_str), Some("build.cancelled"));
    });
}

#[test]
fn builds_cancel_ends_the_build_that_runs() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.while_up(async |server| {
        let push = held_push(&server).await;
        let reply = server.ask(Cancel { app: "hello".to_owned() }).await.expect("cancelled");
        assert_eq!(reply.number, Some(1));
        assert!(push.task.await.expect("the push").result.is_err());
        assert_eq!(server.builds("hello").await, ["1 cancelled"]);
        let reply = server.ask(Cancel { app: "hello".to_owned() }).await.expect("nothing to cancel");
        assert_eq!(reply.number, None);
    });
}

#[test]
fn a_build_whose_source_broke_off_failed_for_that_reason() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("hello").await;
        server.builders.held.send_replace(true);
        let reason = Arc::default();
        let push = server.begin_push_with("hello", COMMIT_A, Arc::clone(&reason), false);
        building(&server, 1).await;
        reason.set(Failure::new(Kind::Failed, "source.lfs", "big.bin is a Git LFS pointer")).expect("first");
        push.cancel.send_replace(true);
        assert_eq!(push.task.await.expect("the push").result.expect_err("failed").code, "source.lfs");
        assert_eq!(server.builds("hello").await, ["1 failed"]);
    });
}

#[test]
fn a_deploy_that_nobody_waits_for_any_more_is_cancelled_and_recorded() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.while_up(async |server| {
        let push = held_push(&server).await;
        push.task.abort();
        until("the record is closed", async || (server.builds("hello").await == ["1 cancelled"]).then_some(())).await;
        server.builders.held.send_replace(false);
        server.deploy("hello", COMMIT_A).await;
    });
}

#[test]
fn a_panic_in_a_build_is_a_failed_build() {
    let site = Site::new();
    site.builders.outcome(COMMIT_A, Outcome::Panics);
    site.builders.commit(COMMIT_B, WEB);
    site.while_up(async |server| {
        server.create("hello").await;
        assert_eq!(server.push("hello", COMMIT_A).await.result.expect_err("a bug").kind, Kind::Internal);
        assert_eq!(server.builds("hello").await, ["1 failed"]);
        server.deploy("hello", COMMIT_B).await;
    });
}

#[test]
fn a_cancel_before_the_flip_brings_the_old_release_back_in_full() {
    let site = Site::new();
    site.builders.boot(COMMIT_B, "bot", Boot::Hang);
    site.while_up(async |server| {
        server.live_with_bot().await;
        let push = server.begin_push("hello", COMMIT_B);
        server.alive(&["web.1-v1 up", "bot.1-v2 starting", "web.1-v2 up"]).await;
        push.cancel.send_replace(true);
        let failure = push.task.await.expect("the push").result.expect_err("cancelled");
        assert_eq!(failure.what, "v2 refused (cancelled); v1 keeps serving");
        server.alive(&["bot.1-v1 up", "web.1-v1 up"]).await;
        assert_eq!(server.releases("hello").await, ["v2 failed", "v1 current"]);
        assert_eq!(server.builds("hello").await, ["2 cancelled", "1 succeeded"]);
    });
}

#[test]
fn a_cancel_after_the_flip_comes_too_late() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.while_up(async |server| {
        server.create("hello").await;
        let push = server.begin_push("hello", COMMIT_A);
        server.routed("hello", "web.1-v1").await;
        push.cancel.send_replace(true);
        let pushed = push.task.await.expect("the push");
        assert!(matches!(pushed.result, Ok(Some(_))), "{pushed:?}");
        assert_eq!(server.builds("hello").await, ["1 succeeded"]);
        assert_eq!(server.releases("hello").await, ["v1 current"]);
    });
}

#[test]
fn one_build_at_a_time_per_box() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.builders.commit(COMMIT_B, WEB);
    site.while_up(async |server| {
        let first = held_push(&server).await;
        server.create("other").await;
        let second = server.begin_push("other", COMMIT_B);
        until("the second build is recorded", async || (server.builds("other").await == ["1 running"]).then_some(())).await;
        assert_eq!(lock(&server.builders.asked).len(), 1);
        server.builders.held.send_replace(false);
        assert!(first.task.await.expect("first").result.is_ok());
        let second = second.task.await.expect("second");
        assert!(second.result.is_ok());
        assert_eq!(second.lines.first().map(String::as_str), Some("-----> Waiting for another build on this box to end"));
        assert_eq!(*lock(&server.builders.most), 1);
    });
}

#[test]
fn a_build_that_waits_for_another_can_be_cancelled() {
    let site = Site::new();
    site.while_up(async |server| {
        let _first = held_push(&server).await;
        server.create("other").await;
        let second = server.begin_push("other", COMMIT_B);
        until("the second build is recorded", async || (server.builds("other").await == ["1 running"]).then_some(())).await;
        second.cancel.send_replace(true);
        assert!(second.task.await.expect("second").result.is_err());
        assert_eq!(server.builds("other").await, ["1 cancelled"]);
    });
}

#[test]
fn a_full_disk_is_found_before_the_build() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    *lock(&site.builders.free_bytes) = 100_000_000;
    site.while_up(async |server| {
        server.create("hello").await;
        let pushed = server.push("hello", COMMIT_A).await;
        insta::assert_snapshot!(pushed.lines.join("\n"), @r"
        !     the disk is too full to build: 100.0 MB free of 200.0 GB
              a build needs at least 268.4 MB
              fix: remove what is not needed any more: `paas builds:cache purge`, `paas apps:destroy` of old apps; then push again
        ");
        assert!(lock(&server.builders.asked).is_empty());
        assert_eq!(server.builds("hello").await, ["1 refused"]);
        assert_eq!(server.events("hello").await.last().map(String::as_str), Some("build.refused"));
    });
}

#[test]
fn deploy_and_rebuild_need_no_push() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.while_up(async |server| {
        server.create("hello").await;
        let deploy = |reference: Option<&str>| Deploy { app: "hello".to_owned(), reference: reference.map(str::to_owned) };
        assert_eq!(server.ask(deploy(None)).await.expect_err("empty").code, "deploy.nothing");
        assert_eq!(server.ask(deploy(Some("x"))).await.expect_err("no such").code, "deploy.no_such_ref");
        assert_eq!(server.ask(Rebuild { app: "hello".to_owned() }).await.expect_err("empty").code, "deploy.nothing");
        lock(&server.repositories.refs).insert("refs/heads/main".to_owned(), COMMIT_A.to_owned());
        assert_eq!(server.ask(deploy(None)).await.expect("deployed").release, "v1");
        let rebuilt = server.ask(Rebuild { app: "hello".to_owned() }).await.expect("rebuilt");
        assert_eq!((rebuilt.release.as_str(), rebuilt.commit.as_str()), ("v2", COMMIT_A));
        let releases = server.ask(api::releases::Releases { app: "hello".to_owned() }).await.expect("releases").releases;
        assert_eq!(releases[0].description, "Rebuild aaaaaaa");
        assert_eq!(lock(&server.builders.asked).len(), 2);
    });
}

#[test]
fn lines_of_a_deploy_arrive_before_its_answer() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.while_up(async |server| {
        server.create("hello").await;
        let body = serde_json::json!({"app": "hello", "reference": COMMIT_A});
        let frames = server.converse(control::access::Actor::Operator, "deploy", body).await;
        let texts: Vec<_> =
            frames.iter().filter_map(|f| if let api::wire::FromServer::Line(line) = f { Some(line.as_str()) } else { None }).collect();
        assert!(texts.last().is_some_and(|line| line.ends_with("in all")), "{texts:?}");
        assert!(matches!(frames.last(), Some(api::wire::FromServer::Reply(_))));
        assert_eq!(texts.len() + 1, frames.len());
    });
}

#[test]
fn a_refused_push_leaves_a_record_with_its_reason() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("hello").await;
        let failure = control::push::moved("refs/heads/main");
        server.control.refuse_push(&server.app("hello"), "anna", COMMIT_C, &failure).await;
        let builds = server.ask(api::builds::Builds { app: "hello".to_owned() }).await.expect("builds").builds;
        assert_eq!((builds[0].state.as_str(), builds[0].actor.as_str()), ("refused", "anna"));
        assert_eq!(builds[0].failure.as_deref(), Some("refs/heads/main has moved since this push began"));
        let output = server.ask(api::builds::Output { app: "hello".to_owned(), number: Some(1) }).await.expect("output");
        assert_eq!(output.lines[0], " !     refs/heads/main has moved since this push began");
    });
}
