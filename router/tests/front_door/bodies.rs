//! Bodies of any size and any brokenness.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{App, Front, Wire, alone, field, get, hurried, resident, until, within};

const BLOCK: usize = 64 * 1024;
const POST: &str = "POST / HTTP/1.1\r\nHost: hello.test\r\n";

#[tokio::test]
async fn an_app_that_answers_before_reading_the_body_is_heard() {
    let front = Front::start().await;
    let app = App::start(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await;
    })
    .await;
    front.serve("hello", &[app.port]).await;
    let wire = front.visit().await;
    let (read, mut write) = wire.stream.into_split();
    let uploading = tokio::spawn(async move {
        let _ = write.write_all(format!("{POST}Content-Length: 50000000\r\n\r\n").as_bytes()).await;
        let block = vec![b'x'; 64 * 1024];
        while write.write_all(&block).await.is_ok() {}
    });
    let mut answer = Vec::new();
    let mut read = read.take(1024);
    within("an answer", async {
        while !answer.ends_with(b"no") {
            assert!(read.read_buf(&mut answer).await.expect("an answer") > 0, "{}", String::from_utf8_lossy(&answer));
        }
    })
    .await;
    let head = String::from_utf8_lossy(&answer).into_owned();
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert_eq!(field(&head, "connection"), Some("close"));
    within("the end of the upload", uploading).await.expect("no panic");
}

#[tokio::test]
async fn an_answer_shorter_than_its_length_is_seen_as_broken() {
    let front = Front::start().await;
    let app = App::answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!").await;
    front.serve("hello", &[app.port]).await;
    let answer = front.get("hello").await;
    assert_eq!((answer.text().as_str(), answer.whole), ("five!", false));
}

#[tokio::test]
async fn bytes_beyond_an_answers_length_reach_nobody() {
    let front = Front::start().await;
    let app = App::start(|mut wire| async move {
        while wire.request().await.is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
        }
    })
    .await;
    front.serve("hello", &[app.port]).await;
    for _ in 0..5 {
        assert_eq!(front.get("hello").await.text(), "good");
    }
}

