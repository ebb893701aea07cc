//! The first minute after a switch.

use std::time::Duration;

use api::releases::Rollback;
use model::{InstanceId, RunId, Traffic};

use super::support::{COMMIT_B, Server, Site, app, lock, until, version};

const WEB: &[(&str, &str)] = &[("web", "serve")];
const MIGRATES: &[(&str, &str)] = &[("web", "serve"), ("release", "migrate")];

/// From now on the router tells this of the run of `web.1` of a release.
fn told(server: &Server, release: u32, requests: u64, errors: u64) {
    let state = lock(&server.machine.state);
    let run = state.instances.iter().find(|(key, _)| key.1 == version(release)).and_then(|(_, i)| i.run.clone()).expect("a run");
    drop(state);
    lock(&server.door.traffic).get_or_insert_default().insert(run, Traffic { requests, errors });
}

async fn pass(server: &Server, seconds: u64) {
    for _ in 0..seconds {
        server.settle().await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    server.settle().await;
}

async fn trouble(server: &Server) -> Option<String> {
    server.ask(api::status::Status {}).await.expect("status").apps.remove(0).trouble
}

#[test]
fn a_release_that_crashes_after_the_switch_is_rolled_back_and_says_so_everywhere() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        server.deploy("hello", COMMIT_B).await;
        pass(&server, 3).await;
        server.crash_again_and_again(2);
        server.routed("hello", "web.1-v3").await;
        until("the old one is gone", async || (server.machine.alive() == ["web.1-v3 up"]).then_some(())).await;
        let words = "v2 was rolled back by itself: web.1 crashes again and again: exited 1 after 0.1 s";
        assert_eq!(server.releases("hello").await, ["v3 current", "v2 failed", "v1 superseded"]);
        assert_eq!(trouble(&server).await.as_deref(), Some(words));
        assert_eq!(server.control.note_before_push(&server.app("hello")).await.as_deref(), Some(words));
        assert!(server.events("hello").await.contains(&"release.rolled_back".to_owned()));
        let logged = "release: v2 was rolled back by itself to v1, as v3: web.1 crashes again and again: exited 1 after 0.1 s";
        until("it is in the log", async || lock(&server.logs.written).iter().any(|line| line == logged).then_some(())).await;
    });
    // The next server knows it too, until a release of people's is live.
    site.while_up(async |server| {
        assert!(trouble(&server).await.is_some_and(|text| text.starts_with("v2 was rolled back by itself")));
        server.deploy("hello", COMMIT_B).await;
        assert_eq!(trouble(&server).await, None);
        assert_eq!(server.control.note_before_push(&server.app("hello")).await, None);
    });
}

#[test]
fn a_release_that_answers_5xx_is_rolled_back_within_its_first_minute() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        told(&server, 1, 1_000, 10);
        server.deploy("hello", COMMIT_B).await;
        told(&server, 2, 19, 19);
        pass(&server, 6).await;
        assert_eq!(server.releases("hello").await[0], "v2 current");
        told(&server, 2, 40, 20);
        pass(&server, 5).await;
        server.routed("hello", "web.1-v3").await;
        assert_eq!(
            trouble(&server).await.as_deref(),
            Some("v2 was rolled back by itself: 20 of 40 requests were answered with 5xx, 10 of 1000 before")
        );
    });
}

#[test]
fn what_goes_wrong_after_the_first_minute_is_no_longer_its_switch() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        told(&server, 1, 1_000, 10);
        server.deploy("hello", COMMIT_B).await;
        told(&server, 2, 10, 0);
        pass(&server, 61).await;
        let asked = server.door.asked.load(std::sync::atomic::Ordering::SeqCst);
        told(&server, 2, 1_000, 990);
        server.crash_again_and_again(2);
        pass(&server, 120).await;
        assert_eq!(server.releases("hello").await[0], "v2 current");
        assert_eq!(server.door.asked.load(std::sync::atomic::Ordering::SeqCst), asked, "nobody asks the router any more");
        assert!(asked <= 11, "asked {asked} times");
    });
}

#[test]
fn a_release_whose_release_phase_ran_is_left_as_it_is_with_a_warning() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(MIGRATES).await;
        server.deploy("hello", COMMIT_B).await;
        told(&server, 2, 100, 100);
        pass(&server, 61).await;
        assert_eq!(server.releases("hello").await[0], "v2 current");
        let text = "v2: 100 of 100 requests were answered with 5xx, 0 of 0 before; it is not rolled back, since its release phase ran";
        assert_eq!(trouble(&server).await.as_deref(), Some(text));
        assert_eq!(server.events("hello").await.iter().filter(|code| *code == "release.warned").count(), 1);
    });
}

#[test]
fn rollbacks_first_releases_and_those_that_were_replaced_are_left_alone() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        server.crash_again_and_again(1);
        pass(&server, 5).await;
        assert_eq!(server.releases("hello").await, ["v1 current"]);
        server.deploy("hello", COMMIT_B).await;
        server.ask(Rollback { app: "hello".to_owned(), version: None, run_release: false }).await.expect("rolled back");
        server.crash_again_and_again(3);
        pass(&server, 5).await;
        assert_eq!(server.releases("hello").await, ["v3 current", "v2 superseded", "v1 superseded"]);
    });
}

#[test]
fn a_new_server_watches_on_and_undoes_a_crash_loop() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        server.deploy("hello", COMMIT_B).await;
        server.settle().await;
    });
    site.while_up(async |server| {
        server.routed("hello", "web.1-v2").await;
        // How the one before did is not known any more.
        let run = RunId { instance: InstanceId::parse(&app("hello"), "web.1").expect("instance"), version: version(2), number: 99 };
        *lock(&server.door.traffic) = Some([(run, Traffic { requests: 50, errors: 50 })].into());
        pass(&server, 6).await;
        assert_eq!(server.releases("hello").await[0], "v2 current");
        assert!(trouble(&server).await.is_some_and(|text| text.ends_with("since how it was before is not known")));
        server.crash_again_and_again(2);
        server.routed("hello", "web.1-v3").await;
    });
}

#[test]
fn a_rollback_that_does_not_come_up_is_told_and_changes_nothing() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        server.deploy("hello", COMMIT_B).await;
        site.builders.boot(super::support::COMMIT_A, "web", super::support::instances::Boot::Crash(vec![]));
        server.crash_again_and_again(2);
        until("it is told", async || {
            lock(&server.logs.written).iter().any(|line| line.contains("and could not be rolled back to v1: v3 refused")).then_some(())
        })
        .await;
        assert_eq!(server.releases("hello").await, ["v3 failed", "v2 current", "v1 superseded"]);
    });
}
