//! A small HTTP/1.1 client: one request, one connection, everything checked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest that a request may take unless a test says otherwise.
pub(crate) const REQUEST_DEADLINE: Duration = Duration::from_secs(35);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    /// Status code.
    pub(crate) status: u16,
    /// The head as it came, status line included.
    pub(crate) head: String,
    /// The body, no longer chunked.
    pub(crate) body: String,
}

/// What to ask.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    /// `GET`.
    pub(crate) method: &'a str,
    /// The `Host` header.
    pub(crate) host: &'a str,
    /// The target.
    pub(crate) path: &'a str,
    /// More header lines, without their ends.
    pub(crate) headers: &'a [&'a str],
    /// The body.
    pub(crate) body: &'a [u8],
    /// For the whole exchange.
    pub(crate) deadline: Duration,
}

impl<'a> Request<'a> {
    /// A GET.
    pub(crate) fn get(host: &'a str, path: &'a str) -> Self {
        Self { method: "GET", host, path, headers: &[], body: &[], deadline: REQUEST_DEADLINE }
    }

    /// A POST without a body.
    pub(crate) fn post(host: &'a str, path: &'a str) -> Self {
        Self { method: "POST", ..Self::get(host, path) }
    }

    /// Sends it to a port of this machine. An answer that is cut short is an error.
    pub(crate) fn send(&self, port: u16) -> io::Result<Response> {
        let until = Instant::now() + self.deadline;
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), self.deadline)?;
        let mut head =
            vec![format!("{} {} HTTP/1.1", self.method, self.path), format!("Host: {}", self.host), "Connection: close".to_owned()];
        if self.method != "GET" {
            head.push(format!("Content-Length: {}", self.body.len()));
        }
        head.extend(self.headers.iter().map(|line| (*line).to_owned()));
        stream.write_all(format!("{}\r\n\r\n", head.join("\r\n")).as_bytes())?;
        stream.write_all(self.body)?;
        parse(&read_all(&mut stream, until)?)
    }
}

fn read_all(stream: &mut TcpStream, until: Instant) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no whole answer before the deadline"));
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk)? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&chunk[..count]),
        }
        if bytes.len() as u64 > ANSWER_BYTES_MAX {
            return Err(broken("the answer is too large"));
        }
    }
}

fn parse(bytes: &[u8]) -> io::Result<Response> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(|| broken("no whole head"))?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| broken("no status"))?;
    let raw = &bytes[end + 4..];
    let response = Response { status, head, body: String::new() };
    let body = match (response.header("transfer-encoding"), response.header("content-length")) {
        (Some(_), _) => unchunk(raw)?,
        (None, Some(length)) if length.parse() != Ok(raw.len()) => return Err(broken("the body is cut short")),
        _ => raw.to_vec(),
    };
    Ok(Response { body: String::from_utf8_lossy(&body).into_owned(), ..response })
}

fn unchunk(mut raw: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = raw.windows(2).position(|window| window == b"\r\n").ok_or_else(|| broken("a chunk is cut short"))?;
        let size = std::str::from_utf8(&raw[..end]).ok().and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let size = size.ok_or_else(|| broken("a chunk has no size"))?;
        if size == 0 {
            return Ok(body);
        }
        raw = &raw[end + 2..];
        if raw.len() < size + 2 {
            return Err(broken("a chunk is cut short"));
        }
        body.extend_from_slice(&raw[..size]);
        raw = &raw[size + 2..];
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Response {
    /// A header's value, by its name in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        lines.filter_map(|line| line.split_once(':')).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {} {}", self.status, self.body))
    }
}
