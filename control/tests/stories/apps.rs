//! Apps: made, named, destroyed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api::apps::{Create, Destroy, Info, Rename, Set};
use api::wire::FromServer;
use control::access::Actor;

use super::support::{COMMIT_A, COMMIT_B, Site, lock, until};

fn create(name: &str) -> Create {
    Create { name: Some(name.to_owned()), no_database: false }
}

fn destroy(name: &str) -> Destroy {
    Destroy { app: name.to_owned(), confirm: name.to_owned() }
}

#[test]
fn a_new_app_says_where_it_will_be() {
    let site = Site::new();
    site.while_up(async |server| {
        let reply = server.ask(create("hello")).await.expect("created");
        assert_eq!(reply.url, "http://hello.box.example/");
        assert_eq!(reply.port_url, "http://10.0.0.2:8101/");
        assert_eq!(reply.ssh_remote, "paas@10.0.0.2:hello");
        assert_eq!(reply.local_remote, "file:///hello");
        assert_eq!(server.ask(create("hello")).await.expect_err("taken").code, "app.name_taken");
        assert_eq!(server.ask(create("Hello!")).await.expect_err("invalid").code, "invalid.app_name");
        let made_up = server.ask(Create { name: None, no_database: true }).await.expect("created");
        assert_eq!((made_up.database.as_str(), made_up.port_url.as_str()), ("none", "http://10.0.0.2:8103/"), "8102 is a stranger's");
        assert_eq!(server.ask(api::apps::Apps {}).await.expect("apps").apps.len(), 2);
    });
}

#[test]
fn a_database_that_fails_leaves_no_half_made_app() {
    let site = Site::new();
    site.databases.broken.store(true, Ordering::SeqCst);
    site.while_up(async |server| {
        assert_eq!(server.ask(create("hello")).await.expect_err("no database").code, "database.unavailable");
        assert!(server.ask(api::apps::Apps {}).await.expect("apps").apps.is_empty());
        assert!(site.store.apps().await.expect("apps").is_empty());
        assert!(site.store.unwiped_apps().await.expect("apps").is_empty());
        assert_eq!(*lock(&server.engine.prepared), *lock(&server.engine.removed));
        site.databases.broken.store(false, Ordering::SeqCst);
        server.create("hello").await;
    });
}

#[test]
fn destroying_needs_the_name_stops_everything_and_frees_the_name() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live_with_bot().await;
        let wrong = Destroy { app: "hello".to_owned(), confirm: "helo".to_owned() };
        assert_eq!(server.ask(wrong).await.expect_err("not confirmed").code, "app.not_confirmed");
        server.ask(destroy("hello")).await.expect("destroyed");
        assert!(server.machine.alive().is_empty());
        assert_eq!(server.door.told().last().map(String::as_str), Some("hello: gone"));
        assert_eq!(lock(&site.databases.removed).len(), 1);
        assert_eq!(server.ask(Info { app: "hello".to_owned() }).await.expect_err("gone").code, "app.not_found");
        server.create("hello").await;
        assert!(server.releases("hello").await.is_empty(), "the new app inherits nothing");
    });
}

#[test]
fn an_app_with_nothing_running_can_be_destroyed() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live_with_bot().await;
        server.ask(api::ps::Stop { app: "hello".to_owned() }).await.expect("stopped");
        server.alive(&[]).await;
        server.ask(destroy("hello")).await.expect("destroyed");
        server.create("empty").await;
        server.ask(destroy("empty")).await.expect("destroyed");
    });
}

#[test]
fn destroying_cancels_the_build_and_the_switch_under_way() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live_with_bot().await;
        let switching = server.hung_switch().await;
        let waiting = server.begin_push("hello", COMMIT_A);
        server.settle().await;
        server.builders.held.send_replace(true);
        server.while_time_passes(Duration::from_mins(1), server.ask(destroy("hello"))).await.expect("destroyed");
        assert!(switching.task.await.expect("the push").result.is_err());
        assert!(waiting.task.await.expect("the push").result.is_err());
        assert!(server.machine.alive().is_empty());
    });
}

#[test]
fn an_app_with_an_undying_process_can_be_destroyed_all_the_same() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live_with_bot().await;
        lock(&server.machine.state).undying.insert("bot".parse().expect("type"));
        server.while_time_passes(Duration::from_mins(2), server.ask(destroy("hello"))).await.expect("destroyed");
        assert_eq!(server.machine.alive(), ["bot.1-v1 stuck"]);
        server.create("hello").await;
    });
}

