//! Crashes, slow boots and starts that fail.

use std::time::Duration;

use model::engine::InstancePhase;
use model::{ExitStatus, StopReason};

use super::world::{App, Behaviour, WELL, World, pass, shared, target};

const CRASHING: Behaviour = Behaviour { ends: Some((Duration::from_millis(200), 1)), boots_after: Duration::from_secs(1), ..WELL };

#[tokio::test(start_paused = true)]
async fn crashes_are_answered_three_times_at_once_and_then_ever_later() {
    let world = World::new(|_, _| CRASHING);
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    app.wait("web.1 v1", InstancePhase::Backoff).await;
    pass(2_000.0).await;
    let starts = world.starts();
    let waits = starts.windows(2).map(|pair| format!("{:.0}", pair[1].0 - pair[0].0 - 0.2)).collect::<Vec<_>>().join(" ");
    assert_eq!(waits, "0 0 0 1 2 4 8 16 32 64 128 256 300 300 300 300");
    let seen = app.seen("web.1 v1").expect("seen");
    assert_eq!(seen.last_end.expect("an end").status, ExitStatus::Code(1));
    assert!(seen.next_start_unix_ms.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_ten_minutes_of_health_restarts_at_once() {
    let world = World::new(|_, earlier| if earlier < 5 { CRASHING } else { WELL });
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    pass(700.0).await;
    world.run("hello web.1 v1").finish(ExitStatus::Signal { signal: 11, core: false }, false);
    app.wait("web.1 v1", InstancePhase::Starting).await;
    assert_eq!(app.wait("web.1 v1", InstancePhase::Ready).await.restarts, 6);
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_crashes_fails_and_is_not_tried_again() {
    let world = World::new(|run, _| if run.version.0 == 2 { CRASHING } else { WELL });
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    app.set(&["v1 Serve web=1", "v2 Prepare web=1"]);
    let failed = app.wait("web.1 v2", InstancePhase::Failed).await;
    let end = failed.last_end.expect("an end");
    assert_eq!((end.status, end.reason), (ExitStatus::Code(1), StopReason::Exited));
    pass(500.0).await;
    assert_eq!(world.starts().len(), 2);
    assert_eq!(world.live(), ["hello web.1 v1"], "the old one never stopped");
    app.set(&["v1 Serve web=1", "v2 Retire web=1"]);
    app.wait("web.1 v2", InstancePhase::Down).await;
    app.set(&["v1 Serve web=1"]);
    pass(0.1).await;
    assert_eq!(app.seen("web.1 v2"), None);
}

#[tokio::test(start_paused = true)]
async fn a_web_that_never_answers_is_killed_after_its_boot_timeout() {
    let world = World::new(|_, _| Behaviour { boots_after: Duration::from_secs(9_999), ..WELL });
    let mut app = App::start(&world, target(&["v1 Handover web=1"]));
    let failed = app.wait("web.1 v1", InstancePhase::Failed).await;
    let end = failed.last_end.expect("an end");
    assert_eq!(end.reason, StopReason::BootTimeout { seconds: 60 });
    assert_eq!(end.reason.code(), Some("R10"));
    assert!((59_900..60_200).contains(&end.ran_ms), "{}", end.ran_ms);
}

#[tokio::test(start_paused = true)]
async fn a_slow_boot_once_allows_a_slower_one_next_time() {
    let boot = |earlier| Duration::from_secs(if earlier == 0 { 40 } else { 110 });
    let world = World::new(move |_, earlier| Behaviour { boots_after: boot(earlier), ..WELL });
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    assert_eq!(app.wait("web.1 v1", InstancePhase::Ready).await.ready_after_ms.map(|ms| ms / 1_000), Some(40));
    app.set(&["v1 Serve web=1", "v2 Prepare web=1"]);
    app.wait("web.1 v2", InstancePhase::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_without_work_is_finished_after_three_exits() {
    let world = World::new(|_, _| Behaviour { ends: Some((Duration::from_secs(1), 0)), ..WELL });
    let mut app = App::start(&world, target(&["v1 Serve seed=1"]));
    app.wait("seed.1 v1", InstancePhase::Finished).await;
    pass(1_000.0).await;
    assert_eq!(world.starts().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn while_launch_is_away_a_start_waits_and_no_crash_is_counted() {
    let world = World::new(|_, _| WELL);
    world.set_launch_away(true);
    let mut app = App::start(&world, target(&["v1 Prepare web=1"]));
    pass(20.0).await;
    assert_eq!(app.phase("web.1 v1"), Some(InstancePhase::Starting));
    world.set_launch_away(false);
    assert_eq!(app.wait("web.1 v1", InstancePhase::Ready).await.restarts, 0);
    let world = World::new(|_, _| WELL);
    world.set_launch_away(true);
    let mut app = App::start(&world, target(&["v1 Prepare web=1"]));
    let failed = app.wait("web.1 v1", InstancePhase::Failed).await;
    assert!(matches!(failed.last_end.expect("an end").reason, StopReason::SpawnFailed { .. }));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_instances_start_at_once() {
    let world = World::new(|_, _| Behaviour { boots_after: Duration::from_secs(2), ..WELL });
    let mut app = App::start_with(&world, target(&["v1 Serve web=12"]), shared(4), Vec::new());
    for ordinal in 1..=12 {
        app.wait(&format!("web.{ordinal} v1"), InstancePhase::Ready).await;
    }
    assert_eq!(world.starting_most(), 4);
}

#[tokio::test(start_paused = true)]
async fn one_that_never_boots_does_not_hold_up_the_others_for_long() {
    let never = |run: &model::RunId| run.instance.ordinal == 1;
    let boots = move |run: &model::RunId| Duration::from_secs(if never(run) { 9_999 } else { 1 });
    let world = World::new(move |run, _| Behaviour { boots_after: boots(run), ..WELL });
    let mut app = App::start_with(&world, target(&["v1 Serve web=2"]), shared(1), Vec::new());
    app.wait("web.2 v1", InstancePhase::Ready).await;
    assert!(world.now() < Duration::from_secs(20), "{:?}", world.now());
}

#[tokio::test(start_paused = true)]
async fn a_hundred_processes_without_a_port_wait_for_nobody() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start_with(&world, target(&["v1 Serve worker=100"]), shared(4), Vec::new());
    for ordinal in 1..=100 {
        app.wait(&format!("worker.{ordinal} v1"), InstancePhase::Ready).await;
    }
    // Each is ready when it stayed up for ten seconds, and they all began at once.
    assert!(world.now() < Duration::from_secs(12), "{:?}", world.now());
}
