//! Config changes are releases.

use std::collections::BTreeMap;

use api::Failure;
use api::config::{Change, ChangeReply, Get};
use api::wire::FromServer;
use control::access::Actor;

use super::support::instances::Boot;
use super::support::{COMMIT_A, COMMIT_B, Server, Site, lock, until};

const WEB: &[(&str, &str)] = &[("web", "serve")];

async fn change(server: &Server, set: &[(&str, &str)], unset: &[&str], no_restart: bool) -> Result<ChangeReply, Failure> {
    let set = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let unset = unset.iter().map(|k| (*k).to_owned()).collect();
    server.ask(Change { app: "hello".to_owned(), set, unset, no_restart }).await
}

async fn vars(server: &Server) -> BTreeMap<String, String> {
    server.ask(Get { app: "hello".to_owned() }).await.expect("config").vars
}

#[test]
fn a_config_change_is_a_release() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        let reply = change(&server, &[("COLOUR", "it's \"blue\" & $HOME\n")], &[], false).await.expect("set");
        assert_eq!((reply.release.as_deref(), reply.keys), (Some("v2"), vec!["COLOUR".to_owned()]));
        server.alive(&["web.1-v2 up"]).await;
        assert_eq!(vars(&server).await["COLOUR"], "it's \"blue\" & $HOME\n");
        let again = change(&server, &[("COLOUR", "it's \"blue\" & $HOME\n")], &[], false).await.expect("the same");
        assert!(again.unchanged && again.release.is_none());
        assert_eq!(change(&server, &[], &["COLOUR"], false).await.expect("unset").release.as_deref(), Some("v3"));
        assert_eq!(change(&server, &[], &["COLOUR"], false).await.expect_err("gone").code, "config.not_set");
        let releases = server.ask(api::releases::Releases { app: "hello".to_owned() }).await.expect("releases").releases;
        let causes: Vec<_> = releases.iter().map(|r| r.description.as_str()).collect();
        assert_eq!(causes, ["Unset COLOUR config var", "Set COLOUR config var", "Deploy aaaaaaa"]);
    });
}

#[test]
fn a_config_that_makes_the_app_fail_is_not_saved() {
    let site = Site::new();
    site.builders.boot(COMMIT_A, "web", Boot::CrashWith("BREAK".to_owned()));
    site.while_up(async |server| {
        server.live(WEB).await;
        let failure = change(&server, &[("BREAK", "1")], &[], false).await.expect_err("refused");
        assert_eq!(failure.what, "v2 refused (web.1 exited 1 before it was ready); v1 keeps serving; BREAK not saved");
        assert_eq!(failure.why.as_deref(), Some("its last lines were:\n  BREAK is set"));
        assert!(vars(&server).await.is_empty());
        server.alive(&["web.1-v1 up"]).await;
        // The next change builds on what was saved, not on what was refused.
        assert_eq!(change(&server, &[("FINE", "1")], &[], false).await.expect("set").release.as_deref(), Some("v3"));
        assert_eq!(vars(&server).await.into_keys().collect::<Vec<_>>(), ["FINE"]);
    });
}

#[test]
fn without_a_restart_a_change_waits_for_the_next_release() {
    let site = Site::new();
    site.builders.boot(COMMIT_B, "web", Boot::CrashWith("COLOUR".to_owned()));
    site.while_up(async |server| {
        server.live(WEB).await;
        let reply = change(&server, &[("COLOUR", "blue")], &[], true).await.expect("saved");
        assert_eq!((reply.release, reply.unchanged), (None, false));
        assert_eq!(server.releases("hello").await, ["v1 current"]);
        assert_eq!(server.events("hello").await.last().map(String::as_str), Some("config.saved"));
        assert_eq!(vars(&server).await["COLOUR"], "blue");
        let failure = server.push("hello", COMMIT_B).await.result.expect_err("it sees the new config");
        assert_eq!(failure.why.as_deref(), Some("its last lines were:\n  COLOUR is set"));
        assert_eq!(vars(&server).await["COLOUR"], "blue", "it was saved before that");
    });
}

#[test]
fn before_the_first_release_config_is_saved_alone() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("hello").await;
        assert_eq!(change(&server, &[("COLOUR", "blue")], &[], false).await.expect("saved").release, None);
        assert_eq!(vars(&server).await["COLOUR"], "blue");
    });
}

