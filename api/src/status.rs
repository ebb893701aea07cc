//! `status`: the box in one screen; `stop --all`.

use serde::{Deserialize, Serialize};

use crate::operation::operation;

/// `status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {}
operation!(Status, "status", Viewer, Reads, StatusReply);

/// The box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReply {
    /// Version of the server.
    pub version: String,
    /// `root` or `rootless`.
    pub mode: String,
    /// Where the router listens.
    pub http: String,
    /// The process id of the server.
    pub server_pid: u32,
    /// The process id of the router's shim, if it runs.
    pub router_shim_pid: Option<u32>,
    /// The apps.
    pub apps: Vec<AppStatus>,
    /// Bytes free and in all on the disk of the root folder.
    pub disk_free_bytes: u64,
    /// Bytes in all.
    pub disk_total_bytes: u64,
    /// Bytes that a build must find free, or the push is refused.
    #[serde(default)]
    pub build_free_bytes_min: u64,
    /// Bytes of memory available and in all.
    pub memory_available_bytes: u64,
    /// Bytes in all.
    pub memory_total_bytes: u64,
    /// What the database cluster does: `PostgreSQL 15 up`, `none on this box`.
    pub database: String,
}

/// One line per app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppStatus {
    /// Its name.
    pub name: String,
    /// `v7`.
    pub release: Option<String>,
    /// `web 2/2 up`.
    pub processes: Vec<String>,
    /// The last thing that went wrong: `03:12 web.1 restarted: … → ps:why web.1`.
    pub trouble: Option<String>,
}

/// `stop --all`: every app, the router, the database, then the server itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StopAll {}
operation!(StopAll, "stop", Operator, Changes, StopAllReply);

/// What was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopAllReply {
    /// How many runs ended.
    pub runs: u32,
}
