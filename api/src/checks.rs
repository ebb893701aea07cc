//! `checks` and `checks:run`.

use serde::{Deserialize, Serialize};

use crate::operation::operation;

/// `checks`: what is checked, how, since when it passes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Checks {
    /// The app.
    pub app: String,
}
operation!(Checks, "checks", Viewer, Reads, ChecksReply);

/// The checks of an app's instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChecksReply {
    /// The app.
    pub app: String,
    /// One per instance.
    pub instances: Vec<InstanceChecks>,
}

/// The checks of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceChecks {
    /// `web.1`.
    pub name: String,
    /// `v7`.
    pub release: String,
    /// `up`, `unready`, `starting` …
    pub state: String,
    /// What it says of itself.
    pub status: Option<String>,
    /// Its checks; none means that being alive is enough.
    pub checks: Vec<CheckRow>,
}

/// A check of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckRow {
    /// Its name, else what it does: `GET /healthz`.
    pub check: String,
    /// `startup`, `readiness`, `liveness`, or `default`.
    pub kind: String,
    /// How it is counted.
    pub rule: String,
    /// Its failure is only told.
    pub warn: bool,
    /// `waiting`, `passing`, `failing`.
    pub state: String,
    /// Since when, in milliseconds since 1970 UTC.
    pub since_unix_ms: i64,
    /// What came of its last try.
    pub answer: Option<String>,
    /// How long that took, in milliseconds.
    pub took_ms: Option<u64>,
    /// Failures in a row.
    pub failures: u32,
}

/// `checks:run`: tries each now; nothing of it counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// The app.
    pub app: String,
}
operation!(Run, "checks:run", Deployer, Reads, RunReply);

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReply {
    /// One per check and instance.
    pub tries: Vec<TryRow>,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TryRow {
    /// `web.1`.
    pub instance: String,
    /// `v7`.
    pub release: String,
    /// The check's name, else what it does.
    pub check: String,
    /// `startup`, `readiness`, `liveness`, or `default`.
    pub kind: String,
    /// What was done.
    pub request: String,
    /// What came of it.
    pub answer: String,
    /// Whether it passed; none: it could not be made.
    pub passed: Option<bool>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}
