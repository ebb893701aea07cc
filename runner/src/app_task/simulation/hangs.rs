//! Silence, and what is done about it.

use std::time::Duration;

use model::StopReason;
use model::engine::InstancePhase;

use super::super::Message;
use super::world::{App, Behaviour, WELL, World, pass, shared, target};
use crate::limits::PROBE_EVERY_AFTER_SILENCE;

#[tokio::test(start_paused = true)]
async fn an_idle_hang_is_restarted_within_95_seconds() {
    for ignores_term in [false, true] {
        let world = World::new(move |_, _| Behaviour { ignores_term, ..WELL });
        let mut app = App::start(&world, target(&["v1 Serve web=1"]));
        app.release_what_drains(Duration::from_millis(50));
        app.wait("web.1 v1", InstancePhase::Ready).await;
        let hung_at = world.now();
        world.hang("hello web.1 v1");
        app.wait("web.1 v1", InstancePhase::Starting).await;
        let seen = app.wait("web.1 v1", InstancePhase::Ready).await;
        let began = world.starts()[1].0 - hung_at.as_secs_f64();
        assert!((60.0..=95.0).contains(&began), "{began}");
        assert_eq!(seen.restarts, 1);
        let end = seen.last_end.expect("an end");
        assert_eq!(end.reason, StopReason::Silent { seconds: 60, probe: "GET / -> no byte within 5 s".to_owned() });
        assert_eq!(end.last_lines, ["last words of web.1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_at_the_router_shortens_the_wait_to_a_minute() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    app.release_what_drains(Duration::from_millis(20));
    let number = app.wait("web.1 v1", InstancePhase::Ready).await.run.expect("a run").number;
    pass(10.0).await;
    world.hang("hello web.1 v1");
    app.messages.send(Message::Trouble(number)).await.expect("listens");
    let hung_at = world.now();
    app.wait("web.1 v1", InstancePhase::Draining).await;
    assert_eq!(world.since(hung_at).as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn the_last_routed_instance_is_never_made_unready() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    world.hang("hello web.1 v1");
    for _ in 0..85 {
        pass(1.0).await;
        assert_eq!(app.phase("web.1 v1"), Some(InstancePhase::Ready));
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_two_is_routed_around_after_15_silent_seconds_and_comes_back() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve web=2"]));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    app.wait("web.2 v1", InstancePhase::Ready).await;
    let hung_at = world.now();
    world.hang("hello web.1 v1");
    app.wait("web.1 v1", InstancePhase::Unready).await;
    let after = world.since(hung_at).as_secs_f64();
    assert!((44.0..=46.0).contains(&after), "{after}");
    assert_eq!(app.phase("web.2 v1"), Some(InstancePhase::Ready));
    world.recover("hello web.1 v1");
    app.wait("web.1 v1", InstancePhase::Ready).await;
    assert_eq!(world.starts().len(), 2, "nothing was restarted");
}

#[tokio::test(start_paused = true)]
async fn a_byte_that_the_router_saw_makes_an_unready_instance_ready_with_the_next_look() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve web=2"]));
    app.wait("web.2 v1", InstancePhase::Ready).await;
    app.wait("web.1 v1", InstancePhase::Ready).await;
    world.hang("hello web.1 v1");
    app.wait("web.1 v1", InstancePhase::Unready).await;
    world.visit("hello web.1 v1");
    let before = world.now();
    app.wait("web.1 v1", InstancePhase::Ready).await;
    assert!(world.since(before) <= PROBE_EVERY_AFTER_SILENCE);
}

#[tokio::test(start_paused = true)]
async fn when_both_hang_one_stays_routed() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve web=2"]));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    app.wait("web.2 v1", InstancePhase::Ready).await;
    world.hang("hello web.1 v1");
    world.hang("hello web.2 v1");
    pass(80.0).await;
    let phases = [app.phase("web.1 v1"), app.phase("web.2 v1")];
    assert!(phases.contains(&Some(InstancePhase::Ready)) && phases.contains(&Some(InstancePhase::Unready)), "{phases:?}");
}

#[tokio::test(start_paused = true)]
async fn traffic_that_proves_life_needs_no_probe() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    let before = world.probes_of("hello web.1 v1").len();
    for _ in 0..60 {
        world.visit("hello web.1 v1");
        pass(10.0).await;
    }
    assert_eq!(world.probes_of("hello web.1 v1").len(), before);
    pass(600.0).await;
    let idle = world.probes_of("hello web.1 v1").len() - before;
    assert!((19..=20).contains(&idle), "every 30 s when idle, not {idle} in 600 s");
}

#[tokio::test(start_paused = true)]
async fn a_busy_instance_whose_probes_starve_is_left_alone_while_bytes_flow() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    world.hang("hello web.1 v1");
    for _ in 0..40 {
        pass(20.0).await;
        world.visit("hello web.1 v1");
    }
    assert_eq!((app.phase("web.1 v1"), world.starts().len()), (Some(InstancePhase::Ready), 1));
}

#[tokio::test(start_paused = true)]
async fn an_app_that_answers_500_is_not_restarted() {
    let world = World::new(|_, _| Behaviour { status: 500, ..WELL });
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    let seen = app.wait("web.1 v1", InstancePhase::Ready).await;
    assert_eq!((seen.check.as_deref(), seen.probe_status), (Some("GET / -> 500"), Some(500)));
    pass(600.0).await;
    assert_eq!(world.starts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_does_not_cure_doubles_the_window() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    app.release_what_drains(Duration::from_millis(20));
    let mut waits = Vec::new();
    for _ in 0..6 {
        app.wait("web.1 v1", InstancePhase::Ready).await;
        let hung_at = world.now();
        world.hang("hello web.1 v1");
        app.wait("web.1 v1", InstancePhase::Draining).await;
        waits.push(world.since(hung_at).as_secs());
    }
    assert_eq!(waits, [90, 150, 270, 510, 630, 630]);
}

#[tokio::test(start_paused = true)]
async fn two_silent_instances_of_the_box_are_restarted_at_a_time_and_one_per_app() {
    let world = World::new(|_, _| Behaviour { boots_after: Duration::from_secs(20), ..WELL });
    let shared = shared(10);
    let mut apps = Vec::new();
    for (number, name) in ["aa", "bb", "cc"].iter().enumerate() {
        let mut target = target(&["v1 Serve web=2"]);
        target.app = name.parse().expect("app");
        target.number = model::AppNumber(20 + u32::try_from(number).expect("small"));
        let app = App::start_with(&world, target, std::sync::Arc::clone(&shared), Vec::new());
        app.release_what_drains(Duration::from_millis(20));
        apps.push(app);
    }
    for app in &mut apps {
        app.wait("web.1 v1", InstancePhase::Ready).await;
        app.wait("web.2 v1", InstancePhase::Ready).await;
    }
    for name in ["aa", "bb", "cc"] {
        world.hang(&format!("{name} web.1 v1"));
        world.hang(&format!("{name} web.2 v1"));
    }
    let down = |app: &App| {
        let up = |name: &str| matches!(app.phase(name), Some(InstancePhase::Ready | InstancePhase::Unready));
        usize::from(!up("web.1 v1")) + usize::from(!up("web.2 v1"))
    };
    for _ in 0..4_000 {
        pass(0.1).await;
        let counts: Vec<usize> = apps.iter().map(down).collect();
        assert!(counts.iter().all(|count| *count <= 1), "one per app: {counts:?}");
        assert!(counts.iter().sum::<usize>() <= 2, "two per box: {counts:?}");
    }
    assert_eq!(world.starts().len(), 12, "each was restarted once");
}
