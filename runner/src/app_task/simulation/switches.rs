//! Switches, restarts on request, adoption, and the end.

use std::sync::Arc;
use std::time::Duration;

use model::engine::{AppObserved, InstancePhase, TypeLimits};
use model::{ExitStatus, StopReason};

use super::super::Message;
use super::world::{App, Behaviour, WELL, World, pass, shared, target};

#[tokio::test(start_paused = true)]
async fn a_bot_never_runs_twice_during_a_switch_and_the_web_never_stops() {
    // The world itself refuses a second bot.
    let world = World::new(|_, _| Behaviour { ignores_term: true, ..WELL });
    let mut app = App::start(&world, target(&["v1 Serve bot=1 web=1"]));
    app.release_what_drains(Duration::from_millis(50));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    app.wait("bot.1 v1", InstancePhase::Ready).await;
    app.set(&["v1 Serve bot=1 web=1", "v2 Prepare bot=1 web=1"]);
    app.wait("web.1 v2", InstancePhase::Ready).await;
    assert_eq!(world.live(), ["hello bot.1 v1", "hello web.1 v1", "hello web.1 v2"]);
    app.set(&["v1 Yield bot=1 web=1", "v2 Handover bot=1 web=1"]);
    app.wait("bot.1 v2", InstancePhase::Ready).await;
    assert_eq!(world.live(), ["hello web.1 v1", "hello web.1 v2", "hello bot.1 v2"]);
    app.set(&["v1 Retire bot=1 web=1", "v2 Serve bot=1 web=1"]);
    app.wait("web.1 v1", InstancePhase::Down).await;
    app.set(&["v2 Serve bot=1 web=1"]);
    pass(1.0).await;
    assert_eq!(world.live(), ["hello web.1 v2", "hello bot.1 v2"]);
    assert_eq!(app.seen("web.1 v1"), None);
}

#[tokio::test(start_paused = true)]
async fn a_failed_handover_brings_the_old_bot_back() {
    let crash = Some((Duration::from_secs(3), 1));
    let world = World::new(move |run, _| Behaviour { ends: crash.filter(|_| run.version.0 == 2), ..WELL });
    let mut app = App::start(&world, target(&["v1 Serve bot=1"]));
    app.wait("bot.1 v1", InstancePhase::Ready).await;
    app.set(&["v1 Yield bot=1", "v2 Handover bot=1"]);
    app.wait("bot.1 v2", InstancePhase::Failed).await;
    app.set(&["v1 Serve bot=1", "v2 Retire bot=1"]);
    app.wait("bot.1 v1", InstancePhase::Ready).await;
    assert_eq!(world.live(), ["hello bot.1 v1"]);
}

#[tokio::test(start_paused = true)]
async fn a_retired_web_is_drained_before_its_sigterm() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    let number = app.wait("web.1 v1", InstancePhase::Ready).await.run.expect("a run").number;
    app.set(&["v1 Retire web=1"]);
    app.wait("web.1 v1", InstancePhase::Draining).await;
    pass(5.0).await;
    assert!(!world.run("hello web.1 v1").was_told());
    app.messages.send(Message::Released(number)).await.expect("listens");
    app.wait("web.1 v1", InstancePhase::Stopping).await;
    assert!(world.run("hello web.1 v1").was_told());
    let down = app.wait("web.1 v1", InstancePhase::Down).await;
    assert_eq!(down.last_end.expect("an end").reason, StopReason::Asked);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_is_ignored_ends_in_sigkill_and_says_so() {
    let world = World::new(|_, _| Behaviour { ignores_term: true, ..WELL });
    let mut app = App::start(&world, target(&["v1 Serve bot=1"]));
    app.wait("bot.1 v1", InstancePhase::Ready).await;
    let asked_at = world.now();
    app.set(&["v1 Serve bot=0"]);
    app.wait("bot.1 v1", InstancePhase::Stopping).await;
    app.observed.wait_for(|seen| seen.instances.is_empty()).await.expect("observed");
    let took = world.since(asked_at).as_secs();
    assert_eq!(took, 30);
}

