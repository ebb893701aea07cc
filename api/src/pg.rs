//! `pg`, `pg:psql`.

use serde::{Deserialize, Serialize};

use crate::operation::operation;
use crate::run::SessionReply;

/// `pg` and `pg:info`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Info {
    /// The app.
    pub app: String,
}
operation!(Info, "pg:info", Deployer, Reads, InfoReply);

/// The app's database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InfoReply {
    /// `postgresql`, `sqlite`, `none`.
    pub kind: String,
    /// `PostgreSQL 15.18`.
    pub version: Option<String>,
    /// Its name in the cluster.
    pub database: Option<String>,
    /// Its size in bytes.
    pub bytes: Option<u64>,
    /// Connections now and at most.
    pub connections: Option<(u32, u32)>,
}

/// `pg:psql [-c SQL]`: the real psql as the app's role inside the app's sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Psql {
    /// The app.
    pub app: String,
    /// `-c`.
    pub command: Option<String>,
    /// Whether stdin is a terminal.
    #[serde(default)]
    pub terminal: bool,
    /// `TERM` of the client.
    pub term: Option<String>,
}
operation!(Psql, "pg:psql", Deployer, Changes, SessionReply);
