//! `logs`: lines of an app, of paas about it and of the router, merged by time.

use serde::{Deserialize, Serialize};

use crate::operation::operation;

/// `logs [-t] [-n 100] [-p web] [-s app]`. Each line is an item of the stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Logs {
    /// The app.
    pub app: String,
    /// `-n`: how many of the newest lines.
    pub lines: usize,
    /// `-t`: goes on with new ones.
    #[serde(default)]
    pub tail: bool,
    /// `-p`: a process type or an instance.
    pub process: Option<String>,
    /// `-s`: `app`, `paas` or `router`.
    pub source: Option<String>,
}
operation!(Logs, "logs", Viewer, Reads, LogsReply);

/// The end of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsReply {}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When it was read, in microseconds since 1970 UTC.
    pub at_unix_us: i64,
    /// `app`, `paas` or `router`.
    pub source: String,
    /// `web.1`, `router`, `deploy`.
    pub process: String,
    /// The text, invalid UTF-8 replaced, control characters kept: whoever shows it strips them.
    pub text: String,
}
