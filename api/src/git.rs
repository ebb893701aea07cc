//! The git verbs of the door: receive-pack and upload-pack, nothing else.

use serde::{Deserialize, Serialize};

use crate::operation::operation;
use crate::run::SessionReply;

/// A `git push` or `git fetch` that arrived at the door with its stdio.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Git {
    /// The repository word as git sent it, after one unquoting: `hello`, `/hello`, `hello.git`.
    pub repository: String,
    /// Which verb.
    pub verb: Verb,
    /// `GIT_PROTOCOL` of the client, only `version=…` is passed on.
    pub protocol: Option<String>,
}
operation!(Git, "git", Deployer, Changes, SessionReply);

/// What git may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Push; needs a deployer.
    ReceivePack,
    /// Fetch and clone; needs a deployer too (config can be in old commits).
    UploadPack,
}
