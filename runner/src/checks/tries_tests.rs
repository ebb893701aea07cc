use super::*;
use model::author::CheckKind;
use std::sync::Arc;
use tokio::net::TcpListener;

fn own_uid() -> u32 {
    nix::unistd::getuid().as_raw()
}

fn http(statuses: &[u16], content: Option<&str>, headers: &[(&str, &str)]) -> CheckAction {
    CheckAction::Http {
        path: "/healthz?full=1".to_owned(),
        statuses: statuses.to_vec(),
        content: content.map(str::to_owned),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

fn subject(action: CheckAction, port: u16) -> Try {
    let kind = CheckKind::Liveness;
    let check = HealthCheck { name: None, kind, action, port: None, attempts: 3, timeout_s: 1, wait_s: 5, initial_delay_s: 0, warn: false };
    Try { check: Arc::new(check), port, host: "hello.box.example".parse().expect("host"), uid: own_uid() }
}

/// Serves one connection in these pieces; returns what came of the try and what was asked.
async fn tried(action: CheckAction, pieces: &'static [&'static str], keep_open: bool) -> (Tried, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accept");
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.expect("read");
        for piece in pieces {
            // A try that has seen enough does not wait for the rest.
            let _ = stream.write_all(piece.as_bytes()).await;
            let _ = stream.flush().await;
            tokio::task::yield_now().await;
        }
        if keep_open {
            let _ = stream.read(&mut [0]).await;
        }
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let tried = over_network(&subject(action, port)).await;
    (tried, server.await.expect("server"))
}

#[tokio::test]
async fn the_request_is_the_authors_with_the_apps_own_host() {
    let headers = [("X-Forwarded-Proto", "https"), ("connection", "keep-alive")];
    let (passed, request) = tried(http(&[], None, &headers), &["HTTP/1.1 204 No\r\n\r\n"], true).await;
    assert_eq!((passed.outcome, passed.answer.as_str(), passed.status), (TryOutcome::Passed, "204", Some(204)));
    insta::assert_snapshot!(request.replace("\r\n", "\n").trim_end(), @r"
    GET /healthz?full=1 HTTP/1.1
    Host: hello.box.example
    User-Agent: paas-check
    Accept: */*
    X-Forwarded-Proto: https
    Connection: close
    ");
    let (_, request) = tried(http(&[], None, &[("host", "admin.example")]), &["HTTP/1.1 204 No\r\n\r\n"], true).await;
    assert!(request.contains("\r\nHost: admin.example\r\n") && !request.contains("hello.box.example"), "{request}");
}

#[tokio::test]
async fn statuses_below_400_pass_unless_the_author_names_his_own_and_no_redirect_is_followed() {
    for (statuses, status, passes) in
        [(&[][..], 200, true), (&[], 302, true), (&[], 404, false), (&[], 503, false), (&[503], 503, true), (&[204, 503], 200, false)]
    {
        let answer: &'static str = format!("HTTP/1.1 {status} x\r\nLocation: http://127.0.0.1:1/\r\n\r\n").leak();
        let (tried, _) = tried(http(statuses, None, &[]), vec![answer].leak(), true).await;
        assert_eq!((tried.outcome == TryOutcome::Passed, tried.is_silence), (passes, false), "{statuses:?} {status}");
        assert_eq!(tried.answer, status.to_string());
    }
}

#[tokio::test]
async fn content_must_be_in_the_body_and_may_come_in_pieces() {
    let want = http(&[], Some("all is well"), &[]);
    let whole = ["HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nX: all is", " well\r\n\r\nall ", "is well"];
    let (passed, _) = tried(want.clone(), vec![whole[0], whole[1], whole[2]].leak(), true).await;
    assert_eq!((passed.outcome, passed.answer.as_str()), (TryOutcome::Passed, "200"));
    let (failed, _) = tried(want.clone(), &["HTTP/1.1 200 OK\r\nX: all is well\r\n\r\nall is lost"], false).await;
    assert_eq!((failed.outcome, failed.answer.as_str()), (TryOutcome::Failed, "200 without `all is well`"));
    let (failed, _) = tried(want, &["HTTP/1.1 500 x\r\n\r\nall is well"], true).await;
    assert_eq!((failed.outcome, failed.answer.as_str()), (TryOutcome::Failed, "500"));
}

#[tokio::test]
async fn silence_is_told_from_a_wrong_answer() {
    let (failed, _) = tried(http(&[], None, &[]), &[], true).await;
    assert_eq!((failed.outcome, failed.is_silence, failed.answer.as_str()), (TryOutcome::Failed, true, "no answer within 1 s"));
    assert!(failed.took >= Duration::from_secs(1));
    let (failed, _) = tried(http(&[], None, &[]), &[], false).await;
    assert_eq!((failed.is_silence, failed.answer.as_str()), (true, "connection closed without an answer"));
    let (failed, _) = tried(http(&[], None, &[]), &["SSH-2.0-OpenSSH_9.2\r\n"], true).await;
    assert_eq!((failed.is_silence, failed.answer.as_str()), (false, "an answer that is not HTTP"));
}

#[tokio::test]
async fn a_connection_is_enough_for_listening_and_only_to_the_apps_own_user() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    let passed = over_network(&subject(CheckAction::Tcp, port)).await;
    assert_eq!((passed.outcome, passed.answer.as_str()), (TryOutcome::Passed, "accepted"));
    let strangers = over_network(&Try { uid: own_uid() + 1, ..subject(CheckAction::Tcp, port) }).await;
    assert!(strangers.outcome == TryOutcome::Failed && strangers.answer.contains("another user"), "{strangers:?}");
    drop(listener);
    let nobody = over_network(&subject(CheckAction::Tcp, port)).await;
    assert_eq!((nobody.outcome, nobody.answer), (TryOutcome::Failed, format!("nothing listens on port {port}")));
}

#[test]
fn what_is_done_is_told_for_people() {
    let words = |action: CheckAction| {
        let Try { check, host, .. } = subject(action, 1);
        request_words(&check, Some(20_017), &host)
    };
    assert_eq!(words(http(&[], None, &[])), "GET http://127.0.0.1:20017/healthz?full=1, Host: hello.box.example");
    assert_eq!(words(http(&[], None, &[("Host", "x")])), "GET http://127.0.0.1:20017/healthz?full=1, Host: x");
    assert_eq!(words(CheckAction::Tcp), "connect to 127.0.0.1:20017");
    assert_eq!(words(CheckAction::Command(vec!["bin/alive".to_owned(), "-q".to_owned()])), "run `bin/alive -q` inside its sandbox");
}
