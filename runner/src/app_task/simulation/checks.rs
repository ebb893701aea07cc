//! The author's checks, and what is done about them.

use std::time::Duration;

use model::StopReason;
use model::author::{AppJson, CheckKind};
use model::engine::{AppTarget, CheckState, InstancePhase};
use tokio::sync::oneshot;

use super::super::Message;
use super::world::{App, Behaviour, WELL, World, pass, shared, target};

/// The app with these checks, one string per check, in every release.
fn with_checks(releases: &[&str], process_type: &str, checks: &[&str]) -> AppTarget {
    let text = format!(r#"{{"healthchecks": {{"{process_type}": [{}]}}}}"#, checks.join(","));
    let (app_json, _) = AppJson::parse(text.as_bytes()).expect("app.json");
    let mut target = target(releases);
    for release in target.releases.values_mut() {
        release.manifest.app_json = app_json.clone();
    }
    target
}

const LIVENESS: &str = r#"{"type": "liveness", "path": "/live", "attempts": 3, "wait": 5, "timeout": 2}"#;
const READINESS: &str = r#"{"type": "readiness", "path": "/ready", "attempts": 2, "wait": 5, "timeout": 2}"#;
const STARTUP: &str = r#"{"type": "startup", "path": "/boot", "attempts": 4, "wait": 3, "timeout": 2}"#;

#[tokio::test(start_paused = true)]
async fn a_liveness_check_that_fails_as_often_as_its_author_says_restarts_with_its_words() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, with_checks(&["v1 Serve web=1"], "web", &[LIVENESS]));
    app.release_what_drains(Duration::from_millis(20));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    pass(31.0).await;
    world.set_answer("GET /live", Some("503"));
    let failing_from = world.now();
    app.wait("web.1 v1", InstancePhase::Draining).await;
    let tries = world.tries_of("GET /live");
    let took = world.since(failing_from).as_secs_f64();
    assert!((10.0..=16.0).contains(&took), "three tries, 5 s apart: {took}");
    world.set_answer("GET /live", Some("200"));
    app.wait("web.1 v1", InstancePhase::Starting).await;
    let seen = app.wait("web.1 v1", InstancePhase::Ready).await;
    let answer = "503".to_owned();
    let reason = StopReason::CheckFailed { kind: CheckKind::Liveness, check: "GET /live".to_owned(), times: 3, answer };
    assert_eq!((seen.last_end.expect("an end").reason, seen.restarts), (reason, 1));
    assert!(tries.windows(2).all(|pair| pair[1] >= pair[0] + Duration::from_secs(5)), "never closer than its author says: {tries:?}");
}

#[tokio::test(start_paused = true)]
async fn two_failures_of_three_change_nothing() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, with_checks(&["v1 Serve web=1"], "web", &[LIVENESS]));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    for _ in 0..20 {
        pass(20.0).await;
        world.set_answer("GET /live", Some("503"));
        pass(10.0).await;
        world.set_answer("GET /live", Some("200"));
    }
    assert_eq!((app.phase("web.1 v1"), world.starts().len()), (Some(InstancePhase::Ready), 1));
}

#[tokio::test(start_paused = true)]
async fn an_author_who_has_a_liveness_check_is_not_overruled_by_the_silence_clock() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, with_checks(&["v1 Serve web=2"], "web", &[LIVENESS]));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    app.wait("web.2 v1", InstancePhase::Ready).await;
    world.hang("hello web.1 v1");
    app.wait("web.1 v1", InstancePhase::Unready).await;
    pass(900.0).await;
    assert_eq!((app.phase("web.1 v1"), world.starts().len()), (Some(InstancePhase::Unready), 2), "routed around, not restarted");
}

