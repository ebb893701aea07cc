//! Processes that say how they are on `NOTIFY_SOCKET`.

use std::time::Duration;

use model::StopReason;
use model::engine::InstancePhase;

use super::world::{App, WELL, World, pass, target};
use crate::host::Watchdog;

#[tokio::test(start_paused = true)]
async fn a_worker_is_ready_when_it_says_so_and_its_status_is_shown() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve bot=1"]));
    app.wait("bot.1 v1", InstancePhase::Starting).await;
    pass(0.1).await;
    world.say("hello bot.1 v1", |said| said.status = Some("connecting\u{1b}[2J".to_owned()));
    pass(1.0).await;
    let seen = app.seen("bot.1 v1").expect("seen");
    assert_eq!((seen.phase, seen.status.as_deref()), (InstancePhase::Starting, Some("connecting")));
    world.say("hello bot.1 v1", |said| said.ready = true);
    let before = world.now();
    app.wait("bot.1 v1", InstancePhase::Ready).await;
    assert!(world.since(before) < Duration::from_secs(1), "not after 10 s");
}

#[tokio::test(start_paused = true)]
async fn a_web_process_that_says_ready_still_has_to_answer() {
    let world = World::new(|_, _| super::world::Behaviour { boots_after: Duration::from_secs(20), ..WELL });
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    app.wait("web.1 v1", InstancePhase::Starting).await;
    pass(0.1).await;
    world.say("hello web.1 v1", |said| said.ready = true);
    pass(10.0).await;
    assert_eq!(app.phase("web.1 v1"), Some(InstancePhase::Starting));
    app.wait("web.1 v1", InstancePhase::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn a_watchdog_that_is_not_fed_twice_aborts_and_restarts() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve bot=1"]));
    app.wait("bot.1 v1", InstancePhase::Starting).await;
    pass(0.1).await;
    let run = world.run("hello bot.1 v1");
    let ping = |age: u64| Watchdog { age: Duration::from_secs(age), interval: Some(Duration::from_secs(10)), triggered: false };
    world.say("hello bot.1 v1", |said| (said.ready, said.watchdog) = (true, Some(ping(0))));
    app.wait("bot.1 v1", InstancePhase::Ready).await;
    // Pings are no news: the task asks when one may be overdue, and finds it fed.
    for _ in 0..5 {
        pass(19.0).await;
        run.feed(ping(0));
        pass(1.0).await;
        assert_eq!(app.phase("bot.1 v1"), Some(InstancePhase::Ready));
        run.feed(ping(1));
    }
    run.feed(ping(21));
    app.wait("bot.1 v1", InstancePhase::Stopping).await;
    app.wait("bot.1 v1", InstancePhase::Starting).await;
    assert_eq!(run.signals(), [6], "SIGABRT before SIGTERM");
    let end = app.seen("bot.1 v1").expect("seen").last_end.expect("an end");
    assert!(matches!(end.reason, StopReason::Watchdog { seconds: 20..=22 }), "{}", end.reason);
}
