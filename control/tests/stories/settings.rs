//! `ps:overlap`, `ps:limits`, `ps:wait`, and memory: which types run twice in a switch.

use std::time::Duration;

use api::Failure;
use api::ps::{Limits, Overlap, SettingsReply, Stop, Wait, WaitReply};
use model::engine::TypeLimits;

use super::support::instances::Boot;
use super::support::{COMMIT_B, COMMIT_C, Server, Site, lock, until};

const WEB: &[(&str, &str)] = &[("web", "serve")];

async fn overlap(server: &Server, process_type: &str, on: bool) -> Result<SettingsReply, Failure> {
    server.ask(Overlap { app: "hello".to_owned(), process_type: process_type.to_owned(), on }).await
}

async fn limit(server: &Server, process_type: &str, boot: Option<&str>, stop: Option<&str>) -> Result<SettingsReply, Failure> {
    let own = |word: Option<&str>| word.map(str::to_owned);
    let operation =
        Limits { app: "hello".to_owned(), process_type: Some(process_type.to_owned()), boot_timeout: own(boot), stop_timeout: own(stop) };
    server.ask(operation).await
}

async fn wait(server: &Server) -> Result<WaitReply, Failure> {
    server.ask(Wait { app: "hello".to_owned(), timeout_s: Some(30) }).await
}

/// What the engine is told of a type.
fn told(server: &Server, process_type: &str) -> Option<TypeLimits> {
    let state = lock(&server.machine.state);
    let target = state.apps[&server.app("hello").identity.number].target.as_ref().expect("a target");
    target.limits.get(&process_type.parse().expect("type")).copied()
}

#[test]
fn a_worker_may_run_twice_if_people_say_so_and_no_more_when_they_take_it_back() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live_with_bot().await;
        assert!(overlap(&server, "bot", true).await.expect("set").types[0].overlap);
        site.builders.boot(COMMIT_B, "web", Boot::Hang);
        let push = server.begin_push("hello", COMMIT_B);
        server.alive(&["bot.1-v1 up", "web.1-v1 up", "bot.1-v2 up", "web.1-v2 starting"]).await;
        site.builders.boot(COMMIT_B, "web", Boot::Ready);
        server.engine.stir();
        assert!(push.task.await.expect("the push").result.is_ok());
        server.alive(&["bot.1-v2 up", "web.1-v2 up"]).await;
    });
    site.while_up(async |server| {
        overlap(&server, "bot", false).await.expect("set");
        site.builders.boot(COMMIT_B, "bot", Boot::Hang);
        drop(server.begin_push("hello", COMMIT_B));
        server.alive(&["web.1-v2 up", "bot.1-v3 starting", "web.1-v3 up"]).await;
        assert_eq!(overlap(&server, "clock", true).await.expect_err("no such type").code, "process_type.not_found");
    });
}

#[test]
fn a_web_that_does_not_overlap_stops_last_and_holds_its_visitors() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live_with_bot().await;
        overlap(&server, "web", false).await.expect("set");
        site.builders.boot(COMMIT_B, "bot", Boot::Hang);
        site.builders.boot(COMMIT_B, "web", Boot::Hang);
        let push = server.begin_push("hello", COMMIT_B);
        // Visitors are served while everything else is handed over.
        server.alive(&["web.1-v1 up", "bot.1-v2 starting"]).await;
        server.routed("hello", "web.1-v1").await;
        site.builders.boot(COMMIT_B, "bot", Boot::Ready);
        server.engine.stir();
        server.alive(&["bot.1-v2 up", "web.1-v2 starting"]).await;
        server.routed("hello", "hold 10000 ms").await;
        site.builders.boot(COMMIT_B, "web", Boot::Ready);
        server.engine.stir();
        let pushed = push.task.await.expect("the push");
        let line = "       stopping web.1 of v1 first, requests are held meanwhile: web does not run twice: paas ps:overlap web on";
        assert!(pushed.lines.contains(&line.to_owned()), "{pushed:?}");
        server.routed("hello", "web.1-v2").await;
        server.alive(&["bot.1-v2 up", "web.1-v2 up"]).await;
        assert!(!server.machine.started().is_empty());
    });
}

