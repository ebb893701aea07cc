//! What the author of a push sees, and what is left of it.

use super::support::builders::Outcome;
use super::support::engine::OneOffEnd;
use super::support::instances::Boot;
use super::support::{COMMIT_A, COMMIT_B, Site, lock, until};

const WEB: &[(&str, &str)] = &[("web", "gunicorn app:app")];

#[test]
fn a_first_push_goes_live() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.while_up(async |server| {
        server.create("hello").await;
        assert_eq!(server.door.pool("hello").as_deref(), Some("stopped"));
        let pushed = server.deploy("hello", COMMIT_A).await;
        insta::assert_snapshot!(pushed.lines.join("\n"), @r"
        -----> Python app detected (requirements.txt)
        -----> Compressing slug... done, 12.4 MB
        -----> Release v1: starting web.1
               web.1 healthy after 0.8 s (GET / -> 200)
        -----> Switched traffic to v1
               http://hello.box.example/ and http://10.0.0.2:8101/ (needs no DNS) deployed, 0.0 s in all
        ");
        server.alive(&["web.1-v1 up"]).await;
        server.routed("hello", "web.1-v1").await;
        assert_eq!(server.releases("hello").await, ["v1 current"]);
        assert_eq!(server.builds("hello").await, ["1 succeeded"]);
        assert_eq!(
            server.events("hello").await,
            ["app.created", "build.started", "release.created", "release.switched", "build.succeeded"]
        );
    });
}

#[test]
fn the_author_reads_of_a_switch_in_the_order_in_which_it_happens() {
    let site = Site::new();
    let procfile = &[("web", "gunicorn app:app"), ("worker", "celery"), ("bot", "bot.py"), ("release", "migrate")];
    site.while_up(async |server| {
        server.live(procfile).await;
        server.scale("hello", &["worker=1"]).await;
        server.alive(&["web.1-v1 up", "worker.1-v1 up"]).await;
        let pushed = server.deploy("hello", COMMIT_B).await;
        insta::assert_snapshot!(pushed.lines.join("\n"), @r"
        -----> Python app detected (requirements.txt)
        -----> Compressing slug... done, 12.4 MB
        -----> Running release phase: migrate
               migrating
        -----> Release v2: starting web.1, worker.1
               web.1 healthy after 0.8 s (GET / -> 200)
               stopping worker.1 of v1 first: only web runs twice
               worker.1 up for 10 s
        -----> Switched traffic to v2, stopping v1
         !     bot is scaled to 0: paas ps:scale bot=1
               http://hello.box.example/ and http://10.0.0.2:8101/ (needs no DNS) deployed, 0.0 s in all
        ");
        server.alive(&["web.1-v2 up", "worker.1-v2 up"]).await;
        assert_eq!(lock(&server.engine.one_offs).as_slice(), ["release.1 v1: migrate", "release.1 v2: migrate"]);
        assert_eq!(server.machine.started(), ["web.1-v1", "worker.1-v1", "web.1-v2", "worker.1-v2"]);
    });
}

#[test]
fn a_failed_build_keeps_the_old_release_serving_and_leaves_a_record() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.builders.outcome(COMMIT_B, Outcome::Fails);
    site.while_up(async |server| {
        server.create("hello").await;
        server.deploy("hello", COMMIT_A).await;
        let told = server.door.told();
        let pushed = server.push("hello", COMMIT_B).await;
        insta::assert_snapshot!(pushed.lines.join("\n"), @r"
        -----> Python app detected (requirements.txt)
         !     installing dependencies failed: exited 1
               fix: correct requirements.txt
        ");
        assert_eq!(server.door.told(), told, "the routes did not change");
        assert_eq!(server.builds("hello").await, ["2 failed", "1 succeeded"]);
        assert_eq!(server.releases("hello").await, ["v1 current"]);
        let output = server.ask(api::builds::Output { app: "hello".to_owned(), number: None }).await.expect("output");
        assert_eq!(output.lines, pushed.lines, "the log is what the author saw");
        assert_eq!(server.events("hello").await.last().map(String::as_str), Some("build.failed"));
    });
}

#[test]
fn a_candidate_that_crashes_is_refused_with_its_last_lines() {
    let site = Site::new();
    site.builders.boot(COMMIT_B, "web", Boot::Crash(vec!["Traceback:".to_owned(), "\u{1b}[31mImportError\u{1b}[0m".to_owned()]));
    site.while_up(async |server| {
        server.live(WEB).await;
        let pushed = server.push("hello", COMMIT_B).await;
        insta::assert_snapshot!(pushed.lines.join("\n"), @r"
        -----> Python app detected (requirements.txt)
        -----> Compressing slug... done, 12.4 MB
        -----> Release v2: starting web.1
         !     v2 refused (web.1 exited 1 before it was ready); v1 keeps serving
               its last lines were:
                 Traceback:
                 ImportError
               fix: see `paas logs -a hello`; once it starts, push again
        ");
        assert_eq!(server.releases("hello").await, ["v2 failed", "v1 current"]);
        server.alive(&["web.1-v1 up"]).await;
        server.routed("hello", "web.1-v1").await;
        let failed = server.events("hello").await;
        assert!(failed.ends_with(&["instance.crashed".to_owned(), "release.failed".to_owned(), "build.failed".to_owned()]), "{failed:?}");
    });
}

#[test]
fn a_failed_release_phase_starts_nothing() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(&[("web", "serve"), ("release", "migrate")]).await;
        *lock(&server.engine.one_off_end) = OneOffEnd::Code(3);
        let pushed = server.push("hello", COMMIT_B).await;
        insta::assert_snapshot!(pushed.lines.join("\n"), @r"
        -----> Python app detected (requirements.txt)
        -----> Compressing slug... done, 12.4 MB
        -----> Running release phase: migrate
               migrating
         !     v2 refused (release phase exited 3); v1 keeps serving
               fix: see `paas logs -a hello`; once it starts, push again
        ");
        assert_eq!(server.machine.started(), ["web.1-v1"]);
        server.routed("hello", "web.1-v1").await;
    });
}

