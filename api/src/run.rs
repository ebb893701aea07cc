//! `run CMD` and `ps:exec`: sessions with the client's own stdin, stdout and stderr.

use serde::{Deserialize, Serialize};

use crate::operation::operation;

/// `run CMD`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// The app.
    pub app: String,
    /// The words; a single one that is a Procfile type runs that type's command.
    pub command: Vec<String>,
    /// Whether stdin is a terminal, so that the session gets a controlling one.
    #[serde(default)]
    pub terminal: bool,
    /// `TERM` of the client.
    pub term: Option<String>,
}
operation!(Run, "run", Deployer, Changes, SessionReply);

/// `ps:exec web.1 [CMD]`: inside the sandbox of a live instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exec {
    /// The app.
    pub app: String,
    /// `web.1`.
    pub instance: String,
    /// The words; a single one goes through a shell, none is a shell.
    #[serde(default)]
    pub command: Vec<String>,
    /// Whether stdin is a terminal, so that the session gets a controlling one.
    #[serde(default)]
    pub terminal: bool,
    /// `TERM` of the client.
    pub term: Option<String>,
}
operation!(Exec, "ps:exec", Deployer, Changes, SessionReply);

/// Sessions end with `Exit`, never with a reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionReply {}
