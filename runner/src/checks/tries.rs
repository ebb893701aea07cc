//! One try of an author's check over the network: a request or a connection, to a
//! listener of the app's own user alone, within the author's timeout. No redirect is
//! followed.

use std::fmt::Write;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use model::Hostname;
use model::author::{CheckAction, HealthCheck};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::author::TryOutcome;
use super::{body, is_own_error};
use crate::limits::{CHECK_ANSWER_SHOWN_CHARS_MAX, CHECK_HEAD_BYTES_MAX, CHECK_READ_BYTES};
use crate::listener::{self, Listener};

/// Statuses that pass if the author names none.
const STATUSES: std::ops::RangeInclusive<u16> = 200..=399;

/// What is tried, and where.
#[derive(Debug, Clone)]
pub struct Try {
    /// The check.
    pub check: std::sync::Arc<HealthCheck>,
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The app's own host name.
    pub host: Hostname,
    /// The user whose listener it must be.
    pub uid: u32,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Whether it passed.
    pub outcome: TryOutcome,
    /// For people: `200`, `503`, `no answer within 5 s`.
    pub answer: String,
    /// Status code, if there was an HTTP answer.
    pub status: Option<u16>,
    /// Nothing came from the app: it cannot be expected to react to a signal either.
    pub is_silence: bool,
    /// How long it took.
    pub took: Duration,
}

impl Tried {
    /// A try with an answer of the app.
    pub fn answered(passed: bool, answer: String) -> Self {
        let outcome = if passed { TryOutcome::Passed } else { TryOutcome::Failed };
        Self { outcome, answer, status: None, is_silence: false, took: Duration::ZERO }
    }

    /// A try that the app did not react to.
    pub fn silence(answer: String) -> Self {
        Self { is_silence: true, ..Self::answered(false, answer) }
    }

    /// A try that could not be made.
    pub fn not_made(why: String) -> Self {
        Self { outcome: TryOutcome::NotMade, ..Self::answered(false, why) }
    }
}

/// What would be done, for people: `GET http://127.0.0.1:20017/healthz, Host: hello.box`.
pub fn request_words(check: &HealthCheck, port: Option<u16>, host: &Hostname) -> String {
    let port = check.port.or(port).map_or_else(|| "$PORT".to_owned(), |port| port.to_string());
    match &check.action {
        CheckAction::Http { path, headers, .. } => {
            let host = own_host(headers).unwrap_or(host.as_str());
            format!("GET http://127.0.0.1:{port}{path}, Host: {host}")
        }
        CheckAction::Tcp => format!("connect to 127.0.0.1:{port}"),
        CheckAction::Command(words) => format!("run `{}` inside its sandbox", words.join(" ")),
        CheckAction::Uptime(seconds) => format!("look whether it has been up for {seconds} s"),
    }
}

/// Tries once.
pub async fn over_network(subject: &Try) -> Tried {
    let began = Instant::now();
    let within = Duration::from_secs(u64::from(subject.check.timeout_s));
    let tried = timeout(within, at_own_listener(subject)).await;
    let tried = tried.unwrap_or_else(|_| Tried::silence(format!("no answer within {} s", within.as_secs())));
    Tried { took: began.elapsed(), ..tried }
}

async fn at_own_listener(subject: &Try) -> Tried {
    let port = subject.port;
    match tokio::task::spawn_blocking(move || listener::on_port(port)).await {
        Ok(Listener::Of(uid)) if uid == subject.uid => {}
        Ok(Listener::None) => return Tried::silence(format!("nothing listens on port {port}")),
        Ok(Listener::Of(_) | Listener::Unclear) => return Tried::silence(format!("port {port} is held by a process of another user")),
        Err(error) => return Tried::not_made(error.to_string()),
    }
    let stream = match TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await {
        Ok(stream) => stream,
        Err(error) => return from_error(&error),
    };
    match &subject.check.action {
        CheckAction::Http { path, statuses, content, headers } => {
            let request = request(path, headers, &subject.host);
            match exchange(stream, &request, content.as_deref()).await {
                Ok(answer) => judge(&answer, statuses, content.as_deref()),
                Err(error) => from_error(&error),
            }
        }
        _ => Tried::answered(true, "accepted".to_owned()),
    }
}

fn own_host(headers: &[(String, String)]) -> Option<&str> {
    headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, value)| value.as_str())
}

/// The head of the request: the author's header lines replace ours of the same name.
fn request(path: &str, headers: &[(String, String)], host: &Hostname) -> String {
    let mut text = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", own_host(headers).unwrap_or(host.as_str()));
    for (name, value) in [("User-Agent", "paas-check"), ("Accept", "*/*")] {
        if !headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)) {
            let _ = write!(text, "{name}: {value}\r\n");
        }
    }
    // The connection is ours to end, whatever the author says.
    for (name, value) in headers.iter().filter(|(name, _)| !["host", "connection"].contains(&name.to_ascii_lowercase().as_str())) {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("Connection: close\r\n\r\n");
    text
}

/// What is known of an answer.
struct Answer {
    status: Option<u16>,
    has_content: bool,
}

async fn exchange(mut stream: TcpStream, request: &str, content: Option<&str>) -> std::io::Result<Answer> {
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = head_end(&bytes) {
            let status = super::status(&bytes);
            if status.is_some_and(|status| status < 200) {
                // 103 Early Hints and its like come before the answer.
                bytes.drain(..end);
                continue;
            }
            break end;
        }
        let is_http = bytes.len() < HTTP.len() || bytes.starts_with(HTTP);
        if !is_http || bytes.len() >= CHECK_HEAD_BYTES_MAX || more(&mut stream, &mut bytes).await? == 0 {
            if bytes.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            return Ok(Answer { status: super::status(&bytes), has_content: false });
        }
    };
    let status = super::status(&bytes);
    let Some(content) = content else { return Ok(Answer { status, has_content: true }) };
    let mut body = body::Body::new(&bytes[..head]);
    let mut rest = bytes.split_off(head);
    loop {
        body.take(&rest);
        rest.clear();
        if body.contains(content) || body.is_over() || more(&mut stream, &mut rest).await? == 0 {
            return Ok(Answer { status, has_content: body.contains(content) });
        }
    }
}

const HTTP: &[u8] = b"HTTP/1.";

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<usize> {
    bytes.reserve(CHECK_READ_BYTES);
    stream.read_buf(bytes).await
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn judge(answer: &Answer, statuses: &[u16], content: Option<&str>) -> Tried {
    let Some(status) = answer.status else { return Tried::answered(false, "an answer that is not HTTP".to_owned()) };
    let wanted = if statuses.is_empty() { STATUSES.contains(&status) } else { statuses.contains(&status) };
    let missing = content.filter(|_| wanted && !answer.has_content);
    let tried = match missing {
        Some(content) => {
            let content = model::text::clean(content, CHECK_ANSWER_SHOWN_CHARS_MAX);
            Tried::answered(false, format!("{status} without `{content}`"))
        }
        None => Tried::answered(wanted, status.to_string()),
    };
    Tried { status: Some(status), ..tried }
}

fn from_error(error: &std::io::Error) -> Tried {
    if is_own_error(error) {
        return Tried::not_made(error.to_string());
    }
    Tried::silence(super::error_words(error))
}

#[cfg(test)]
#[path = "tries_tests.rs"]
mod tests;
