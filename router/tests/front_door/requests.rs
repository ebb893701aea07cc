//! What goes through, and as what.

use model::{Pool, RoutedInstance};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{App, Front, Wire, field, get, hurried, listening, run, within};

/// Sends raw bytes and gives the status of the answer, 0 if there was none.
async fn status_of(front: &Front, request: &str) -> u16 {
    let mut wire = front.visit().await;
    wire.send(request).await;
    wire.head().await.map_or(0, |head| head[9..12].parse().expect("a status"))
}

/// Echoes the head of each request as its body.
async fn echo() -> App {
    App::start(|mut wire| async move {
        while let Some(head) = wire.request().await {
            wire.say(&head).await;
        }
    })
    .await
}

#[tokio::test]
async fn requests_that_could_be_smuggled_get_400_and_never_reach_the_app() {
    let front = Front::start().await;
    let app = App::saying("hello").await;
    front.serve("hello", &[app.port]).await;
    let bad = [
        "POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: +3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: hello.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: hello.test\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: hello.test\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\nHost: hello.test\n\n",
        "GET / HTTP/1.1\r\nHost: hello.test\r\nA: b\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: hello.test\r\nA: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: hello.test\r\nA: \0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: hello.test\r\nHost: other.test\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET http://hello.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n",
    ];
    for request in bad {
        assert_eq!(status_of(&front, request).await, 400, "{request:?}");
    }
    assert_eq!(app.taken(), 0);
}

#[tokio::test]
async fn a_broken_chunk_ends_the_request_before_the_app_sees_its_end() {
    let front = Front::start().await;
    let app = App::start(|mut wire| async move {
        wire.head().await;
        wire.closed().await;
    })
    .await;
    front.serve("hello", &[app.port]).await;
    let request = "POST / HTTP/1.1\r\nHost: hello.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    assert_eq!(status_of(&front, request).await, 400);
}

