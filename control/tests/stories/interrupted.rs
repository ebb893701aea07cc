//! A server that is killed at any moment, and the next one.

use std::sync::atomic::Ordering;

use super::support::instances::Boot;
use super::support::{COMMIT_A, COMMIT_B, Site, lock, until};

const WEB: &[(&str, &str)] = &[("web", "serve")];
const BOT: &[(&str, &str)] = &[("web", "serve"), ("bot", "bot.py")];

#[test]
fn a_server_killed_before_the_flip_fails_the_candidate_and_serves_the_old_release() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live_with_bot().await;
        site.builders.boot(COMMIT_B, "bot", Boot::Hang);
        drop(server.begin_push("hello", COMMIT_B));
        server.alive(&["web.1-v1 up", "bot.1-v2 starting", "web.1-v2 up"]).await;
    });
    assert_eq!(site.machine.alive(), ["web.1-v1 up", "bot.1-v2 starting", "web.1-v2 up"], "the kill stopped nothing");
    site.while_up(async |server| {
        // Processes of the candidate are nobody's: the target does not hold it.
        server.alive(&["bot.1-v1 up", "web.1-v1 up"]).await;
        server.routed("hello", "web.1-v1").await;
        assert_eq!(server.releases("hello").await, ["v2 failed", "v1 current"]);
        assert_eq!(server.builds("hello").await, ["2 interrupted", "1 succeeded"]);
        assert_eq!(server.machine.started().iter().filter(|s| *s == "web.1-v1").count(), 1, "the old web was adopted");
        site.builders.boot(COMMIT_B, "bot", Boot::Ready);
        server.deploy("hello", COMMIT_B).await;
        server.alive(&["bot.1-v3 up", "web.1-v3 up"]).await;
    });
}

#[test]
fn a_server_killed_after_the_flip_serves_the_new_release() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        server.door.busy.send_replace(true);
        drop(server.begin_push("hello", COMMIT_B));
        until("the flip is stored", async || (server.releases("hello").await[0] == "v2 current").then_some(())).await;
    });
    site.while_up(async |server| {
        server.alive(&["web.1-v2 up"]).await;
        server.routed("hello", "web.1-v2").await;
        assert_eq!(server.releases("hello").await, ["v2 current", "v1 superseded"]);
        assert!(!server.door.told().contains(&"hello: web.1-v1".to_owned()));
    });
}

#[test]
fn a_server_killed_during_a_build_leaves_an_interrupted_build() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.while_up(async |server| {
        server.create("hello").await;
        server.builders.held.send_replace(true);
        drop(server.begin_push("hello", COMMIT_A));
        until("the build runs", async || (lock(&server.builders.asked).len() == 1).then_some(())).await;
    });
    site.builders.held.send_replace(false);
    site.while_up(async |server| {
        assert_eq!(server.builds("hello").await, ["1 interrupted"]);
        assert_eq!(server.events("hello").await.last().map(String::as_str), Some("build.interrupted"));
        server.deploy("hello", COMMIT_A).await;
    });
}

#[test]
fn a_new_server_adopts_what_runs_and_tells_nothing_twice() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(BOT).await;
        server.scale("hello", &["bot=1", "web=2"]).await;
        server.alive(&["bot.1-v1 up", "web.1-v1 up", "web.2-v1 up"]).await;
        until("it is told", async || {
            (lock(&server.logs.written).iter().filter(|l| l.contains("starting to up")).count() == 3).then_some(())
        })
        .await;
    });
    let (started, written) = (site.machine.started(), lock(&site.logs.written).clone());
    site.while_up(async |server| {
        server.routed("hello", "web.1-v1 web.2-v1").await;
        assert_eq!(server.machine.started(), started);
        assert_eq!(*lock(&server.logs.written), written);
    });
}

#[test]
fn pushes_that_were_not_settled_are_settled_at_the_next_start() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.while_up(async |server| {
        for name in ["moved", "lost"] {
            server.create(name).await;
            let reference = format!("refs/heads/{name}").parse().expect("a ref");
            server.control.push_begun(&server.app(name), reference, &"0".repeat(40), COMMIT_A).await.expect("begun");
        }
    });
    lock(&site.repositories.refs).insert("refs/heads/moved".to_owned(), COMMIT_A.to_owned());
    site.while_up(async |server| {
        assert_eq!(server.events("moved").await.last().map(String::as_str), Some("push.moved"));
        assert_eq!(server.events("lost").await.last().map(String::as_str), Some("push.lost"));
    });
    site.while_up(async |server| {
        assert_eq!(server.events("lost").await.iter().filter(|code| code.starts_with("push.")).count(), 1, "settled once");
    });
}