#[tokio::test]
async fn an_app_that_dies_within_chunks_leaves_a_broken_message() {
    let front = Front::start().await;
    let app = App::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nWiki\r\n5\r\npe").await;
    front.serve("hello", &[app.port]).await;
    let answer = front.get("hello").await;
    assert!(answer.text().starts_with("Wiki") && !answer.whole, "{answer:?}");
    // A client of HTTP/1.0 knows the end of such an answer by the close alone: it gets a reset.
    let mut old = front.visit().await;
    old.send("GET / HTTP/1.0\r\nHost: hello.test\r\n\r\n").await;
    let mut all = Vec::new();
    let ended = within("the end", old.stream.read_to_end(&mut all)).await;
    assert_eq!(ended.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_arrives_whole() {
    let front = Front::start().await;
    let app = App::answering("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it").await;
    front.serve("hello", &[app.port]).await;
    let answer = front.get("hello").await;
    assert_eq!((answer.text().as_str(), answer.whole), ("all of it", true));
    assert_eq!(field(&answer.head, "transfer-encoding"), Some("chunked"));
    let mut old = front.visit().await;
    old.send("GET / HTTP/1.0\r\nHost: hello.test\r\n\r\n").await;
    let all = String::from_utf8(old.rest().await).expect("text");
    assert!(all.ends_with("\r\n\r\nall of it") && !all.contains("chunked"), "{all}");
}

#[test]
fn a_large_upload_and_a_client_that_stops_reading_keep_memory_flat() {
    alone("bodies::a_large_upload_and_a_client_that_stops_reading_keep_memory_flat", async {
        const BLOCKS: usize = 16 * 300;
        let front = Front::start().await;
        let app = App::start(|mut wire| async move {
            let head = wire.head().await.expect("a request");
            let mut chunk = vec![0; BLOCK];
            if head.starts_with("POST") {
                let mut total = wire.buffer.len();
                while total < BLOCKS * BLOCK {
                    total += wire.stream.read(&mut chunk).await.expect("a body");
                }
                wire.say(&total.to_string()).await;
            } else {
                wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BLOCKS * BLOCK)).await;
                for _ in 0..BLOCKS {
                    if wire.stream.write_all(&chunk).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await;
        front.serve("hello", &[app.port]).await;
        let before = resident();
        let mut stalled = front.visit().await;
        stalled.send(get("hello")).await;
        stalled.head().await.expect("an answer");
        let mut upload = front.visit().await;
        upload.send(format!("{POST}Content-Length: {}\r\n\r\n", BLOCKS * BLOCK)).await;
        let block = vec![b'x'; BLOCK];
        for _ in 0..BLOCKS {
            within("progress", upload.stream.write_all(&block)).await.expect("the upload goes on");
        }
        assert_eq!(upload.answer().await.text(), (BLOCKS * BLOCK).to_string());
        let grown = resident().saturating_sub(before);
        assert!(grown < 8 * 1024 * 1024, "{grown} bytes more");
        let mut left = BLOCKS * BLOCK - stalled.buffer.len();
        let mut chunk = vec![0; 4 * BLOCK];
        while left > 0 {
            let read = within("the rest", stalled.stream.read(&mut chunk)).await.expect("the rest");
            assert!(read > 0, "{left} bytes are missing");
            left -= read;
        }
    });
}

#[tokio::test]
async fn chunked_bodies_pass_both_ways_with_their_trailers() {
    let front = Front::start().await;
    let app = App::start(|mut wire| async move {
        let head = wire.head().await.expect("a request");
        assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
        let mut body = Vec::new();
        while !body.ends_with(b"0\r\n\r\n") {
            body.extend(wire.exactly(1).await);
        }
        assert_eq!(body, b"3\r\nabc\r\n0\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;ext=1\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n").await;
    })
    .await;
    front.serve("hello", &[app.port]).await;
    let mut wire = front.visit().await;
    wire.send(format!("{POST}TE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n")).await;
    wire.head().await.expect("an answer");
    let expected = b"2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n";
    assert_eq!(wire.exactly(expected.len()).await, expected);
}

#[tokio::test]
async fn each_event_of_a_stream_arrives_when_it_is_sent() {
    let front = Front::start().await;
    let (next, events) = tokio::sync::mpsc::channel::<&str>(1);
    let events = std::sync::Arc::new(tokio::sync::Mutex::new(events));
    let app = App::start(move |mut wire| {
        let events = events.clone();
        async move {
            wire.request().await;
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
            while let Some(event) = events.lock().await.recv().await {
                wire.send(event).await;
            }
        }
    })
    .await;
    front.serve("hello", &[app.port]).await;
    let mut wire = front.visit().await;
    wire.send("GET / HTTP/1.1\r\nHost: hello.test\r\n\r\n").await;
    wire.head().await.expect("the head comes before the first event");
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        next.send(event).await.expect("sent");
        assert_eq!(wire.exactly(14).await, format!("9\r\n{event}\r\n").into_bytes());
    }
}

#[tokio::test]
async fn a_client_that_leaves_has_its_request_cancelled() {
    let front = Front::start().await;
    let (told, mut cancelled) = tokio::sync::mpsc::channel::<()>(1);
    let app = App::start(move |mut wire: Wire| {
        let told = told.clone();
        async move {
            wire.request().await;
            wire.closed().await;
            told.send(()).await.expect("heard");
        }
    })
    .await;
    front.serve("hello", &[app.port]).await;
    let mut wire = front.visit().await;
    wire.send("GET / HTTP/1.1\r\nHost: hello.test\r\n\r\n").await;
    until("the request at the app", || app.taken() == 1).await;
    let left = std::time::Instant::now();
    drop(wire);
    within("the cancellation", cancelled.recv()).await;
    assert!(left.elapsed() < Duration::from_secs(1), "{:?}", left.elapsed());
    assert!(front.access_lines(1).await[0].starts_with("at=error code=H27 "));
}

#[tokio::test]
async fn an_answer_that_stops_halfway_is_broken_off() {
    let front = Front::with(hurried()).await;
    let app = App::start(|mut wire| async move {
        wire.request().await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        wire.closed().await;
    })
    .await;
    front.serve("hello", &[app.port]).await;
    let answer = front.get("hello").await;
    assert_eq!((answer.text().as_str(), answer.whole), ("half", false));
    assert!(front.access_lines(1).await[0].starts_with("at=error code=H15 "));
}
