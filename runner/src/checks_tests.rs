use super::*;
use tokio::net::TcpListener;

fn own_uid() -> u32 {
    nix::unistd::getuid().as_raw()
}

/// Serves one connection: sends `answer`, keeps the connection for as long as the probe does.
async fn probe_of(answer: &'static [u8], uid: u32, within_ms: u64) -> (ProbeOutcome, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accept");
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.expect("read");
        stream.write_all(answer).await.expect("write");
        let _ = stream.read(&mut [0]).await;
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let probe_it =
        Probe { port, host: "hello.box.example".parse().expect("host"), uid, first_byte_within: Duration::from_millis(within_ms) };
    let outcome = probe(&probe_it).await;
    let request = if matches!(outcome, ProbeOutcome::Failed(_)) {
        server.abort();
        String::new()
    } else {
        server.await.expect("server")
    };
    (outcome, request)
}

#[tokio::test]
async fn any_status_counts_and_the_apps_own_host_is_sent() {
    let (outcome, request) = probe_of(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", own_uid(), 2_000).await;
    assert_eq!(outcome.describe(), "GET / -> 200");
    assert!(request.starts_with("GET / HTTP/1.1\r\nHost: hello.box.example\r\n"), "{request}");
    let (outcome, _) = probe_of(b"HTTP/1.0 503 x\r\n\r\n", own_uid(), 2_000).await;
    assert_eq!(outcome, ProbeOutcome::Status(503));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (outcome, _) = probe_of(b"HTTP/1.1 301 Moved\r\nLocation: https://elsewhere.example/\r\n\r\n", own_uid(), 2_000).await;
    assert_eq!(outcome, ProbeOutcome::Status(301));
}

#[tokio::test]
async fn a_listener_that_never_answers_fails_the_probe() {
    let (outcome, _) = probe_of(b"", own_uid(), 100).await;
    assert!(matches!(&outcome, ProbeOutcome::Failed(why) if why.starts_with("no byte")), "{outcome:?}");
}

#[tokio::test]
async fn bytes_that_are_not_http_are_life_only() {
    let (outcome, _) = probe_of(b"SSH-2.0-OpenSSH_9.2\r\n", own_uid(), 2_000).await;
    assert_eq!(outcome, ProbeOutcome::OtherBytes);
}

#[tokio::test]
async fn a_listener_of_another_user_is_not_asked() {
    let (outcome, _) = probe_of(b"HTTP/1.1 200 OK\r\n\r\n", own_uid() + 1, 2_000).await;
    assert!(matches!(&outcome, ProbeOutcome::Failed(why) if why.contains("another user")), "{outcome:?}");
}

#[tokio::test]
async fn nobody_there_is_a_failed_probe() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    drop(listener);
    let nobody = Probe { port, host: "hello.example".parse().expect("host"), uid: own_uid(), first_byte_within: Duration::from_secs(1) };
    assert!(matches!(probe(&nobody).await, ProbeOutcome::Failed(_)));
}

#[test]
fn a_status_line_is_read_strictly() {
    assert_eq!(status(b"HTTP/1.1 204\r\n"), Some(204));
    for bad in [&b"HTTP/2 200\r\n"[..], b"HTTP/1.1 2000 x", b"HTTP/1.1 abc x", b"HTTP/1.1", b"", b"HTTP/1.1 999 x"] {
        assert_eq!(status(bad), None, "{}", String::from_utf8_lossy(bad));
    }
}
