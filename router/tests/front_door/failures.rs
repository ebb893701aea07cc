//! Apps that are not there, refuse, hang or die.

use std::time::Duration;

use model::{Pool, RoutedInstance};
use router::{RouterEvent, Timeouts, TroubleKind};

use crate::support::{App, Front, field, get, hurried, run, serving, until, within};

/// A port where nobody listens.
async fn closed_port() -> u16 {
    App::saying("").await.port
}

#[tokio::test]
async fn an_instance_that_refuses_is_passed_over() {
    let mut front = Front::start().await;
    let app = App::saying("here").await;
    front.serve("hello", &[closed_port().await, app.port]).await;
    for _ in 0..10 {
        assert_eq!(front.get("hello").await.text(), "here");
    }
    let event = front.event().await;
    assert_eq!(event, RouterEvent::Trouble { run: run("hello", 1), kind: TroubleKind::Refused });
}

#[tokio::test]
async fn when_every_instance_refuses_the_visitor_gets_h21() {
    let front = Front::with(hurried()).await;
    front.serve("hello", &[closed_port().await]).await;
    let answer = front.get("hello").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("H21") && answer.text().contains("paas ps:why web.1 -a hello"), "{}", answer.text());
}

#[tokio::test]
async fn a_request_that_met_a_dead_instance_waits_for_the_next_table() {
    let front = Front::start().await;
    front.serve("hello", &[closed_port().await]).await;
    let mut wire = front.visit().await;
    wire.send(get("hello")).await;
    let app = App::saying("the next one").await;
    front.route("hello", Pool::Serve(vec![RoutedInstance { run: run("hello", 9), port: app.port }])).await;
    assert_eq!(wire.answer().await.text(), "the next one");
}

#[tokio::test]
async fn an_app_that_never_answers_is_h12_and_trouble() {
    let mut front = Front::with(hurried()).await;
    let app = App::silent().await;
    front.serve("hello", &[app.port]).await;
    let answer = front.get("hello").await;
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("H12"));
    assert_eq!(front.event().await, RouterEvent::Trouble { run: run("hello", 1), kind: TroubleKind::Timeout });
}

#[tokio::test]
async fn a_frozen_listener_with_a_full_queue_is_h19() {
    let front = Front::with(hurried()).await;
    // Nobody accepts, and one connection fills the queue.
    let frozen = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    rustix::net::listen(&frozen, 0).expect("a short queue");
    let address = frozen.local_addr().expect("an address");
    let mut filling = Vec::new();
    for _ in 0..4 {
        filling.push(tokio::spawn(tokio::net::TcpStream::connect(address)));
    }
    until("the first connections", || filling.iter().filter(|task| task.is_finished()).count() >= 1).await;
    front.serve("hello", &[address.port()]).await;
    let answer = front.get("hello").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.text().contains("H19"), "{}", answer.text());
    filling.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn an_app_that_closes_without_an_answer_is_h13_and_its_request_is_not_sent_twice() {
    let front = Front::start().await;
    let app = App::start(|mut wire| async move {
        wire.request().await;
    })
    .await;
    front.serve("hello", &[app.port]).await;
    let answer = front.get("hello").await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("H13"));
    assert_eq!(app.taken(), 1);
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_h17() {
    let front = Front::start().await;
    let app = App::answering("SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
    front.serve("hello", &[app.port]).await;
    let answer = front.get("hello").await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("H17"));
}

#[tokio::test]
async fn crashed_and_stopped_apps_have_pages_in_the_visitors_form() {
    let front = Front::start().await;
    front.route("crashed", Pool::Crashed).await;
    front.route("stopped", Pool::Stopped).await;
    for (name, code) in [("crashed", "H10"), ("stopped", "H14")] {
        let mut wire = front.visit().await;
        for (accept, kind) in [
            ("text/html,*/*;q=0.8", "text/html; charset=utf-8"),
            ("application/json", "application/json"),
            ("*/*", "text/plain; charset=utf-8"),
        ] {
            wire.send(format!("GET / HTTP/1.1\r\nHost: {name}.test\r\nAccept: {accept}\r\n\r\n")).await;
            let answer = wire.answer().await;
            assert_eq!((answer.status, field(&answer.head, "content-type")), (503, Some(kind)));
            assert!(answer.text().contains(code), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn the_keep_alive_race_costs_no_request() {
    let front = Front::start().await;
    // Closes each connection right after its answer, without saying so.
    let app = App::start(|mut wire| async move {
        if wire.request().await.is_some() {
            wire.say("hello").await;
        }
    })
    .await;
    front.serve("hello", &[app.port]).await;
    let mut wire = front.visit().await;
    for _ in 0..200 {
        wire.send(get("hello")).await;
        assert_eq!(wire.answer().await.status, 200);
    }
    for _ in 0..50 {
        wire.send("POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: 2\r\n\r\nhi").await;
        assert_eq!(wire.answer().await.status, 200);
    }
}

#[tokio::test]
async fn an_app_that_serves_one_connection_at_a_time_is_not_starved_by_ours() {
    let front = Front::start().await;
    let busy = std::sync::Arc::new(tokio::sync::Mutex::new(()));
    let app = App::start(move |mut wire| {
        let busy = busy.clone();
        async move {
            let _one = busy.lock().await;
            while wire.request().await.is_some() {
                wire.say("hello").await;
            }
        }
    })
    .await;
    front.serve("hello", &[app.port]).await;
    let visits: Vec<_> = (0..10)
        .map(|_| async {
            assert_eq!(front.get("hello").await.status, 200);
            let mut wire = front.visit().await;
            wire.send("POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: 2\r\n\r\nhi").await;
            assert_eq!(wire.answer().await.status, 200);
        })
        .collect();
    within("every answer", async {
        for visit in visits {
            visit.await;
        }
        let (one, other) = tokio::join!(front.get("hello"), front.get("hello"));
        assert_eq!((one.status, other.status), (200, 200));
    })
    .await;
}

#[tokio::test]
async fn a_visitor_who_leaves_after_a_second_of_silence_is_trouble() {
    let mut front = Front::start().await;
    let app = App::silent().await;
    front.serve("hello", &[app.port]).await;
    let mut wire = front.visit().await;
    wire.send(get("hello")).await;
    let patience = Duration::from_millis(router::limits::LEFT_AFTER_MS + 100);
    assert!(tokio::time::timeout(patience, wire.answer()).await.is_err());
    drop(wire);
    assert_eq!(front.event().await, RouterEvent::Trouble { run: run("hello", 1), kind: TroubleKind::Left });
}

#[tokio::test]
async fn of_two_instances_a_frozen_one_gets_few_requests() {
    let front = Front::with(Timeouts { first_byte: Duration::from_secs(10), ..hurried() }).await;
    let frozen = App::silent().await;
    let lively = App::saying("lively").await;
    front.route("hello", serving("hello", &[frozen.port, lively.port])).await;
    let mut stuck = Vec::new();
    let mut answered = 0;
    for _ in 0..50 {
        let mut wire = front.visit().await;
        wire.send(get("hello")).await;
        match tokio::time::timeout(Duration::from_millis(200), wire.answer()).await {
            Ok(answer) => answered += usize::from(answer.status == 200),
            Err(_) => stuck.push(wire),
        }
    }
    // Least in flight: once one request hangs there, the other one is less busy.
    assert!(stuck.len() <= 2 && answered >= 48, "{} stuck, {answered} answered", stuck.len());
}