#[tokio::test(start_paused = true)]
async fn a_web_that_may_not_run_twice_is_handed_over_and_comes_back_if_the_new_one_fails() {
    let world = World::new(|run, _| Behaviour { ends: (run.version.0 == 3).then_some((Duration::from_millis(100), 1)), ..WELL });
    let mut one = target(&["v1 Serve web=1"]);
    one.overlap.clear();
    let mut app = App::start(&world, one);
    app.release_what_drains(Duration::from_millis(50));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    app.set(&["v1 Yield web=1", "v2 Handover web=1"]);
    app.wait("web.1 v2", InstancePhase::Starting).await;
    assert!(!world.live().contains(&"hello web.1 v1".to_owned()), "the old one is gone before the new one starts");
    app.wait("web.1 v2", InstancePhase::Ready).await;
    app.set(&["v2 Serve web=1"]);
    app.set(&["v2 Yield web=1", "v3 Handover web=1"]);
    app.wait("web.1 v3", InstancePhase::Failed).await;
    app.set(&["v2 Serve web=1", "v3 Retire web=1"]);
    app.wait("web.1 v2", InstancePhase::Ready).await;
    assert_eq!(world.live(), ["hello web.1 v2"]);
}

#[tokio::test(start_paused = true)]
async fn a_type_stops_and_boots_within_the_time_that_people_gave_it() {
    let world = World::new(|_, _| Behaviour { ignores_term: true, boots_after: Duration::from_secs(500), ..WELL });
    let mut limited = target(&["v1 Serve bot=1 web=1"]);
    let limits = TypeLimits { boot_timeout_s: Some(7), stop_timeout_s: Some(3) };
    limited.limits = ["bot", "web"].map(|name| (name.parse().expect("type"), limits)).into();
    let mut app = App::start(&world, limited);
    let ended = |seen: &AppObserved| seen.instances.iter().find_map(|i| i.last_end.as_ref().map(|end| end.reason.clone()));
    let reason = ended(&app.observed.wait_for(|seen| ended(seen).is_some()).await.expect("observed"));
    assert_eq!(reason, Some(StopReason::BootTimeout { seconds: 7 }));
    assert_eq!(world.now().as_secs(), 7);
    app.wait("bot.1 v1", InstancePhase::Ready).await;
    let asked_at = world.now();
    app.set(&["v1 Serve bot=0 web=0"]);
    app.observed.wait_for(|seen| seen.instances.is_empty()).await.expect("observed");
    assert_eq!(world.since(asked_at).as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn two_webs_are_restarted_one_after_the_other() {
    let world = World::new(|_, _| Behaviour { boots_after: Duration::from_secs(4), ..WELL });
    let mut app = App::start(&world, target(&["v1 Serve web=2"]));
    app.release_what_drains(Duration::from_millis(50));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    app.wait("web.2 v1", InstancePhase::Ready).await;
    app.restart(&["web.1", "web.2"]);
    for _ in 0..200 {
        pass(0.1).await;
        let up = ["web.1 v1", "web.2 v1"].iter().filter(|name| app.phase(name) == Some(InstancePhase::Ready)).count();
        assert!(up >= 1, "one of them serves at any time");
    }
    let starts: Vec<String> = world.starts().into_iter().map(|(_, name)| name).collect();
    assert_eq!(starts[2..], ["hello web.1 v1", "hello web.2 v1"], "each once");
    assert_eq!(app.seen("web.1 v1").expect("seen").restarts, 0);
}

#[tokio::test(start_paused = true)]
async fn a_restart_takes_the_other_port() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    app.release_what_drains(Duration::from_millis(20));
    let first = app.wait("web.1 v1", InstancePhase::Ready).await.port;
    app.restart(&["web.1"]);
    app.wait("web.1 v1", InstancePhase::Starting).await;
    let second = app.wait("web.1 v1", InstancePhase::Ready).await.port;
    assert!(first.is_some() && second.is_some() && first != second);
}

#[tokio::test(start_paused = true)]
async fn the_last_wish_wins_while_a_start_is_under_way() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    app.wait("web.1 v1", InstancePhase::Starting).await;
    app.set(&["v1 Serve web=0"]);
    app.observed.wait_for(|seen| seen.instances.is_empty()).await.expect("observed");
    assert!(world.live().is_empty());
    app.set(&["v1 Serve web=1"]);
    app.wait("web.1 v1", InstancePhase::Ready).await;
    assert_eq!(world.live().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_next_server_goes_on_with_the_same_runs_exactly_once() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve bot=1 web=2"]));
    for name in ["web.1 v1", "web.2 v1", "bot.1 v1"] {
        app.wait(name, InstancePhase::Ready).await;
    }
    let before = app.observed.borrow().clone();
    app.kill_server().await;
    pass(3.0).await;
    let app = App::start_with(&world, target(&["v1 Serve bot=1 web=2"]), shared(4), world.left_behind());
    let mut seen = app.observed.clone();
    seen.changed().await.expect("observed");
    let after = seen.borrow_and_update().clone();
    for (old, new) in before.instances.iter().zip(&after.instances) {
        assert_eq!((&new.run, new.port, new.phase, new.ready_after_ms), (&old.run, old.port, InstancePhase::Ready, old.ready_after_ms));
    }
    for _ in 0..100 {
        pass(1.0).await;
        assert!(app.observed.borrow().instances.iter().all(|i| i.phase == InstancePhase::Ready));
    }
    assert_eq!(world.starts().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_ended_or_is_not_wanted_any_more_is_put_right_by_the_next_server() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve bot=1 clock=1 web=1"]));
    for name in ["web.1 v1", "bot.1 v1", "clock.1 v1"] {
        app.wait(name, InstancePhase::Ready).await;
    }
    app.kill_server().await;
    world.run("hello web.1 v1").finish(ExitStatus::Signal { signal: 9, core: false }, false);
    let mut app = App::start_with(&world, target(&["v1 Serve bot=1 web=1"]), shared(4), world.left_behind());
    let web = app.wait("web.1 v1", InstancePhase::Ready).await;
    assert_eq!(web.last_end.expect("an end").status, ExitStatus::Signal { signal: 9, core: false });
    pass(31.0).await;
    let mut live = world.live();
    live.sort();
    assert_eq!(live, ["hello bot.1 v1", "hello web.1 v1"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_was_under_way_is_finished_by_the_next_server() {
    let world = World::new(|_, _| Behaviour { ignores_term: true, ..WELL });
    let mut app = App::start(&world, target(&["v1 Serve bot=1"]));
    app.wait("bot.1 v1", InstancePhase::Ready).await;
    app.restart(&["bot.1"]);
    app.wait("bot.1 v1", InstancePhase::Stopping).await;
    assert!(world.record("hello bot.1 v1").stopping);
    app.kill_server().await;
    let mut app = App::start_with(&world, target(&["v1 Serve bot=1"]), shared(4), world.left_behind());
    app.wait("bot.1 v1", InstancePhase::Starting).await;
    app.wait("bot.1 v1", InstancePhase::Ready).await;
    assert_eq!(world.live(), ["hello bot.1 v1"]);
}

#[tokio::test(start_paused = true)]
async fn a_web_run_without_its_record_cannot_serve_and_is_replaced() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    app.kill_server().await;
    let mut found = world.left_behind();
    found[0].record = None;
    let mut app = App::start_with(&world, target(&["v1 Serve web=1"]), shared(4), found);
    app.wait("web.1 v1", InstancePhase::Starting).await;
    app.wait("web.1 v1", InstancePhase::Ready).await;
    assert_eq!(world.live().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn stopping_everything_waits_until_all_is_gone() {
    let world = World::new(|_, _| Behaviour { ignores_term: true, ..WELL });
    let mut app = App::start(&world, target(&["v1 Serve bot=1 web=2"]));
    for name in ["web.1 v1", "web.2 v1", "bot.1 v1"] {
        app.wait(name, InstancePhase::Ready).await;
    }
    let asked_at = world.now();
    assert_eq!(app.halt(Duration::from_secs(5)).await, 3);
    assert!(world.live().is_empty());
    assert_eq!(world.since(asked_at).as_secs(), 5);
    pass(1_000.0).await;
    assert_eq!(world.starts().len(), 3, "nothing starts again");
}

#[tokio::test(start_paused = true)]
async fn a_renamed_app_keeps_its_runs() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    let before = app.wait("web.1 v1", InstancePhase::Ready).await;
    let mut renamed = (**app.target.borrow()).clone();
    renamed.app = "goodbye".parse().expect("app");
    app.target.send_replace(Arc::new(renamed));
    app.observed.wait_for(|seen| seen.instances[0].instance.app.as_str() == "goodbye").await.expect("observed");
    let after = app.seen("web.1 v1").expect("seen");
    assert_eq!((after.port, after.shim_pid, after.phase), (before.port, before.shim_pid, InstancePhase::Ready));
    assert_eq!(world.starts().len(), 1);
}
