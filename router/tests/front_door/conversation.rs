//! Server and router: who comes, who goes, what is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{AppRoutes, Pool, RoutedInstance};
use router::{RouterClient, RouterEvent, Timeouts};
use tokio::sync::Semaphore;

use crate::support::{App, Front, Wire, get, listening, routes, run, serving, until, within};

#[tokio::test]
async fn nothing_is_accepted_before_the_first_table() {
    let front = Front::without_table(Timeouts::default()).await;
    let app = App::saying("hello").await;
    let mut wire = front.visit().await;
    wire.send(get("hello")).await;
    front.client.put(routes("hello", Pool::Stopped));
    let answered = tokio::time::timeout(Duration::from_millis(300), wire.stream.readable()).await;
    assert!(answered.is_err(), "an answer came without a table");
    front.client.replace(vec![routes("hello", serving("hello", &[app.port]))]);
    assert_eq!(wire.answer().await.text(), "hello");
}

#[tokio::test]
async fn a_router_without_a_server_serves_its_last_table_and_takes_the_next_server() {
    let Front { address, client, events, folder, router, .. } = Front::start().await;
    let app = App::saying("hello").await;
    client.put(routes("hello", serving("hello", &[app.port])));
    assert!(client.applied().await);
    let (listener, port) = listening();
    client.listen(&"hello".parse().expect("a name"), listener);
    let mut by_port = Wire::connect(port).await;
    by_port.send(get("other")).await;
    assert_eq!(by_port.answer().await.text(), "hello");
    drop((client, events));
    for _ in 0..20 {
        let mut wire = Wire::connect(address).await;
        wire.send(get("hello")).await;
        assert_eq!(wire.answer().await.text(), "hello");
    }
    let (next, mut events) = RouterClient::connect(folder.path().join("router.sock"));
    let event = within("a hello", events.recv()).await.expect("an event");
    let RouterEvent::Connected { listens, .. } = event else { panic!("{event:?}") };
    assert_eq!(listens.iter().map(ToString::to_string).collect::<Vec<_>>(), ["hello"]);
    // The new server does not know its apps yet: the table is kept.
    let mut wire = Wire::connect(address).await;
    wire.send(get("hello")).await;
    assert_eq!(wire.answer().await.text(), "hello");
    next.replace(Vec::new());
    assert!(next.applied().await);
    wire.send(get("hello")).await;
    assert_eq!(wire.answer().await.status, 404);
    drop(router);
}

