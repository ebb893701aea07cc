//! app.json's `formation` and `scripts`.

use std::time::Duration;

use api::releases::Rollback;

use super::support::engine::OneOffEnd;
use super::support::{COMMIT_A, COMMIT_B, Site, lock, until};

const PROCFILE: &[(&str, &str)] = &[("web", "serve"), ("bot", "bot.py"), ("release", "migrate")];
const SCRIPTS: &str = r#"{"scripts": {"postdeploy": "bin/seed", "dokku": {"predeploy": "bin/assets", "postdeploy": "bin/tell"}}}"#;

fn with_scripts(site: &Site) {
    for commit in [COMMIT_A, COMMIT_B] {
        site.builders.app_json(commit, SCRIPTS);
    }
}

#[test]
fn the_first_deploy_runs_as_many_as_app_json_says_and_later_people_do() {
    let site = Site::new();
    site.builders.app_json(COMMIT_A, r#"{"formation": {"web": {"quantity": 2}, "bot": {"quantity": 1}}}"#);
    site.builders.app_json(COMMIT_B, r#"{"formation": {"web": {"quantity": 3}, "bot": {"quantity": 3}}}"#);
    site.while_up(async |server| {
        server.live(PROCFILE).await;
        server.alive(&["bot.1-v1 up", "web.1-v1 up", "web.2-v1 up"]).await;
        server.scale("hello", &["web=1", "bot=0"]).await;
        server.deploy("hello", COMMIT_B).await;
        server.alive(&["web.1-v2 up"]).await;
    });
}

#[test]
fn deploy_scripts_run_in_their_order_and_the_first_postdeploy_once() {
    let site = Site::new();
    with_scripts(&site);
    site.while_up(async |server| {
        server.live(PROCFILE).await;
        let first = ["release.1 v1: migrate", "predeploy.1 v1: bin/assets", "postdeploy.1 v1: bin/seed", "postdeploy.1 v1: bin/tell"];
        assert_eq!(*lock(&server.engine.one_offs), first);
        lock(&server.engine.one_offs).clear();
        let pushed = server.deploy("hello", COMMIT_B).await;
        assert_eq!(*lock(&server.engine.one_offs), ["release.1 v2: migrate", "predeploy.1 v2: bin/assets", "postdeploy.1 v2: bin/tell"]);
        let at = |text: &str| pushed.lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {pushed:?}"));
        let order = [
            "Running release phase: migrate",
            "Running predeploy: bin/assets",
            "starting web.1",
            "Switched",
            "Running postdeploy: bin/tell",
        ];
        assert!(order.map(at).is_sorted(), "{pushed:?}");
        lock(&server.engine.one_offs).clear();
        let back = Rollback { app: "hello".to_owned(), version: None, run_release: false };
        server.ask(back).await.expect("rolled back");
        assert!(lock(&server.engine.one_offs).is_empty(), "old code rarely knows newer data");
    });
}

#[test]
fn a_predeploy_that_fails_or_hangs_starts_nothing() {
    let site = Site::new();
    with_scripts(&site);
    site.while_up(async |server| {
        server.live(PROCFILE).await;
        let started = server.machine.started();
        lock(&server.engine.one_off_ends).insert("predeploy.1", OneOffEnd::Code(3));
        let failure = server.push("hello", COMMIT_B).await.result.expect_err("refused");
        assert_eq!(failure.what, "v2 refused (predeploy exited 3); v1 keeps serving");
        lock(&server.engine.one_off_ends).insert("predeploy.1", OneOffEnd::UntilKilled);
        let push = server.begin_push("hello", COMMIT_B);
        let pushed = server.while_time_passes(Duration::from_secs(610), push.task).await.expect("the push");
        assert_eq!(pushed.result.expect_err("refused").what, "v3 refused (predeploy took longer than 600 s); v1 keeps serving");
        let push = server.begin_push("hello", COMMIT_B);
        until("it runs", async || lock(&server.engine.one_offs).last().is_some_and(|l| l.starts_with("predeploy.1 v4")).then_some(()))
            .await;
        push.cancel.send_replace(true);
        assert_eq!(push.task.await.expect("the push").result.expect_err("cancelled").what, "v4 refused (cancelled); v1 keeps serving");
        assert_eq!(server.machine.started(), started);
    });
}

#[test]
fn a_postdeploy_that_fails_is_told_and_the_release_serves() {
    let site = Site::new();
    with_scripts(&site);
    site.while_up(async |server| {
        server.live(PROCFILE).await;
        lock(&server.engine.one_off_ends).insert("postdeploy.1", OneOffEnd::Code(1));
        let pushed = server.deploy("hello", COMMIT_B).await;
        assert!(pushed.lines.contains(&" !     postdeploy exited 1; v2 serves all the same: paas logs -a hello".to_owned()), "{pushed:?}");
        assert!(server.events("hello").await.contains(&"release.postdeploy_failed".to_owned()));
        lock(&server.engine.one_off_ends).insert("postdeploy.1", OneOffEnd::UntilKilled);
        let push = server.begin_push("hello", COMMIT_A);
        until("it runs", async || lock(&server.engine.one_offs).last().is_some_and(|l| l.starts_with("postdeploy.1 v3")).then_some(()))
            .await;
        push.cancel.send_replace(true);
        assert!(push.task.await.expect("the push").result.is_ok(), "what serves is deployed");
        server.alive(&["web.1-v3 up"]).await;
    });
}
