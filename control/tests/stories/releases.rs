//! `rollback` and `releases`.

use std::collections::BTreeMap;

use api::releases::{Info, Rollback};

use super::support::engine::OneOffEnd;
use super::support::instances::Boot;
use super::support::{COMMIT_A, COMMIT_B, COMMIT_C, Server, Site, lock};

async fn roll_back(server: &Server, to: Option<&str>, run_release: bool) -> Result<api::releases::RollbackReply, api::Failure> {
    server.ask(Rollback { app: "hello".to_owned(), version: to.map(str::to_owned), run_release }).await
}

async fn set(server: &Server, key: &str, value: &str) {
    let change =
        api::config::Change { app: "hello".to_owned(), set: [(key.to_owned(), value.to_owned())].into(), unset: vec![], no_restart: false };
    server.ask(change).await.expect("set");
}

async fn config(server: &Server) -> BTreeMap<String, String> {
    server.ask(api::config::Get { app: "hello".to_owned() }).await.expect("config").vars
}

#[test]
fn a_rollback_takes_slug_and_config_of_its_target_and_runs_no_release_phase() {
    let site = Site::new();
    let procfile = &[("web", "serve"), ("release", "migrate")];
    site.while_up(async |server| {
        server.live(procfile).await;
        set(&server, "COLOUR", "blue").await;
        set(&server, "COLOUR", "red").await;
        server.deploy("hello", COMMIT_B).await;
        let phases = lock(&server.engine.one_offs).len();
        let reply = roll_back(&server, Some("v2"), false).await.expect("rolled back");
        assert_eq!((reply.to.as_str(), reply.release.as_str()), ("v2", "v5"));
        assert_eq!(lock(&server.engine.one_offs).len(), phases, "old code rarely knows newer migrations");
        assert_eq!(config(&server).await["COLOUR"], "blue");
        server.alive(&["web.1-v5 up"]).await;
        let info = server.ask(Info { app: "hello".to_owned(), version: None }).await.expect("info");
        assert_eq!((info.row.version.as_str(), info.source_version.as_str()), ("v5", COMMIT_A));
        assert_eq!(info.row.description, "Rollback to v2");
    });
}

#[test]
fn a_rollback_runs_the_release_phase_when_asked() {
    let site = Site::new();
    let procfile = &[("web", "serve"), ("release", "migrate")];
    site.while_up(async |server| {
        server.live(procfile).await;
        server.deploy("hello", COMMIT_B).await;
        *lock(&server.engine.one_off_end) = OneOffEnd::Code(1);
        let failure = roll_back(&server, None, true).await.expect_err("refused");
        assert_eq!(failure.what, "v3 refused (release phase exited 1); v2 keeps serving; nothing was rolled back");
        *lock(&server.engine.one_off_end) = OneOffEnd::Code(0);
        assert_eq!(roll_back(&server, None, true).await.expect("rolled back").to, "v1");
        assert_eq!(lock(&server.engine.one_offs).last().map(String::as_str), Some("release.1 v4: migrate"));
    });
}

#[test]
fn only_a_release_that_served_can_be_rolled_back_to() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, &[("web", "serve")]);
    site.builders.commit(COMMIT_B, &[("web", "serve")]);
    site.builders.boot(COMMIT_B, "web", Boot::Crash(vec![]));
    site.while_up(async |server| {
        server.create("hello").await;
        assert_eq!(roll_back(&server, None, false).await.expect_err("nothing").code, "release.not_found");
        server.deploy("hello", COMMIT_A).await;
        server.push("hello", COMMIT_B).await.result.expect_err("refused");
        let failure = roll_back(&server, Some("v2"), false).await.expect_err("never served");
        assert_eq!(failure.code, "rollback.never_served");
        assert_eq!(failure.why.as_deref(), Some("v2 refused (web.1 exited 1 before it was ready); v1 keeps serving"));
        assert_eq!(roll_back(&server, Some("v1"), false).await.expect_err("current").code, "rollback.is_current");
        assert_eq!(roll_back(&server, Some("v9"), false).await.expect_err("none").code, "release.not_found");
        assert_eq!(roll_back(&server, Some("x"), false).await.expect_err("no version").code, "invalid.release");
    });
}

#[test]
fn a_rollback_keeps_the_scale_of_the_types_it_knows() {
    let site = Site::new();
    site.builders.commit(COMMIT_C, &[("web", "serve")]);
    site.while_up(async |server| {
        server.live(&[("web", "serve"), ("bot", "bot.py")]).await;
        server.deploy("hello", COMMIT_C).await;
        server.scale("hello", &["web=2"]).await;
        roll_back(&server, Some("v1"), false).await.expect("rolled back");
        server.alive(&["web.1-v3 up", "web.2-v3 up"]).await;
    });
}

#[test]
fn a_rollback_whose_author_gave_up_during_its_switch_is_not_made() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(&[("web", "serve")]).await;
        server.deploy("hello", COMMIT_B).await;
        server.alive(&["web.1-v2 up"]).await;
        site.builders.boot(COMMIT_A, "web", Boot::Hang);
        let asked = server.begin(control::access::Actor::Operator, "rollback", serde_json::json!({"app": "hello"}));
        server.alive(&["web.1-v2 up", "web.1-v3 starting"]).await;
        asked.cancel.send_replace(true);
        let Ok(api::wire::FromServer::Failure(failure)) = asked.answer.await else { panic!("it was refused") };
        assert_eq!(failure.what, "v3 refused (cancelled); v2 keeps serving; nothing was rolled back");
        server.alive(&["web.1-v2 up"]).await;
    });
}