#[tokio::test(start_paused = true)]
async fn a_readiness_check_takes_even_the_last_instance_out_and_back_without_a_restart() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, with_checks(&["v1 Serve web=1"], "web", &[READINESS]));
    let seen = app.wait("web.1 v1", InstancePhase::Ready).await;
    assert_eq!(seen.keeps_out(), None);
    world.set_answer("GET /ready", Some("503"));
    let seen = app.wait("web.1 v1", InstancePhase::Unready).await;
    assert!(seen.keeps_out().is_some_and(|check| check.failures == 2), "{seen:?}");
    // Visitors and the default probe see it alive: that does not bring it back.
    world.visit("hello web.1 v1");
    pass(700.0).await;
    assert_eq!(app.phase("web.1 v1"), Some(InstancePhase::Unready));
    world.set_answer("GET /ready", Some("200"));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    assert_eq!(world.starts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn startup_checks_take_the_place_of_the_default_and_all_must_pass() {
    let world = World::new(|_, _| WELL);
    world.set_answer("GET /boot", Some("503"));
    let second = r#"{"type": "startup", "name": "second", "path": "/second"}"#;
    let mut app = App::start(&world, with_checks(&["v1 Serve web=1"], "web", &[STARTUP, second, LIVENESS]));
    pass(5.0).await;
    assert_eq!(app.phase("web.1 v1"), Some(InstancePhase::Starting), "it answers GET / already, and second passes");
    assert_eq!(world.tries_of("GET /live"), [], "no liveness before the startup has passed");
    world.set_answer("GET /boot", Some("200"));
    let seen = app.wait("web.1 v1", InstancePhase::Ready).await;
    assert_eq!(seen.check.as_deref(), Some("GET /boot -> 200"));
    assert_eq!(world.probes_of("hello web.1 v1").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_startup_check_that_fails_ends_the_candidate_with_its_words() {
    let world = World::new(|_, _| WELL);
    world.set_answer("GET /boot", Some("500"));
    let mut app = App::start(&world, with_checks(&["v1 Prepare web=1"], "web", &[STARTUP]));
    let seen = app.wait("web.1 v1", InstancePhase::Failed).await;
    let reason = seen.last_end.expect("an end").reason;
    assert_eq!((reason.to_string().as_str(), reason.code()), ("startup check GET /boot failed 4 times (500)", Some("R10")));
    assert_eq!((world.starts().len(), world.tries_of("GET /boot").len()), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn a_slow_boot_that_its_author_has_provided_for_is_not_cut_short() {
    let world = World::new(|_, _| WELL);
    world.set_answer("GET /boot", Some("503"));
    let patient = STARTUP.replace(r#""attempts": 4"#, r#""attempts": 100"#);
    let mut app = App::start(&world, with_checks(&["v1 Prepare web=1"], "web", &[&patient]));
    pass(200.0).await;
    assert_eq!(app.phase("web.1 v1"), Some(InstancePhase::Starting));
    world.set_answer("GET /boot", Some("200"));
    app.wait("web.1 v1", InstancePhase::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn a_candidate_whose_readiness_never_passes_fails_and_one_that_serves_waits() {
    for mode in ["Prepare", "Serve"] {
        let world = World::new(|_, _| WELL);
        world.set_answer("GET /ready", Some("503"));
        let mut app = App::start(&world, with_checks(&[&format!("v1 {mode} web=1")], "web", &[READINESS]));
        app.wait("web.1 v1", InstancePhase::Unready).await;
        if mode == "Prepare" {
            let end = app.wait("web.1 v1", InstancePhase::Failed).await.last_end.expect("an end");
            assert!(end.reason.to_string().starts_with("readiness check GET /ready failed"), "{}", end.reason);
        } else {
            pass(600.0).await;
            assert_eq!((app.phase("web.1 v1"), world.starts().len()), (Some(InstancePhase::Unready), 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_only_warns_is_told_and_changes_nothing() {
    let world = World::new(|_, _| WELL);
    let warns = |check: &str| check.replace(r#""type""#, r#""warn": true, "type""#);
    let checks = [LIVENESS, READINESS, STARTUP].map(warns);
    for path in ["GET /live", "GET /ready", "GET /boot"] {
        world.set_answer(path, Some("503"));
    }
    let checks: Vec<&str> = checks.iter().map(String::as_str).collect();
    let mut app = App::start(&world, with_checks(&["v1 Serve web=1"], "web", &checks));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    pass(300.0).await;
    let seen = app.seen("web.1 v1").expect("seen");
    assert_eq!((seen.phase, world.starts().len()), (InstancePhase::Ready, 1));
    assert_eq!(seen.checks.iter().filter(|check| check.state == CheckState::Failing).count(), 3, "{:?}", seen.checks);
}

#[tokio::test(start_paused = true)]
async fn a_try_that_could_not_be_made_is_no_failure() {
    let world = World::new(|_, _| WELL);
    world.set_answer("bin/alive bot.1", Some("away"));
    let command = r#"{"type": "liveness", "command": ["bin/alive"], "attempts": 1, "wait": 5}"#;
    let mut app = App::start(&world, with_checks(&["v1 Serve bot=1"], "bot", &[command]));
    app.release_what_drains(Duration::from_millis(20));
    app.wait("bot.1 v1", InstancePhase::Ready).await;
    pass(300.0).await;
    assert_eq!(world.starts().len(), 1);
    world.set_answer("bin/alive bot.1", Some("the queue is stuck\nmore"));
    let seen = app.wait("bot.1 v1", InstancePhase::Stopping).await;
    assert_eq!(seen.checks[0].answer.as_deref(), Some("exited 1: the queue is stuck"));
}

#[tokio::test(start_paused = true)]
async fn exactly_the_instance_that_fails_is_restarted() {
    let world = World::new(|_, _| WELL);
    let command = r#"{"type": "liveness", "command": ["bin/alive"], "attempts": 2, "wait": 5}"#;
    let mut app = App::start(&world, with_checks(&["v1 Serve bot=3"], "bot", &[command]));
    for name in ["bot.1 v1", "bot.2 v1", "bot.3 v1"] {
        app.wait(name, InstancePhase::Ready).await;
    }
    world.set_answer("bin/alive bot.2", Some("stuck"));
    app.wait("bot.2 v1", InstancePhase::Starting).await;
    world.set_answer("bin/alive bot.2", Some("200"));
    pass(100.0).await;
    let starts: Vec<String> = world.starts().into_iter().skip(3).map(|(_, name)| name).collect();
    assert_eq!(starts, ["hello bot.2 v1"]);
}

#[tokio::test(start_paused = true)]
async fn when_a_dependency_takes_all_instances_down_they_are_never_all_down_by_our_own_hand() {
    let world = World::new(|_, _| Behaviour { boots_after: Duration::from_secs(5), ..WELL });
    let mut app = App::start(&world, with_checks(&["v1 Serve web=4"], "web", &[LIVENESS]));
    app.release_what_drains(Duration::from_millis(20));
    let names = ["web.1 v1", "web.2 v1", "web.3 v1", "web.4 v1"];
    for name in names {
        app.wait(name, InstancePhase::Ready).await;
    }
    world.set_answer("GET /live", Some("503"));
    for _ in 0..6_000 {
        pass(0.1).await;
        let up = names.iter().filter(|name| matches!(app.phase(name), Some(InstancePhase::Ready | InstancePhase::Unready))).count();
        assert!(up >= 3, "one at a time: {up} of 4 are up");
    }
    let restarts = world.starts().len() - 4;
    assert!((8..=30).contains(&restarts), "in 10 minutes, further and further apart: {restarts}");
    world.set_answer("GET /live", Some("200"));
    pass(60.0).await;
    let settled = world.starts().len();
    pass(600.0).await;
    assert_eq!(world.starts().len(), settled, "no restart once it is well again");
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_come_up_after_its_restart_keeps_the_others_from_the_same_fate() {
    let world = World::new(|run, earlier| {
        let is_again = earlier > 0 && run.instance.ordinal == 1 && run.version.0 == 1;
        if is_again { Behaviour { ends: Some((Duration::from_millis(100), 1)), boots_after: Duration::from_secs(9), ..WELL } } else { WELL }
    });
    let mut app = App::start(&world, with_checks(&["v1 Serve web=2"], "web", &[LIVENESS]));
    app.release_what_drains(Duration::from_millis(20));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    app.wait("web.2 v1", InstancePhase::Ready).await;
    world.set_answer("GET /live", Some("503"));
    app.wait("web.1 v1", InstancePhase::Backoff).await;
    let before = world.now();
    app.wait("web.2 v1", InstancePhase::Draining).await;
    let waited = world.since(before).as_secs();
    assert!((590..=620).contains(&waited), "and not for ever: {waited}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_does_not_cure_doubles_the_authors_window() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, with_checks(&["v1 Serve web=1"], "web", &[LIVENESS]));
    app.release_what_drains(Duration::from_millis(20));
    world.set_answer("GET /live", Some("503"));
    let mut waits = Vec::new();
    for _ in 0..7 {
        app.wait("web.1 v1", InstancePhase::Ready).await;
        let ready_at = world.now();
        app.wait("web.1 v1", InstancePhase::Draining).await;
        waits.push(world.since(ready_at).as_secs());
    }
    assert_eq!(waits, [10, 42, 84, 168, 336, 600, 600], "3 x (2 + 5) s, doubled");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_while_it_stops() {
    let world = World::new(|_, _| Behaviour { ignores_term: true, ..WELL });
    let mut app = App::start(&world, with_checks(&["v1 Serve web=1"], "web", &[LIVENESS]));
    app.release_what_drains(Duration::from_millis(20));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    world.set_answer("GET /live", Some("503"));
    app.set(&["v1 Retire web=1"]);
    app.wait("web.1 v1", InstancePhase::Stopping).await;
    let tries = world.tries_of("GET /live").len();
    let seen = app.wait("web.1 v1", InstancePhase::Down).await;
    assert_eq!(world.tries_of("GET /live").len(), tries);
    assert!(matches!(seen.last_end.expect("an end").reason, StopReason::StopTimeout { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_new_server_finds_an_unready_instance_unready() {
    let world = World::new(|_, _| WELL);
    let wanted = with_checks(&["v1 Serve web=1"], "web", &[READINESS]);
    let mut app = App::start(&world, wanted.clone());
    app.wait("web.1 v1", InstancePhase::Ready).await;
    world.set_answer("GET /ready", Some("503"));
    app.wait("web.1 v1", InstancePhase::Unready).await;
    app.kill_server().await;
    let mut app = App::start_with(&world, wanted, shared(4), world.left_behind());
    pass(0.001).await;
    assert_eq!(app.phase("web.1 v1"), Some(InstancePhase::Unready), "visitors stay away from it");
    world.set_answer("GET /ready", Some("200"));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    assert_eq!(world.starts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn checks_are_tried_for_a_person_without_counting_and_never_two_at_a_time() {
    let world = World::new(|_, _| WELL);
    let once = LIVENESS.replace(r#""attempts": 3"#, r#""attempts": 1"#);
    let mut app = App::start(&world, with_checks(&["v1 Serve web=1"], "web", &[&once]));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    pass(2.0).await;
    world.set_answer("GET /live", Some("503"));
    let (done, tried) = oneshot::channel();
    app.messages.send(Message::TryChecks(done)).await.expect("listens");
    let tried = tried.await.expect("an answer");
    let words: Vec<String> = tried.iter().map(|tried| format!("{} {} {:?}", tried.check, tried.answer, tried.passed)).collect();
    assert_eq!(words, ["GET /live 503 Some(false)", "GET / 200 Some(true)"]);
    assert_eq!(tried[0].request, "GET http://127.0.0.1:20000/live, Host: hello.box.example");
    world.set_answer("GET /live", Some("200"));
    pass(300.0).await;
    assert_eq!(world.starts().len(), 1, "it did not count");
    world.set_answer("GET /live", None);
    let before = world.tries_of("GET /live").len();
    pass(5.5).await;
    let (done, tried) = oneshot::channel();
    app.messages.send(Message::TryChecks(done)).await.expect("listens");
    tried.await.expect("an answer");
    let tries = world.tries_of("GET /live")[before..].to_vec();
    assert!(tries.windows(2).all(|pair| pair[1] >= pair[0] + Duration::from_secs(2)), "the first one ends first: {tries:?}");
}

#[tokio::test(start_paused = true)]
async fn each_try_can_be_looked_at_and_only_what_changes_is_news() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, with_checks(&["v1 Serve web=1"], "web", &[LIVENESS, READINESS]));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    pass(10.0).await;
    app.observed.mark_unchanged();
    world.set_answer("GET /live", Some("299"));
    pass(8.0).await;
    assert!(!app.observed.has_changed().expect("the task is there"), "one failure is no news");
    let seen = app.seen("web.1 v1").expect("seen");
    assert_eq!((seen.checks[0].answer.as_deref(), seen.checks[0].failures > 0), (Some("299"), true));
}