#[test]
fn a_database_that_is_down_keeps_no_server_from_starting() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        // As a server leaves it that was killed before it had made the database.
        let app = control::store::NewApp {
            name: "half".parse().expect("a name"),
            ports: 8_109..=8_109,
            ports_in_use: [].into(),
            database: control::store::DatabaseKind::Postgresql,
        };
        let event = control::store::NewEvent::new(0, "operator", control::store::EventCode::AppCreated, "made");
        site.store.create_app(app, event).await.expect("created");
    });
    site.databases.broken.store(true, Ordering::SeqCst);
    site.while_up(async |server| {
        server.routed("hello", "web.1-v1").await;
        server.deploy("hello", COMMIT_A).await;
        assert_eq!(server.push("half", COMMIT_A).await.result.expect_err("no database").code, "database.unavailable");
    });
}

#[test]
fn an_app_whose_environment_cannot_be_told_is_not_started_and_says_why() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.while_up(async |server| {
        for name in ["hello", "other"] {
            server.create(name).await;
            server.deploy(name, COMMIT_A).await;
        }
        lock(&site.databases.lost).insert(server.app("hello").identity.number);
    });
    site.while_up(async |server| {
        server.alive(&["web.1-v1 up"]).await;
        server.routed("hello", "stopped").await;
        server.routed("other", "web.1-v1").await;
        assert_eq!(server.events("hello").await.last().map(String::as_str), Some("app.not_started"));
        let status = server.ask(api::status::Status {}).await.expect("status");
        assert_eq!(status.apps[0].trouble.as_deref(), Some("not started: the database cluster cannot be used"));
        let restart = api::ps::Restart { app: "hello".to_owned(), what: None };
        assert_eq!(server.ask(restart).await.expect_err("not started").code, "app.not_started");
        lock(&site.databases.lost).clear();
        server.deploy("hello", COMMIT_A).await;
        server.routed("hello", "web.1-v2").await;
        assert_eq!(server.ask(api::status::Status {}).await.expect("status").apps[0].trouble, None);
    });
}

#[test]
fn an_app_that_was_destroyed_is_wiped_by_the_next_server_if_need_be() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("hello").await;
        let app = server.app("hello").identity.number;
        let event = control::store::NewEvent::new(0, "operator", control::store::EventCode::AppDestroyed, "gone");
        // As a server leaves it that is killed right after.
        site.store.destroy_app(app, event).await.expect("destroyed");
    });
    site.while_up(async |server| {
        until("it is wiped", async || site.store.unwiped_apps().await.expect("apps").is_empty().then_some(())).await;
        assert_eq!(lock(&server.engine.removed).len(), 1);
        assert_eq!(lock(&site.databases.removed).len(), 1);
    });
}

#[test]
fn an_app_whose_making_was_interrupted_is_made_whole_by_the_next_server() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.while_up(async |_| {
        let app = control::store::NewApp {
            name: "hello".parse().expect("a name"),
            ports: 8_101..=8_101,
            ports_in_use: [].into(),
            database: control::store::DatabaseKind::Postgresql,
        };
        let event = control::store::NewEvent::new(0, "operator", control::store::EventCode::AppCreated, "made");
        // As a server leaves it that is killed right after.
        site.store.create_app(app, event).await.expect("created");
    });
    site.while_up(async |server| {
        let number = server.app("hello").identity.number;
        assert_eq!(*lock(&server.engine.prepared), [number]);
        assert_eq!(*lock(&site.repositories.created), [number]);
        server.deploy("hello", COMMIT_A).await;
    });
    site.while_up(async |server| assert!(lock(&server.engine.prepared).is_empty(), "what has a release is whole"));
}

#[test]
fn what_only_tells_or_tidies_keeps_no_server_from_starting() {
    let site = Site::on_disk();
    site.while_up(async |server| {
        server.live(WEB).await;
        server
            .control
            .push_begun(&server.app("hello"), "refs/heads/main".parse().expect("a ref"), COMMIT_B, COMMIT_A)
            .await
            .expect("begun");
    });
    let _full = site.sabotage("INSERT ON events");
    site.keys.broken.store(true, Ordering::SeqCst);
    site.while_up(async |server| server.routed("hello", "web.1-v1").await);
}
