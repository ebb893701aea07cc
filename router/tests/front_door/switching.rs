//! New tables under load: nothing is lost, and a run is idle when it is idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use model::{Pool, RoutedInstance};
use tokio::sync::Notify;

use crate::support::{App, Front, alone_with_files, get, hurried, run, until, within};

/// Visits in a loop until told to stop; gives how many went well and what went wrong.
fn load(front: &Front, stop: &Arc<AtomicBool>, keep_alive: bool) -> tokio::task::JoinHandle<(usize, Vec<String>)> {
    let (address, stop) = (front.address, stop.clone());
    tokio::spawn(async move {
        let (mut good, mut bad) = (0, Vec::new());
        let mut wire = crate::support::Wire::connect(address).await;
        while !stop.load(Ordering::Relaxed) {
            if !keep_alive {
                wire = crate::support::Wire::connect(address).await;
            }
            wire.send(get("hello")).await;
            let answer = wire.answer().await;
            if answer.status == 200 && answer.whole { good += 1 } else { bad.push(answer.text()) }
        }
        (good, bad)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_under_a_request_loop_loses_nothing() {
    let front = Front::start().await;
    let mut app = App::saying("0").await;
    let pool = |number, port| Pool::Serve(vec![RoutedInstance { run: run("hello", number), port }]);
    front.route("hello", pool(1, app.port)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let loops: Vec<_> = (0..8).map(|n| load(&front, &stop, n % 2 == 0)).collect();
    for number in 2..=20 {
        let next = App::saying("next").await;
        front.route("hello", pool(number, next.port)).await;
        within("idle", front.client.idle(run("hello", number - 1))).await;
        // The old instance is gone for good, as after its SIGTERM.
        app = next;
    }
    stop.store(true, Ordering::Relaxed);
    let mut total = 0;
    for task in loops {
        let (good, bad) = within("a loop", task).await.expect("no panic");
        assert!(bad.is_empty(), "{bad:?}");
        total += good;
    }
    assert!(total > 100, "only {total} requests");
    drop(app);
}

#[tokio::test]
async fn a_run_is_idle_only_after_its_last_request() {
    let front = Front::start().await;
    let go = Arc::new(Notify::new());
    let (release, asked) = (go.clone(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    let old = App::start(move |mut wire| {
        let (release, count) = (release.clone(), count.clone());
        async move {
            wire.request().await;
            count.fetch_add(1, Ordering::SeqCst);
            release.notified().await;
            wire.say("from the old one").await;
        }
    })
    .await;
    let new = App::saying("from the new one").await;
    front.serve("hello", &[old.port]).await;
    let mut slow = front.visit().await;
    slow.send(get("hello")).await;
    until("the slow request at the app", || asked.load(Ordering::SeqCst) == 1).await;
    front.route("hello", Pool::Serve(vec![RoutedInstance { run: run("hello", 2), port: new.port }])).await;
    assert_eq!(front.get("hello").await.text(), "from the new one");
    let idle = tokio::spawn({
        let client = front.client.clone();
        async move { client.idle(run("hello", 1)).await }
    });
    // Another round trip shows that `idle` was not merely slow to start.
    assert!(front.client.applied().await);
    assert!(!idle.is_finished());
    go.notify_one();
    assert_eq!(slow.answer().await.text(), "from the old one");
    within("idle", idle).await.expect("no panic");
}

#[tokio::test]
async fn a_run_without_requests_is_idle_at_once() {
    let front = Front::start().await;
    let app = App::saying("hello").await;
    front.serve("hello", &[app.port]).await;
    assert_eq!(front.get("hello").await.status, 200);
    front.client.put(crate::support::routes("hello", Pool::Stopped));
    within("idle", front.client.idle(run("hello", 1))).await;
}

#[tokio::test]
async fn tunnels_of_a_run_that_left_the_table_are_closed_in_time() {
    let front = Front::with(hurried()).await;
    let app = App::start(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n").await;
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        loop {
            pace.tick().await;
            wire.send(".").await;
        }
    })
    .await;
    front.serve("hello", &[app.port]).await;
    let mut wire = front.visit().await;
    wire.send("GET / HTTP/1.1\r\nHost: hello.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, 101);
    front.route("hello", Pool::Stopped).await;
    within("idle", front.client.idle(run("hello", 1))).await;
    wire.closed().await;
}

#[tokio::test]
async fn a_tunnel_in_which_nobody_speaks_is_closed_and_logged_as_h15() {
    let front = Front::with(hurried()).await;
    let app = App::start(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n").await;
        wire.closed().await;
    })
    .await;
    front.serve("hello", &[app.port]).await;
    let mut wire = front.visit().await;
    wire.send("GET / HTTP/1.1\r\nHost: hello.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, 101);
    wire.closed().await;
    let lines = front.access_lines(1).await;
    assert!(lines[0].starts_with("at=error code=H15 desc=\"Idle connection\""), "{lines:?}");
    assert!(lines[0].contains("status=101"), "{lines:?}");
}

#[tokio::test]
async fn held_requests_are_served_once_an_instance_is_there() {
    let front = Front::start().await;
    front.route("hello", Pool::Hold { for_at_most_ms: 10_000 }).await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut wire = front.visit().await;
        wire.send(get("hello")).await;
        waiting.push(wire);
    }
    let app = App::saying("after the wait").await;
    front.serve("hello", &[app.port]).await;
    for wire in &mut waiting {
        assert_eq!(wire.answer().await.text(), "after the wait");
    }
}

#[tokio::test]
async fn a_hold_that_is_too_long_ends_with_503_and_retry_after() {
    let front = Front::start().await;
    front.route("hello", Pool::Hold { for_at_most_ms: 100 }).await;
    let answer = front.get("hello").await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("Retry-After: 10\r\n"), "{}", answer.head);
    assert!(answer.text().contains("H20"));
}

#[test]
fn the_queue_of_held_requests_is_bounded() {
    alone_with_files("switching::the_queue_of_held_requests_is_bounded", 2_000, async {
        let front = Front::start().await;
        front.route("hello", Pool::Hold { for_at_most_ms: 60_000 }).await;
        let mut waiting = Vec::new();
        for _ in 0..router::limits::HELD_PER_APP_MAX {
            let mut wire = front.visit().await;
            wire.send(get("hello")).await;
            waiting.push(wire);
        }
        // The last of them may not be counted yet: the first that is too many tells.
        within("a full queue", async {
            loop {
                let mut wire = front.visit().await;
                wire.send(get("hello")).await;
                if let Ok(answer) = tokio::time::timeout(Duration::from_secs(2), wire.answer()).await {
                    assert_eq!(answer.status, 503);
                    assert!(answer.text().contains("H11"), "{}", answer.text());
                    return;
                }
                waiting.push(wire);
            }
        })
        .await;
        assert!(waiting.len() <= router::limits::HELD_PER_APP_MAX + 1);
    });
}