#[test]
fn a_renamed_app_runs_and_serves_under_its_new_name() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live_with_bot().await;
        let reply = server.ask(Rename { app: "hello".to_owned(), to: "greeter".to_owned() }).await.expect("renamed");
        assert_eq!(reply.url, "http://greeter.box.example/");
        assert_eq!(reply.port_url, "http://10.0.0.2:8101/", "the lasting port lasts");
        server.alive(&["bot.1-v1 up", "web.1-v1 up"]).await;
        server.routed("greeter", "web.1-v1").await;
        assert_eq!(server.door.pool("hello"), None);
        assert_eq!(server.ask(Info { app: "hello".to_owned() }).await.expect_err("gone").code, "app.not_found");
        server.deploy("greeter", COMMIT_B).await;
        server.alive(&["bot.1-v2 up", "web.1-v2 up"]).await;
        server.create("hello").await;
        let taken = server.ask(Rename { app: "hello".to_owned(), to: "greeter".to_owned() }).await;
        assert_eq!(taken.expect_err("taken").code, "app.name_taken");
        server.scale("hello", &[]).await;
    });
}

#[test]
fn a_push_that_waited_for_a_rename_is_told_that_the_app_went_away() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live_with_bot().await;
        let old = server.app("hello");
        let turn = old.deploying.clone().lock_owned().await;
        let push = server.begin_push("hello", COMMIT_B);
        server.settle().await;
        // What a rename does while it has the turn.
        old.close().await.expect("closed");
        drop(turn);
        assert_eq!(push.task.await.expect("the push").result.expect_err("gone").code, "app.gone");
        until("nothing runs", async || server.machine.alive().is_empty().then_some(())).await;
    });
}

#[test]
fn a_destroy_or_rename_that_cannot_be_stored_leaves_the_app_as_it_was() {
    let site = Site::on_disk();
    site.while_up(async |server| {
        server.live_with_bot().await;
        let full = site.sabotage("UPDATE OF destroyed_unix_ms, name ON apps");
        assert!(server.ask(destroy("hello")).await.is_err());
        assert!(server.ask(Rename { app: "hello".to_owned(), to: "greeter".to_owned() }).await.is_err());
        server.alive(&["bot.1-v1 up", "web.1-v1 up"]).await;
        server.routed("hello", "web.1-v1").await;
        drop(full);
        server.deploy("hello", COMMIT_B).await;
        server.ask(destroy("hello")).await.expect("destroyed");
        assert!(server.machine.alive().is_empty());
    });
}

#[test]
fn the_old_name_is_taken_until_nothing_of_a_renamed_app_has_it() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live_with_bot().await;
        lock(&server.machine.state).undying.insert("bot".parse().expect("type"));
        let rename = server.begin(Actor::Operator, "apps:rename", serde_json::json!({"app": "hello", "to": "greeter"}));
        server.alive(&["bot.1-v1 stuck"]).await;
        assert_eq!(server.ask(create("hello")).await.expect_err("not yet").code, "app.name_taken");
        let renamed = server.while_time_passes(Duration::from_mins(2), rename.answer).await.expect("the answer");
        assert!(matches!(renamed, FromServer::Reply(_)), "{renamed:?}");
        server.create("hello").await;
        assert_eq!(server.door.pool("hello").as_deref(), Some("stopped"));
        assert_ne!(server.app("hello").identity.number, server.app("greeter").identity.number);
    });
}

#[test]
fn settings_are_checked() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("hello").await;
        let set = |key: &str, value: &str| Set { app: "hello".to_owned(), settings: [(key.to_owned(), value.to_owned())].into() };
        let info = server.ask(set("deploy-branch", "live, main")).await.expect("set");
        assert_eq!(info.deploy_branches, ["live", "main"]);
        assert_eq!(server.ask(set("deploy-branch", "")).await.expect("reset").deploy_branches, ["main", "master"]);
        assert!(server.ask(set("deploy-branch", "$(id)")).await.is_err());
        assert_eq!(server.ask(set("colour", "blue")).await.expect_err("unknown").code, "app.bad_setting");
        assert_eq!(server.ask(set("root", "services/api")).await.expect("set").root.as_deref(), Some("services/api"));
        assert!(server.ask(set("root", "../x")).await.is_err());
    });
}