#[tokio::test]
async fn long_lines_and_large_heads_get_their_own_statuses() {
    let front = Front::start().await;
    let line = format!("GET /{} HTTP/1.1\r\nHost: hello.test\r\n\r\n", "a".repeat(9_000));
    assert_eq!(status_of(&front, &line).await, 414);
    let fields = format!("GET / HTTP/1.1\r\nHost: hello.test\r\n{}\r\n", "A: b\r\n".repeat(128));
    assert_eq!(status_of(&front, &fields).await, 431);
    let bytes = format!("GET / HTTP/1.1\r\nHost: hello.test\r\nA: {}\r\n\r\n", "a".repeat(66_000));
    assert_eq!(status_of(&front, &bytes).await, 431);
    assert_eq!(status_of(&front, "GET / HTTP/2.0\r\nHost: hello.test\r\n\r\n").await, 505);
    assert_eq!(status_of(&front, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").await, 405);
}

#[tokio::test]
async fn host_names_lead_to_apps_without_case_port_and_trailing_dot() {
    let front = Front::start().await;
    let app = echo().await;
    front.serve("hello", &[app.port]).await;
    for host in ["hello.test", "HELLO.Test", "hello.test.", "hello.test:8080"] {
        let answer = status_of(&front, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer, 200, "{host}");
    }
    let mut wire = front.visit().await;
    wire.send("GET /b%C3%BC//../%2F?q=\u{fc}#f HTTP/1.1\r\nHost: Hello.test:8080\r\nX-E: \r\nX-Two: 1\r\nx-two: \u{e9}\r\n\r\n").await;
    let seen = wire.answer().await.text();
    assert!(
        seen.starts_with("GET /b%C3%BC//../%2F?q=\u{fc}#f HTTP/1.1\r\nHost: Hello.test:8080\r\nX-E: \r\nX-Two: 1\r\nx-two: \u{e9}\r\n"),
        "{seen}"
    );
    assert_eq!(field(&seen, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(field(&seen, "x-forwarded-port"), Some(front.address.port().to_string().as_str()));
    assert_eq!(field(&seen, "x-request-id").map(str::len), Some(36));
}

#[tokio::test]
async fn unknown_names_get_a_404_that_lists_nothing_and_the_bare_address_a_welcome() {
    let front = Front::start().await;
    let app = App::saying("hello").await;
    front.serve("hello", &[app.port]).await;
    let answer = front.get("unknown").await;
    assert_eq!(answer.status, 404);
    assert!(!answer.text().contains("hello") && !answer.text().contains("paas"), "{}", answer.text());
    assert_eq!(status_of(&front, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await, 200);
    assert_eq!(status_of(&front, "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n").await, 200);
}

#[tokio::test]
async fn an_apps_own_port_needs_no_name() {
    let front = Front::start().await;
    let app = App::saying("by port").await;
    front.serve("hello", &[app.port]).await;
    let (listener, address) = listening();
    front.client.listen(&"hello".parse().expect("a name"), listener);
    for host in ["whatever.example", "127.0.0.1:8101"] {
        let mut wire = Wire::connect(address).await;
        wire.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(wire.answer().await.text(), "by port");
    }
    let mut old = Wire::connect(address).await;
    old.send("GET / HTTP/1.0\r\n\r\n").await;
    assert!(String::from_utf8_lossy(&old.rest().await).ends_with("by port"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let front = Front::start().await;
    let app = echo().await;
    front.serve("hello", &[app.port]).await;
    let mut wire = front.visit().await;
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: hello.test\r\n\r\n");
    wire.send(format!("{}POST /2 HTTP/1.1\r\nHost: hello.test\r\nContent-Length: 3\r\n\r\nabc\r\n{}", request("/1"), request("/3"))).await;
    for path in ["GET /1", "POST /2", "GET /3"] {
        let answer = wire.answer().await;
        assert!(answer.text().starts_with(path), "{}", answer.text());
    }
}

#[tokio::test]
async fn head_204_and_304_end_with_their_heads() {
    let front = Front::start().await;
    let app = App::start(|mut wire| async move {
        while let Some(head) = wire.request().await {
            let answer = match head.split(' ').nth(1) {
                Some("/204") => "HTTP/1.1 204 No Content\r\n\r\n",
                Some("/304") => "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: x\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
            };
            wire.send(answer).await;
        }
    })
    .await;
    front.serve("hello", &[app.port]).await;
    let mut wire = front.visit().await;
    for (request, length) in [("HEAD /", Some("9")), ("GET /204", None), ("GET /304", Some("9")), ("HEAD /", Some("9"))] {
        wire.send(format!("{request} HTTP/1.1\r\nHost: hello.test\r\n\r\n")).await;
        let head = wire.head().await.expect("an answer");
        assert_eq!(field(&head, "content-length"), length, "{request}");
        assert_eq!(field(&head, "transfer-encoding"), None, "{request}");
    }
    assert!(wire.buffer.is_empty());
}

#[tokio::test]
async fn expect_100_continue_works_with_and_without_an_app_that_answers_it() {
    let front = Front::start().await;
    let app = App::start(|mut wire| async move {
        let head = wire.head().await.expect("a request");
        if head.contains("/answers") {
            wire.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").await;
        }
        let body = wire.exactly(3).await;
        wire.say(&String::from_utf8_lossy(&body)).await;
    })
    .await;
    front.serve("hello", &[app.port]).await;
    let head = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: hello.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    let mut wire = front.visit().await;
    wire.send(head("/answers")).await;
    assert_eq!(wire.answer().await.status, 100);
    assert_eq!(wire.answer().await.status, 103);
    wire.send("abc").await;
    assert_eq!(wire.answer().await.text(), "abc");
    let mut wire = front.visit().await;
    wire.send(head("/silent")).await;
    wire.send("xyz").await;
    assert_eq!(wire.answer().await.text(), "xyz");
}

#[tokio::test]
async fn an_upgrade_is_a_tunnel_both_ways_with_half_close() {
    let front = Front::start().await;
    let app = App::start(|mut wire| async move {
        let head = wire.head().await.expect("a request");
        assert_eq!(field(&head, "upgrade"), Some("websocket"));
        wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst").await;
        let mut total = wire.buffer.len();
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(read) = wire.stream.read(&mut chunk).await {
            if read == 0 {
                break;
            }
            total += read;
        }
        wire.send(format!("got {total}")).await;
    })
    .await;
    front.serve("hello", &[app.port]).await;
    let mut wire = front.visit().await;
    // The first frame comes along before the app has agreed.
    wire.send("GET / HTTP/1.1\r\nHost: hello.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly").await;
    let head = wire.head().await.expect("an answer");
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    assert_eq!(wire.exactly(5).await, b"first");
    let block = vec![7; 1024 * 1024];
    for _ in 0..20 {
        wire.stream.write_all(&block).await.expect("the tunnel is open");
    }
    wire.stream.shutdown().await.expect("half closed");
    assert_eq!(wire.rest().await, format!("got {}", 20 * 1024 * 1024 + 5).into_bytes());
}

#[tokio::test]
async fn an_upgrade_that_the_app_declines_stays_http() {
    let front = Front::start().await;
    let app = echo().await;
    front.serve("hello", &[app.port]).await;
    let mut wire = front.visit().await;
    let upgrade = "GET /1 HTTP/1.1\r\nHost: hello.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    wire.send(format!("{upgrade}GET /2 HTTP/1.1\r\nHost: unknown.test\r\n\r\n")).await;
    assert!(wire.answer().await.text().starts_with("GET /1"));
    assert_eq!(wire.answer().await.status, 404);
    let rogue = App::answering("HTTP/1.1 101 Switching Protocols\r\n\r\nGET /admin").await;
    front.serve("rogue", &[rogue.port]).await;
    assert_eq!(front.get("rogue").await.status, 502);
}

#[tokio::test]
async fn slow_clients_are_let_go() {
    let front = Front::with(hurried()).await;
    let app = App::saying("hello").await;
    front.serve("hello", &[app.port]).await;
    for half in ["GET / HT", "GET / HTTP/1.1\r\nHost: hel", "POST / HTTP/1.1\r\nHost: hello.test\r\nContent-Length: 9\r\n\r\nabc"] {
        let mut wire = front.visit().await;
        wire.send(half).await;
        assert_eq!(wire.answer().await.status, 408, "{half:?}");
        wire.closed().await;
    }
    let mut dripping = front.visit().await;
    let head = get("hello");
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(40));
    for byte in head.bytes() {
        pace.tick().await;
        // Once it is answered the connection may close any time.
        let _ = dripping.stream.write_all(&[byte]).await;
    }
    assert_eq!(dripping.answer().await.status, 408);
    let mut idle = front.visit().await;
    idle.send(get("hello")).await;
    assert_eq!(idle.answer().await.status, 200);
    idle.closed().await;
}

#[tokio::test]
async fn each_request_leaves_one_line_in_herokus_format() {
    let front = Front::start().await;
    let app = App::saying("hello").await;
    front.serve("hello", &[app.port]).await;
    front.route("down", Pool::Stopped).await;
    let mut wire = front.visit().await;
    wire.send("GET /x?\"y HTTP/1.1\r\nHost: hello.test\r\nX-Request-Id: abcdefghijklmnopqrstuvwxyz\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n")
        .await;
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(front.get("down").await.status, 503);
    let lines = front.access_lines(2).await;
    let shown = lines[0].split(" connect=").next().expect("a line");
    assert_eq!(
        shown,
        "at=info method=GET path=\"/x?%22y\" host=hello.test request_id=abcdefghijklmnopqrstuvwxyz fwd=\"1.2.3.4, 127.0.0.1\" dyno=web.1"
    );
    assert!(lines[0].contains(" status=200 bytes=5 protocol=http"), "{}", lines[0]);
    assert!(
        lines[1].starts_with("at=error code=H14 desc=\"No web processes running\" method=GET path=\"/\" host=down.test "),
        "{}",
        lines[1]
    );
}

#[tokio::test]
async fn each_run_s_requests_and_5xx_are_counted_and_told_when_asked() {
    let front = Front::with(hurried()).await;
    let (well, ill, silent) =
        (App::saying("fine").await, App::answering("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").await, App::silent().await);
    let hello = "hello".parse().expect("a name");
    for (number, port, visits, errors) in [(1, well.port, 3, 0), (2, ill.port, 2, 2), (3, silent.port, 1, 1)] {
        front.route("hello", Pool::Serve(vec![RoutedInstance { run: run("hello", number), port }])).await;
        for _ in 0..visits {
            front.get("hello").await;
        }
        // A request is counted when it is over, which its client may see a moment earlier.
        let told = within("the count", async {
            loop {
                let told = front.client.traffic(&hello).await.expect("an answer");
                match told.get(&run("hello", number)) {
                    Some(traffic) if traffic.requests == visits => break *traffic,
                    _ => {}
                }
            }
        })
        .await;
        assert_eq!((told.requests, told.errors), (visits, errors));
    }
    let other = front.client.traffic(&"other".parse().expect("a name")).await.expect("an answer");
    assert!(other.is_empty(), "{other:?}");
}
