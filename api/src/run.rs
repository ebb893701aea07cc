//! `run CMD`: a session with the client's own stdin, stdout and stderr.

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

/// Sessions end with `Exit`, never with a reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionReply {}
