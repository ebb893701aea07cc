//! `ps` and its like.

use api::Failure;
use api::ps::{List, Restart, Scale, Start, Stop, Why};
use api::wire::FromServer;
use control::access::Actor;
use model::engine::KeptEnd;
use serde_json::json;

use super::support::instances::Boot;
use super::support::{COMMIT_A, COMMIT_B, Server, Site, lock, until};

const THREE: &[(&str, &str)] = &[("web", "serve"), ("worker", "work"), ("release", "true")];

fn hello() -> String {
    "hello".to_owned()
}

async fn restart(server: &Server, what: Option<&str>) -> Result<Vec<String>, Failure> {
    let reply = server.ask(Restart { app: hello(), what: what.map(str::to_owned) }).await;
    reply.map(|reply| reply.instances)
}

#[test]
fn scaling_starts_and_stops_instances_and_is_no_release() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(THREE).await;
        server.scale("hello", &["web=3", "worker+1"]).await;
        server.alive(&["web.1-v1 up", "web.2-v1 up", "web.3-v1 up", "worker.1-v1 up"]).await;
        server.routed("hello", "web.1-v1 web.2-v1 web.3-v1").await;
        server.scale("hello", &["web=1", "worker=0"]).await;
        server.alive(&["web.1-v1 up"]).await;
        assert_eq!(server.releases("hello").await, ["v1 current"]);
        let failure = server.ask(Scale { app: hello(), changes: vec!["clock=1".to_owned()] }).await.expect_err("no such type");
        assert_eq!(failure.code, "process_type.not_found");
        let shown = server.ask(Scale { app: hello(), changes: vec![] }).await.expect("shown");
        assert_eq!(shown.formation, [("release".to_owned(), 0), ("web".to_owned(), 1), ("worker".to_owned(), 0)]);
        let events = server.events("hello").await;
        assert_eq!(events.iter().filter(|code| *code == "ps.scaled").count(), 2);
    });
}

#[test]
fn a_scale_during_a_switch_is_not_undone_by_it() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(THREE).await;
        let push = server.hung_switch().await;
        server.scale("hello", &["web=2", "worker=1"]).await;
        server.alive(&["web.1-v1 up", "web.2-v1 up", "worker.1-v1 up", "web.1-v2 starting"]).await;
        site.builders.boot(COMMIT_B, "web", Boot::Ready);
        server.engine.stir();
        assert!(push.task.await.expect("the push").result.is_ok());
        server.alive(&["web.1-v2 up", "web.2-v2 up", "worker.1-v2 up"]).await;
    });
}

#[test]
fn a_restart_replaces_what_was_named() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(THREE).await;
        server.scale("hello", &["web=2", "worker=1"]).await;
        server.alive(&["web.1-v1 up", "web.2-v1 up", "worker.1-v1 up"]).await;
        let before = server.machine.started().len();
        assert_eq!(restart(&server, Some("web.2")).await.expect("restarted"), ["web.2"]);
        until("web.2 is new", async || (server.machine.started().len() == before + 1).then_some(())).await;
        assert_eq!(restart(&server, Some("web")).await.expect("restarted"), ["web.1", "web.2"]);
        assert_eq!(restart(&server, None).await.expect("restarted"), ["web.1", "web.2", "worker.1"]);
        server.alive(&["web.1-v1 up", "web.2-v1 up", "worker.1-v1 up"]).await;
        assert_eq!(restart(&server, Some("web.7")).await.expect_err("none").code, "instance.not_found");
        let hostile = restart(&server, Some("\u{1b}[2J")).await.expect_err("none");
        assert!(!hostile.what.contains('\u{1b}'));
    });
}

#[test]
fn a_stopped_app_stays_stopped_until_it_is_started() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(THREE).await;
        assert_eq!(server.ask(Stop { app: hello() }).await.expect("stopped").instances, ["web.1"]);
        server.alive(&[]).await;
        server.routed("hello", "stopped").await;
        assert_eq!(restart(&server, None).await.expect_err("stopped").code, "app.stopped");
        assert!(server.ask(List { app: hello() }).await.expect("ps").stopped);
    });
    site.while_up(async |server| {
        server.routed("hello", "stopped").await;
        assert!(server.machine.alive().is_empty());
        site.builders.boot(COMMIT_A, "web", Boot::Hang);
        let told = lock(&server.logs.written).len();
        server.ask(Start { app: hello() }).await.expect("started");
        until("its start is told", async || (lock(&server.logs.written)[told..] == ["web.1: Starting (v1)"]).then_some(())).await;
        site.builders.boot(COMMIT_A, "web", Boot::Ready);
        server.engine.stir();
        server.alive(&["web.1-v1 up"]).await;
        server.routed("hello", "web.1-v1").await;
    });
}

