//! `stop --all`: nothing starts after it.

use api::status::StopAll;
use api::wire::FromServer;
use control::access::Actor;
use serde_json::json;

use super::support::engine::OneOffEnd;
use super::support::{COMMIT_A, COMMIT_B, Site, lock, until};

const WEB: &[(&str, &str)] = &[("web", "serve")];

#[test]
fn stopping_everything_ends_the_server_last() {
    let site = Site::new();
    site.while_up(async |server| {
        server.ask(StopAll {}).await.expect("stopped");
        assert_eq!(*lock(&server.host.stops), ["apps", "database", "router", "server"]);
        let events = server.ask(api::events::Events { app: None, lines: 10 }).await.expect("events").events;
        assert_eq!(events.iter().map(|event| event.code.as_str()).collect::<Vec<_>>(), ["server.started", "server.stopped"]);
    });
}

#[test]
fn stopping_everything_ends_what_is_under_way_and_refuses_what_waits() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        *lock(&server.engine.one_off_end) = OneOffEnd::UntilKilled;
        let run = server.begin(Actor::Operator, "run", json!({"app": "hello", "command": ["top"]}));
        until("it runs", async || (!lock(&server.engine.one_offs).is_empty()).then_some(())).await;
        server.builders.held.send_replace(true);
        let building = server.begin_push("hello", COMMIT_B);
        until("the build runs", async || (lock(&server.builders.asked).len() == 2).then_some(())).await;
        let waiting = server.begin_push("hello", COMMIT_A);
        server.settle().await;
        server.ask(StopAll {}).await.expect("stopped");
        assert_eq!(building.task.await.expect("the push").result.expect_err("cancelled").code, "build.cancelled");
        assert_eq!(waiting.task.await.expect("the push").result.expect_err("too late").code, "server.stopping");
        assert!(matches!(run.answer.await, Ok(FromServer::Exit(137))));
        let create = api::apps::Create { name: None, no_database: false };
        assert_eq!(server.ask(create).await.expect_err("too late").code, "server.stopping");
        let run = server.begin(Actor::Operator, "run", json!({"app": "hello", "command": ["top"]})).answer.await;
        assert!(matches!(run, Ok(FromServer::Failure(failure)) if failure.code == "server.stopping"));
    });
}

#[test]
fn what_starts_at_the_moment_of_a_stop_is_waited_for() {
    let site = Site::new();
    site.while_up(async |server| {
        server.engine.preparing_held.send_replace(true);
        let create = server.begin(Actor::Operator, "apps:create", json!({"name": "hello"}));
        until("folders are made", async || (!lock(&server.engine.prepared).is_empty()).then_some(())).await;
        let stop = server.begin(Actor::Operator, "stop", json!({}));
        server.settle().await;
        assert!(lock(&server.host.stops).is_empty(), "an app is being made");
        server.engine.preparing_held.send_replace(false);
        assert!(matches!(create.answer.await, Ok(FromServer::Reply(_))));
        assert!(matches!(stop.answer.await, Ok(FromServer::Reply(_))));
    });
}
