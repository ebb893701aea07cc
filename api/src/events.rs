//! `events`: anything that happened, kept.

use serde::{Deserialize, Serialize};

use crate::operation::operation;

/// `events [-a APP] [-n 100]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Events {
    /// One app, or the whole box.
    pub app: Option<String>,
    /// How many of the newest.
    pub lines: usize,
}
operation!(Events, "events", Viewer, Reads, EventsReply);

/// Events, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventsReply {
    /// The rows.
    pub events: Vec<EventRow>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// Its number; grows with time.
    pub number: i64,
    /// When, in milliseconds since 1970 UTC.
    pub at_unix_ms: i64,
    /// Who did it; `paas` for the platform itself.
    pub actor: String,
    /// The app, if it is about one.
    pub app: Option<String>,
    /// `release.switched`; kept for ever.
    pub code: String,
    /// The sentence that people read.
    pub text: String,
}