#[test]
fn stopping_an_app_ends_its_switch() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(THREE).await;
        let push = server.hung_switch().await;
        server.ask(Stop { app: hello() }).await.expect("stopped");
        let failure = push.task.await.expect("the push").result.expect_err("refused");
        assert_eq!(failure.what, "v2 refused (stopped with ps:stop); v1 keeps serving");
        server.alive(&[]).await;
    });
}

#[test]
fn what_happens_to_an_instance_is_told_once() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(THREE).await;
        restart(&server, Some("web.1")).await.expect("restarted");
        until("it is up again", async || (server.machine.started().len() == 2 && server.machine.alive() == ["web.1-v1 up"]).then_some(()))
            .await;
        until("it is told", async || {
            (lock(&server.logs.written).iter().filter(|l| l.contains("starting to up")).count() == 2).then_some(())
        })
        .await;
        let written = lock(&server.logs.written).clone();
        assert_eq!(written.iter().filter(|line| *line == "web.1: Stopped (killed by SIGTERM)").count(), 1, "{written:?}");
        let why = server.ask(Why { app: hello(), instance: Some("web.1".to_owned()) }).await.expect("why");
        assert_eq!(why.instances[0].ends[0].reason, "stopped on request");
    });
}

#[test]
fn why_tells_what_the_recorder_kept_of_one_instance_or_of_all() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(THREE).await;
        let flight = model::FlightRecord { open_files: Some(12), looked_unix_ms: Some(5), ..model::FlightRecord::default() };
        let end = |instance: &str, run, at_unix_ms| KeptEnd {
            instance: instance.to_owned(),
            release: "v1".to_owned(),
            run,
            status: "exited 1".to_owned(),
            reason: "the process ended by itself".to_owned(),
            code: None,
            at_unix_ms,
            ran_ms: 100,
            last_lines: vec!["boom".to_owned()],
            flight: flight.clone(),
        };
        lock(&server.engine.kept_ends).extend([end("web.1", 7, 10), end("web.1", 8, 20), end("bot.1", 9, 30)]);
        let all = server.ask(Why { app: hello(), instance: None }).await.expect("why");
        let told: Vec<_> = all.instances.iter().map(|story| (story.name.as_str(), story.now.is_some(), story.ends.len())).collect();
        assert_eq!(told, [("bot.1", false, 1), ("web.1", true, 2)]);
        let one = server.ask(Why { app: hello(), instance: Some("web.1".to_owned()) }).await.expect("why");
        assert_eq!(one.instances[0].ends.iter().map(|end| end.run).collect::<Vec<_>>(), [8, 7]);
        assert_eq!(one.instances[0].ends[0].look.as_ref().and_then(|look| look.open_files), Some(12));
        let none = server.ask(Why { app: hello(), instance: Some("clock.1".to_owned()) }).await.expect_err("no such instance");
        assert_eq!(none.code, "instance.not_found");
    });
}

#[test]
fn ps_knows_an_app_from_its_first_moment_on() {
    let site = Site::new();
    site.while_up(async |server| server.live(THREE).await);
    site.while_up(async |server| {
        // Nothing was awaited since the start.
        let list = server.ask(List { app: hello() }).await.expect("ps");
        assert_eq!(list.release.as_deref(), Some("v1"));
        assert_eq!(
            list.types.iter().map(|t| (t.process_type.as_str(), t.count)).collect::<Vec<_>>(),
            [("release", 0), ("web", 1), ("worker", 0)]
        );
    });
}

#[test]
fn a_command_goes_inside_the_instance_that_serves() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(THREE).await;
        let exec = async |instance: &str, words: &[&str]| {
            let request = json!({"app": "hello", "instance": instance, "command": words});
            server.begin(Actor::Operator, "ps:exec", request).answer.await.expect("answered")
        };
        assert!(matches!(exec("web.1", &["cat", "a file"]).await, FromServer::Exit(0)));
        assert!(matches!(exec("web.1", &[]).await, FromServer::Exit(0)));
        let inside = lock(&server.engine.one_offs).clone();
        let inside: Vec<&String> = inside.iter().filter(|run| run.starts_with("inside ")).collect();
        assert!(inside[0].starts_with("inside web.1-v1-") && inside[0].ends_with(": cat a file"), "{inside:?}");
        assert!(inside[1].contains("exec bash"), "{inside:?}");
        let code = |answer| match answer {
            FromServer::Failure(failure) => failure.code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(exec("web.7", &["true"]).await), "instance.not_found");
        site.builders.boot(COMMIT_A, "web", Boot::Crash(vec!["boom".to_owned()]));
        restart(&server, None).await.expect("restarted");
        server.routed("hello", "crashed").await;
        assert_eq!(code(exec("web.1", &["true"]).await), "exec.not_running");
    });
}