#[test]
fn two_deploys_of_an_app_go_one_after_the_other() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.builders.commit(COMMIT_B, WEB);
    site.while_up(async |server| {
        server.create("hello").await;
        server.builders.held.send_replace(true);
        let first = server.begin_push("hello", COMMIT_A);
        until("the first build runs", async || (lock(&server.builders.asked).len() == 1).then_some(())).await;
        let second = server.begin_push("hello", COMMIT_B);
        server.settle().await;
        assert_eq!(lock(&server.builders.asked).as_slice(), ["hello 1 aaaaaaa"]);
        server.builders.held.send_replace(false);
        let (first, second) = (first.task.await.expect("first"), second.task.await.expect("second"));
        assert_eq!(first.result.expect("went live").expect("deployed").version.0, 1);
        assert_eq!(second.result.expect("went live").expect("deployed").version.0, 2);
        assert_eq!(second.lines.first().map(String::as_str), Some("-----> Waiting for another push or change of this app to end"));
    });
}

#[test]
fn a_push_that_waits_for_its_turn_can_be_cancelled() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.while_up(async |server| {
        server.create("hello").await;
        server.builders.held.send_replace(true);
        let first = server.begin_push("hello", COMMIT_A);
        until("the first build runs", async || (lock(&server.builders.asked).len() == 1).then_some(())).await;
        let second = server.begin_push("hello", COMMIT_B);
        second.cancel.send_replace(true);
        assert_eq!(second.task.await.expect("second").result.expect_err("cancelled").code, "request.cancelled");
        server.builders.held.send_replace(false);
        assert!(first.task.await.expect("first").result.is_ok());
    });
}

#[test]
fn a_dry_run_deploys_nothing() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.while_up(async |server| {
        server.create("hello").await;
        let pushed = server.begin_push_with("hello", COMMIT_A, std::sync::Arc::default(), true).task.await.expect("the push");
        assert_eq!(pushed.result, Ok(None));
        assert_eq!(server.builds("hello").await, ["1 refused"]);
        assert!(server.releases("hello").await.is_empty());
        assert!(server.machine.started().is_empty());
    });
}

#[test]
fn a_push_to_a_stopped_app_goes_live_without_starting_anything() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        server.ask(api::ps::Stop { app: "hello".to_owned() }).await.expect("stopped");
        server.alive(&[]).await;
        let pushed = server.deploy("hello", COMMIT_B).await;
        assert!(pushed.lines.contains(&" !     hello is stopped: paas ps:start".to_owned()), "{:?}", pushed.lines);
        server.alive(&[]).await;
        server.ask(api::ps::Start { app: "hello".to_owned() }).await.expect("started");
        server.alive(&["web.1-v2 up"]).await;
    });
}

#[test]
fn a_silent_switch_shows_a_sign_of_life_every_ten_seconds() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, WEB);
    site.builders.boot(COMMIT_A, "web", Boot::Hang);
    site.while_up(async |server| {
        server.create("hello").await;
        let push = server.begin_push("hello", COMMIT_A);
        server.alive(&["web.1-v1 starting"]).await;
        for _ in 0..4 {
            server.settle().await;
            tokio::time::advance(std::time::Duration::from_secs(6)).await;
        }
        server.settle().await;
        push.cancel.send_replace(true);
        let lines = push.task.await.expect("the push").lines;
        assert!(lines.contains(&"       still switching to v1 (10 s)".to_owned()), "{lines:?}");
    });
}
