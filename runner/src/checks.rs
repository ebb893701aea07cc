//! The default check: `GET /` with the app's own host name, over HTTP/1.1. Any status
//! is life; redirects are not followed.

pub mod author;
mod body;
pub mod tries;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use model::Hostname;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits::{PROBE_ANSWER_BYTES_MAX, PROBE_DRAIN, PROBE_STATUS_LINE_BYTES_MAX, PROBE_STATUS_LINE_TIMEOUT};
use crate::listener::{self, Listener};

/// What to probe.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The `Host` that it sends.
    pub host: Hostname,
    /// The user whose listener it must be.
    pub uid: u32,
    /// Time for the first byte.
    pub first_byte_within: Duration,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// An HTTP answer.
    Status(u16),
    /// Bytes that are no HTTP answer: life, but not what a web process should say.
    OtherBytes,
    /// No byte; for people: `refused`, `no byte within 5 s`.
    Failed(String),
    /// It could not be made, through no fault of the app: thrown away.
    NotMade(String),
}

impl ProbeOutcome {
    /// The check for people: `GET / -> 200`.
    pub fn describe(&self) -> String {
        match self {
            Self::Status(status) => format!("GET / -> {status}"),
            Self::OtherBytes => "GET / -> an answer that is not HTTP".to_owned(),
            Self::Failed(why) | Self::NotMade(why) => format!("GET / -> {why}"),
        }
    }
}

/// Probes once.
pub async fn probe(probe: &Probe) -> ProbeOutcome {
    let port = probe.port;
    match tokio::task::spawn_blocking(move || listener::on_port(port)).await {
        Ok(Listener::Of(uid)) if uid == probe.uid => {}
        Ok(Listener::None) => return ProbeOutcome::Failed(format!("nothing listens on port {port}")),
        Ok(Listener::Of(_) | Listener::Unclear) => {
            return ProbeOutcome::Failed(format!("port {port} is held by a process of another user"));
        }
        Err(error) => return ProbeOutcome::NotMade(error.to_string()),
    }
    match timeout(probe.first_byte_within, ask(probe)).await {
        Err(_) => ProbeOutcome::Failed(format!("no byte within {} s", probe.first_byte_within.as_secs_f32().ceil())),
        Ok(Err(error)) => from_error(&error),
        Ok(Ok((stream, first))) => read_answer(stream, first).await,
    }
}

/// Sends the request and waits for the first bytes.
async fn ask(probe: &Probe) -> std::io::Result<(TcpStream, Vec<u8>)> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, probe.port))).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nUser-Agent: paas-check\r\nAccept: */*\r\nConnection: close\r\n\r\n", probe.host);
    stream.write_all(request.as_bytes()).await?;
    let mut first = Vec::with_capacity(PROBE_STATUS_LINE_BYTES_MAX);
    if stream.read_buf(&mut first).await? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok((stream, first))
}

async fn read_answer(mut stream: TcpStream, mut bytes: Vec<u8>) -> ProbeOutcome {
    let status_line = async {
        while !bytes.contains(&b'\n') && bytes.len() < PROBE_STATUS_LINE_BYTES_MAX {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                break;
            }
        }
    };
    let _ = timeout(PROBE_STATUS_LINE_TIMEOUT, status_line).await;
    let _ = timeout(PROBE_DRAIN, drain(&mut stream)).await;
    status(&bytes).map_or(ProbeOutcome::OtherBytes, ProbeOutcome::Status)
}

async fn drain(stream: &mut TcpStream) {
    let mut buffer = vec![0; PROBE_STATUS_LINE_BYTES_MAX];
    let mut read = 0;
    while read < PROBE_ANSWER_BYTES_MAX {
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => read += count,
            _ => return,
        }
    }
}

/// `HTTP/1.1 200 OK` → 200.
fn status(bytes: &[u8]) -> Option<u16> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let digits = rest.get(2..5)?;
    let shaped = rest[1] == b' ' && rest.get(5).is_none_or(|byte| matches!(byte, b' ' | b'\r'));
    let status: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (shaped && (100..=599).contains(&status)).then_some(status)
}

fn from_error(error: &std::io::Error) -> ProbeOutcome {
    if is_own_error(error) {
        return ProbeOutcome::NotMade(error.to_string());
    }
    ProbeOutcome::Failed(error_words(error))
}

/// Whether it is this machine or this server that has too little of something.
fn is_own_error(error: &std::io::Error) -> bool {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ENOBUFS: i32 = 105;
    const ENOMEM: i32 = 12;
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS | ENOMEM)) || error.kind() == ErrorKind::AddrNotAvailable
}

fn error_words(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "connection reset".to_owned(),
        ErrorKind::UnexpectedEof => "connection closed without an answer".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