#[test]
fn a_bad_name_or_value_changes_nothing() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("hello").await;
        assert_eq!(change(&server, &[("GOOD", "1"), ("A-B", "1")], &[], false).await.expect_err("bad").code, "invalid.config_var_name");
        assert!(change(&server, &[("GOOD", "1"), ("PORT", "1")], &[], false).await.is_err());
        assert!(vars(&server).await.is_empty());
    });
}

#[test]
fn what_a_person_sets_hides_the_database_url() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("hello").await;
        let before = server.ask(Get { app: "hello".to_owned() }).await.expect("config");
        assert_eq!(before.addon_vars["DATABASE_URL"], "postgresql://r1:s3cr3t@127.0.0.1:25432/d1");
        change(&server, &[("DATABASE_URL", "mysql://elsewhere")], &[], false).await.expect("saved");
        let after = server.ask(Get { app: "hello".to_owned() }).await.expect("config");
        assert!(after.addon_vars.is_empty());
        assert_eq!(after.vars["DATABASE_URL"], "mysql://elsewhere");
    });
}

#[test]
fn a_change_whose_author_left_the_queue_is_never_made() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.while_up(async |server| {
        server.create("hello").await;
        server.builders.held.send_replace(true);
        let push = server.begin_push("hello", COMMIT_A);
        until("the build runs", async || (lock(&server.builders.asked).len() == 1).then_some(())).await;
        let body = serde_json::json!({"app": "hello", "set": {"LATE": "1"}});
        let mut asked = server.begin(Actor::Operator, "config:set", body);
        let waiting = asked.frames.recv().await;
        assert!(matches!(waiting, Some(FromServer::Line(line)) if line.contains("Waiting for another push")));
        asked.cancel.send_replace(true);
        assert!(matches!(asked.answer.await, Ok(FromServer::Failure(failure)) if failure.code == "request.cancelled"));
        server.builders.held.send_replace(false);
        assert!(push.task.await.expect("the push").result.is_ok());
        assert!(vars(&server).await.is_empty());
    });
}

#[test]
fn a_change_goes_on_to_its_end_when_nobody_waits_for_the_answer() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        {
            let body = serde_json::json!({"app": "hello", "set": {"COLOUR": "blue"}});
            let mut conversation = Box::pin(server.converse(Actor::Operator, "config:set", body));
            let started = std::future::poll_fn(|context| std::task::Poll::Ready(conversation.as_mut().poll(context).is_pending()));
            assert!(started.await, "it takes a moment");
        }
        until("the change is live", async || (server.releases("hello").await == ["v2 current", "v1 superseded"]).then_some(())).await;
    });
}

#[test]
fn a_change_whose_author_gave_up_during_its_switch_is_not_saved() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        site.builders.boot(COMMIT_A, "web", Boot::Hang);
        let asked = server.begin(Actor::Operator, "config:set", serde_json::json!({"app": "hello", "set": {"COLOUR": "blue"}}));
        server.alive(&["web.1-v1 up", "web.1-v2 starting"]).await;
        asked.cancel.send_replace(true);
        let Ok(FromServer::Failure(failure)) = asked.answer.await else { panic!("it was refused") };
        assert_eq!(failure.what, "v2 refused (cancelled); v1 keeps serving; COLOUR not saved");
        assert!(vars(&server).await.is_empty());
        server.alive(&["web.1-v1 up"]).await;
    });
}

#[test]
fn looking_at_a_config_writes_nothing() {
    let site = Site::on_disk();
    site.while_up(async |server| {
        server.create("hello").await;
        let _full = site.sabotage("UPDATE ON addon_values");
        let seen = server.ask(Get { app: "hello".to_owned() }).await.expect("config");
        assert!(seen.addon_vars.contains_key("DATABASE_URL"));
    });
}

#[test]
fn a_build_sees_the_database_and_the_config_vars_which_win() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        let url = || {
            let variables = lock(&server.builders.variables);
            variables.get(&"DATABASE_URL".parse().expect("a key")).expect("DATABASE_URL").reveal().to_owned()
        };
        assert!(url().starts_with("postgresql://"), "{}", url());
        change(&server, &[("DATABASE_URL", "mysql://mine")], &[], false).await.expect("set");
        server.deploy("hello", COMMIT_A).await;
        assert_eq!(url(), "mysql://mine");
    });
}
