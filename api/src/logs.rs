//! `logs`: lines of an app, of paas about it and of the router, merged by time.

use serde::{Deserialize, Serialize};

use crate::operation::operation;

/// `logs [-t] [-n 100] [-p web] [-s app] [--since …] [--until …] [--release v41] [--grep RE]`.
/// Each line is an item of the stream.
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
    /// `--since`: no line before this, in microseconds since 1970 UTC.
    #[serde(default)]
    pub since_unix_us: Option<i64>,
    /// `--until`: no line after this, in microseconds since 1970 UTC.
    #[serde(default)]
    pub until_unix_us: Option<i64>,
    /// `--release`: what processes of this release said.
    #[serde(default)]
    pub release: Option<String>,
    /// `--grep`: a regular expression.
    #[serde(default)]
    pub grep: Option<String>,
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
    /// The release of the process that said it: `v7`.
    #[serde(default)]
    pub release: Option<String>,
    /// The text, invalid UTF-8 replaced, control characters kept: whoever shows it strips them.
    pub text: String,
}
