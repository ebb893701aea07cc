//! One line per request in Heroku's format, written by a thread of its own: no request
//! waits for the disk.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use logs::Stream;
use logs::segment::{Limits, Writer};
use model::AppNumber;

use crate::limits;

/// Lines that come within this are written together.
const BATCH: Duration = Duration::from_millis(1);
/// The last lines have this long when the router ends.
const FINISH: Duration = Duration::from_secs(2);

/// Takes lines and never waits.
#[derive(Debug)]
pub(crate) struct AccessLog {
    sender: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Entry {
    Line(Line),
    /// Told once everything before it was written.
    Mark(SyncSender<()>),
}

#[derive(Debug)]
struct Line {
    app: Option<AppNumber>,
    time_unix_us: i64,
    text: Vec<u8>,
}

impl AccessLog {
    /// Starts the thread that writes into `directory`.
    pub(crate) fn start(directory: PathBuf) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(limits::ACCESS_LINES_WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let count = dropped.clone();
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || write_lines(&directory, &receiver, &count))?;
        Ok(Self { sender, dropped })
    }

    /// Adds the line of a request that ended now.
    pub(crate) fn add(&self, app: Option<AppNumber>, record: &Record<'_>) {
        let line = Line { app, time_unix_us: now_unix_us(), text: record.line() };
        if self.sender.try_send(Entry::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits, for a moment at most, until what was added is written.
    pub(crate) fn finish(&self) {
        let (mark, marked) = sync_channel(1);
        if self.sender.try_send(Entry::Mark(mark)).is_ok() {
            // A disk that hangs must not keep the router from ending.
            let _ = marked.recv_timeout(FINISH);
        }
    }
}

/// Microseconds since 1970 UTC.
pub(crate) fn now_unix_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_micros()).ok()).unwrap_or(0)
}

fn write_lines(directory: &Path, receiver: &Receiver<Entry>, dropped: &AtomicU64) {
    let mut writer = None;
    while let Ok(first) = receiver.recv() {
        if matches!(first, Entry::Line(_)) {
            // The senders find nobody waiting meanwhile, which spares a wake-up per line.
            std::thread::sleep(BATCH);
        }
        if writer.is_none() {
            writer = open(directory).inspect_err(|error| tracing::warn!(%error, "the access log cannot be opened")).ok();
        }
        let mut marks = Vec::new();
        for entry in std::iter::once(first).chain(receiver.try_iter()) {
            match (entry, &mut writer) {
                (Entry::Line(line), Some(open)) => append(open, &line, dropped),
                (Entry::Line(_), None) => {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
                (Entry::Mark(mark), _) => marks.push(mark),
            }
        }
        if let Some(Err(error)) = writer.as_mut().map(Writer::flush) {
            tracing::debug!(%error, "the access log was not written");
        }
        // Dropping them tells whoever waits.
        drop(marks);
    }
}

fn open(directory: &Path) -> io::Result<Writer> {
    Writer::open(File::open(directory)?.into(), Limits::default())
}

/// The writer counts what it loses itself and says so once it can write again.
fn append(writer: &mut Writer, line: &Line, dropped: &AtomicU64) {
    let lost = dropped.swap(0, Ordering::Relaxed);
    if lost > 0 {
        let text = format!("at=warning desc=\"{lost} lines of this log were dropped\"");
        put(writer, "", line.time_unix_us, text.as_bytes());
    }
    put(writer, &line.app.map(|app| app.to_string()).unwrap_or_default(), line.time_unix_us, &line.text);
}

fn put(writer: &mut Writer, subject: &str, time_unix_us: i64, text: &[u8]) {
    if let Err(error) = writer.append_for(subject, Stream::Router, time_unix_us, text, false) {
        tracing::debug!(%error, "an access line was not written");
    }
}

/// What a line tells.
#[derive(Debug, Default)]
pub(crate) struct Record<'a> {
    /// Heroku's code and its words, if the router answered.
    pub(crate) error: Option<(&'static str, &'static str)>,
    pub(crate) method: &'a [u8],
    pub(crate) path: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) request_id: &'a str,
    /// Where it came from.
    pub(crate) forwarded_for: &'a [u8],
    /// `web.1`, if one was found.
    pub(crate) dyno: &'a str,
    pub(crate) connect_ms: Option<u64>,
    pub(crate) service_ms: Option<u64>,
    pub(crate) status: Option<u16>,
    /// Body bytes that went to the client.
    pub(crate) bytes: u64,
    pub(crate) protocol: &'a str,
}

impl Record<'_> {
    fn line(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(256);
        match self.error {
            Some((code, words)) => line.extend_from_slice(format!("at=error code={code} desc=\"{words}\" method=").as_bytes()),
            None => line.extend_from_slice(b"at=info method="),
        }
        shown(self.method, &mut line);
        line.extend_from_slice(b" path=\"");
        shown(self.path, &mut line);
        line.extend_from_slice(b"\" host=");
        shown(self.host, &mut line);
        line.extend_from_slice(format!(" request_id={} fwd=\"", self.request_id).as_bytes());
        shown(self.forwarded_for, &mut line);
        let ms = |value: Option<u64>| value.map(|ms| format!("{ms}ms")).unwrap_or_default();
        let status = self.status.map(|status| status.to_string()).unwrap_or_default();
        let rest = format!(
            "\" dyno={} connect={} service={} status={status} bytes={} protocol={}",
            self.dyno,
            ms(self.connect_ms),
            ms(self.service_ms),
            self.bytes,
            self.protocol
        );
        line.extend_from_slice(rest.as_bytes());
        line
    }
}

/// A client's words, so that they can forge neither a field nor a line.
fn shown(value: &[u8], line: &mut Vec<u8>) {
    for byte in value.iter().take(limits::ACCESS_VALUE_BYTES_MAX) {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => line.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            _ => line.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_herokus() {
        let record = Record {
            method: b"GET",
            path: b"/x\"\xff",
            host: b"h",
            request_id: "u",
            forwarded_for: b"1.2.3.4",
            dyno: "web.1",
            connect_ms: Some(1),
            service_ms: Some(106),
            status: Some(200),
            bytes: 1754,
            protocol: "https",
            error: None,
        };
        let expected = "at=info method=GET path=\"/x%22%FF\" host=h request_id=u fwd=\"1.2.3.4\" dyno=web.1 connect=1ms service=106ms status=200 bytes=1754 protocol=https";
        assert_eq!(String::from_utf8_lossy(&record.line()), expected);
        let record = Record {
            error: Some(("H14", "No web processes running")),
            status: Some(503),
            dyno: "",
            connect_ms: None,
            service_ms: None,
            bytes: 0,
            ..record
        };
        assert_eq!(
            String::from_utf8_lossy(&record.line()),
            "at=error code=H14 desc=\"No web processes running\" method=GET path=\"/x%22%FF\" host=h request_id=u fwd=\"1.2.3.4\" dyno= connect= service= status=503 bytes=0 protocol=https"
        );
    }
}