#[test]
fn without_memory_for_two_copies_the_old_one_stops_first_and_comes_back_if_the_new_one_fails() {
    let site = Site::new();
    *lock(&site.host.spare_bytes) = Some(1_000_000_000);
    *lock(&site.host.peak_bytes) = 300_000_000;
    site.while_up(async |server| {
        server.live(WEB).await;
        site.builders.commit(COMMIT_C, WEB);
        // Two fit.
        let pushed = server.deploy("hello", COMMIT_B).await;
        assert!(!pushed.lines.iter().any(|line| line.contains("first")), "{pushed:?}");
        *lock(&site.host.spare_bytes) = Some(329_999_999);
        site.builders.boot(COMMIT_C, "web", Boot::Crash(vec!["no such file".to_owned()]));
        let pushed = server.push("hello", COMMIT_C).await;
        assert_eq!(pushed.result.expect_err("refused").what, "v3 refused (web.1 exited 1 before it was ready); v2 keeps serving");
        let told = pushed.lines.iter().find(|line| line.contains("memory is short for two copies")).expect("said");
        assert!(told.starts_with("       stopping web.1 of v2 first, requests are held meanwhile"), "{told}");
        server.alive(&["web.1-v2 up"]).await;
        server.routed("hello", "web.1-v2").await;
        assert_eq!(server.machine.started(), ["web.1-v1", "web.1-v2", "web.1-v3", "web.1-v2"]);
        assert!(server.door.told().contains(&"hello: hold 10000 ms".to_owned()), "{:?}", server.door.told());
        // What was set for one switch does not stick.
        *lock(&site.host.spare_bytes) = Some(330_000_000);
        site.builders.boot(COMMIT_C, "web", Boot::Ready);
        server.deploy("hello", COMMIT_C).await;
        server.alive(&["web.1-v4 up"]).await;
        assert!(server.control.services.memory.reserve(330_000_000, 330_000_000).is_ok(), "what was counted on is free again");
    });
}

#[test]
fn two_switches_never_count_on_the_same_memory() {
    let site = Site::new();
    *lock(&site.host.spare_bytes) = Some(500_000_000);
    *lock(&site.host.peak_bytes) = 300_000_000;
    site.while_up(async |server| {
        server.live(WEB).await;
        server.create("other").await;
        server.deploy("other", COMMIT_B).await;
        let hung = server.hung_switch().await;
        site.builders.commit(COMMIT_C, WEB);
        let pushed = server.deploy("other", COMMIT_C).await;
        assert!(pushed.lines.iter().any(|line| line.contains("memory is short for two copies")), "{pushed:?}");
        hung.cancel.send_replace(true);
        hung.task.await.expect("the push").result.expect_err("cancelled");
        let pushed = server.deploy("other", COMMIT_C).await;
        assert!(!pushed.lines.iter().any(|line| line.contains("memory is short")), "{pushed:?}");
    });
}

#[test]
fn limits_reach_the_engine_outlive_the_server_and_can_be_taken_back() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live_with_bot().await;
        limit(&server, "web", Some("90"), Some("5")).await.expect("set");
        limit(&server, "bot", None, Some("120")).await.expect("set");
        for (process_type, boot, stop) in
            [("web", Some("0"), None), ("web", None, Some("-1")), ("web", Some("x"), None), ("bot", Some("9"), None)]
        {
            let failure = limit(&server, process_type, boot, stop).await.expect_err("refused");
            assert!(["limits.bad_seconds", "limits.not_for_type"].contains(&failure.code.as_str()), "{failure:?}");
        }
    });
    site.while_up(async |server| {
        server.routed("hello", "web.1-v1").await;
        assert_eq!(told(&server, "web"), Some(TypeLimits { boot_timeout_s: Some(90), stop_timeout_s: Some(5) }));
        assert_eq!(told(&server, "bot"), Some(TypeLimits { boot_timeout_s: None, stop_timeout_s: Some(120) }));
        limit(&server, "web", Some("default"), Some("default")).await.expect("taken back");
        until("it is told", async || told(&server, "web").is_none().then_some(())).await;
        assert_eq!(server.events("hello").await.iter().filter(|code| *code == "ps.set").count(), 3);
    });
}

#[test]
fn waiting_ends_when_all_is_up_or_cannot_be() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("hello").await;
        assert_eq!(wait(&server).await.expect_err("nothing").what, "hello has no release yet");
        server.live_again().await;
        assert_eq!(wait(&server).await.expect("up").instances, ["web.1"]);
        site.builders.boot(COMMIT_B, "bot", Boot::Hang);
        server.deploy("hello", COMMIT_B).await;
        server.scale("hello", &["bot=1"]).await;
        let late = server.while_time_passes(Duration::from_secs(40), wait(&server)).await.expect_err("late");
        assert_eq!((late.what.as_str(), late.why.as_deref()), ("hello is not up after 30 s", Some("bot.1 is starting")));
        assert_eq!(late.kind.exit_code(), 1);
        site.builders.boot(COMMIT_B, "bot", Boot::Crash(vec![]));
        server.engine.stir();
        assert_eq!(wait(&server).await.expect_err("crashed").what, "bot.1 is crashed (exited 1 after 0.1 s)");
        server.ask(Stop { app: "hello".to_owned() }).await.expect("stopped");
        until("it is seen", async || server.app("hello").view.borrow().stopped.then_some(())).await;
        assert_eq!(wait(&server).await.expect_err("stopped").what, "hello is stopped");
    });
}