#[tokio::test]
async fn what_a_router_listens_on_survives_it_although_the_server_that_opened_it_is_gone() {
    let mut front = Front::start().await;
    let app = App::saying("hello").await;
    front.serve("hello", &[app.port]).await;
    let (listener, port) = listening();
    front.client.listen(&"hello".parse().expect("a name"), listener);
    let mut by_port = Wire::connect(port).await;
    by_port.send(get("any")).await;
    assert_eq!(by_port.answer().await.text(), "hello");
    let (next, events) = RouterClient::connect(front.folder.path().join("router.sock"));
    let first = std::mem::replace(&mut front.client, next);
    drop((first, std::mem::replace(&mut front.events, events)));
    until("the next server holds copies", || front.client.front(front.address).is_some()).await;
    front.router.terminate();
    within("the end of the router", async { while front.event().await != RouterEvent::Disconnected {} }).await;
    let mut waiting = Wire::connect(port).await;
    waiting.send(get("any")).await;
    let next = front.next_router(Timeouts::default());
    std::mem::replace(&mut front.router, next).ended().await;
    front.client.replace(vec![routes("hello", serving("hello", &[app.port]))]);
    assert_eq!(waiting.answer().await.text(), "hello");
    assert_eq!(front.get("hello").await.text(), "hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_router_drains_while_the_next_one_serves() {
    let mut front = Front::start().await;
    let go = Arc::new(Semaphore::new(0));
    let wait = go.clone();
    let slow = App::start(move |mut wire| {
        let wait = wait.clone();
        async move {
            wire.request().await;
            let _ = wait.acquire().await.expect("open");
            wire.say("slow but whole").await;
        }
    })
    .await;
    front.serve("hello", &[slow.port]).await;
    let mut in_flight = front.visit().await;
    in_flight.send(get("hello")).await;
    until("the request at the app", || slow.taken() == 1).await;
    let (listener, port) = listening();
    front.client.listen(&"hello".parse().expect("a name"), listener);
    let next = front.next_router(Timeouts::default());
    front.router.terminate();
    assert!(front.connected().await.contains("hello"), "the client hands the port over by itself");
    assert!(front.client.applied().await);
    front.client.put(routes("hello", Pool::Serve(vec![RoutedInstance { run: run("hello", 2), port: slow.port }])));
    // Idle means: also in the router that drains.
    let mut idle = tokio::spawn({
        let client = front.client.clone();
        async move { client.idle(run("hello", 1)).await }
    });
    assert!(front.client.applied().await && !idle.is_finished());
    go.add_permits(10);
    within("idle", &mut idle).await.expect("no panic");
    assert_eq!(in_flight.answer().await.text(), "slow but whole");
    in_flight.closed().await;
    assert_eq!(front.get("hello").await.text(), "slow but whole");
    let old = std::mem::replace(&mut front.router, next);
    old.ended().await;
    let mut by_port = Wire::connect(port).await;
    by_port.send(get("any")).await;
    assert_eq!(by_port.answer().await.text(), "slow but whole");
}

#[tokio::test]
async fn a_router_that_is_gone_counts_as_drained() {
    // Nothing but its end ends the request within the test's time.
    let mut front = Front::with(Timeouts { drain: Duration::from_millis(100), ..Timeouts::default() }).await;
    let app = App::silent().await;
    front.serve("hello", &[app.port]).await;
    let mut wire = front.visit().await;
    wire.send(get("hello")).await;
    until("the request at the app", || app.taken() == 1).await;
    front.client.put(routes("hello", Pool::Stopped));
    front.router.terminate();
    within("idle", front.client.idle(run("hello", 1))).await;
}

#[tokio::test]
async fn an_invalid_table_is_refused_and_the_old_one_kept() {
    let mut front = Front::start().await;
    let app = App::saying("hello").await;
    front.serve("hello", &[app.port]).await;
    let thief = AppRoutes { hosts: vec!["hello.test".parse().expect("a host")], ..routes("thief", Pool::Stopped) };
    front.client.put(thief);
    let event = front.event().await;
    assert!(matches!(&event, RouterEvent::Refused { why } if why.contains("hello.test leads to two apps")), "{event:?}");
    assert_eq!(front.get("hello").await.text(), "hello");
    front.client.delete(&"thief".parse().expect("a name"));
    front.client.put(routes("hello", Pool::Serve(Vec::new())));
    let event = front.event().await;
    assert!(matches!(&event, RouterEvent::Refused { why } if why.contains("no instance")), "{event:?}");
    assert_eq!(front.get("hello").await.text(), "hello");
}

#[tokio::test]
async fn a_host_name_moves_from_one_app_to_another() {
    let front = Front::start().await;
    let (one, two) = (App::saying("one").await, App::saying("two").await);
    let shared = || vec!["shared.test".parse().expect("a host")];
    front.client.put(AppRoutes { hosts: shared(), ..routes("one", serving("one", &[one.port])) });
    assert!(front.client.applied().await);
    assert_eq!(front.get("shared").await.text(), "one");
    // Three changes of which only the last states may be said, the claim before the release.
    front.client.put(routes("one", Pool::Stopped));
    front.client.put(AppRoutes { hosts: shared(), ..routes("two", serving("two", &[two.port])) });
    front.client.put(routes("one", serving("one", &[one.port])));
    assert!(front.client.applied().await);
    assert_eq!(front.get("shared").await.text(), "two");
    assert_eq!(front.get("one").await.text(), "one");
}

#[tokio::test]
async fn the_last_byte_of_a_run_is_known() {
    let front = Front::start().await;
    let app = App::saying("hello").await;
    front.serve("hello", &[app.port]).await;
    assert_eq!(front.client.last_byte(&run("hello", 1)).await, None);
    assert_eq!(front.get("hello").await.status, 200);
    let age = front.client.last_byte(&run("hello", 1)).await.expect("a byte was seen");
    assert!(age < Duration::from_secs(5), "{age:?}");
    assert_eq!(front.client.last_byte(&run("hello", 7)).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_of_many_hosts_change_during_load() {
    const APPS: usize = 200;
    let front = Front::start().await;
    let app = App::saying("hello").await;
    let name = |n: usize| format!("app-{n}");
    front.client.replace((0..APPS).map(|n| routes(&name(n), serving(&name(n), &[app.port]))).collect());
    assert!(front.client.applied().await);
    let stop = Arc::new(AtomicBool::new(false));
    let (address, stopped) = (front.address, stop.clone());
    let load = tokio::spawn(async move {
        let mut count = 0;
        let mut wire = Wire::connect(address).await;
        while !stopped.load(Ordering::Relaxed) {
            wire.send(get(&format!("app-{}", count % APPS))).await;
            assert_eq!(wire.answer().await.status, 200);
            count += 1;
        }
        count
    });
    for round in 1..=10_u64 {
        for n in 0..APPS {
            let moved = AppRoutes {
                hosts: vec![format!("{}.test", name(n)).parse().expect("a host"), format!("r{round}-{n}.test").parse().expect("a host")],
                ..routes(&name(n), serving(&name(n), &[app.port]))
            };
            front.client.put(moved);
        }
        assert!(front.client.applied().await);
    }
    stop.store(true, Ordering::Relaxed);
    assert!(within("the load", load).await.expect("every request was answered") > 0);
}

#[tokio::test]
async fn idle_connections_end_at_once_when_the_router_is_to_end() {
    let mut front = Front::start().await;
    let app = App::saying("hello").await;
    front.serve("hello", &[app.port]).await;
    let mut wire = front.visit().await;
    wire.send(get("hello")).await;
    assert_eq!(wire.answer().await.status, 200);
    front.router.terminate();
    wire.closed().await;
    front.router.ended().await;
}
