//! What the hook and the server say to each other while a push waits: frames of
//! [`api::wire`] over the socket that the hook inherited.
//!
//! ```text
//! hook ── Hello ──────────────▶ server
//! hook ◀─ Line ×n ───────────── server
//! hook ◀─ SendSource (+ pipe) ─ server
//! hook ── SourceDone | SourceFailed ▶ server
//! hook ◀─ Line ×n, Verdict ──── server
//! ```

use api::{Failure, Kind};
use serde::{Deserialize, Serialize};

/// The version of this conversation.
pub const VERSION: u32 = 1;
/// The environment variable that names the inherited socket's descriptor.
pub const HOOK_DESCRIPTOR_VARIABLE: &str = "PAAS_HOOK_FD";

/// What the hook says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromHook {
    /// First and once: what is being pushed.
    Hello(Hello),
    /// The tree went through the pipe; the pipe is closed.
    SourceDone(SourceDone),
    /// The tree cannot be sent; what went through the pipe is worthless.
    SourceFailed(Failure),
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToHook {
    /// A line for the author, without its end.
    Line(String),
    /// Stream the tree of this commit into the pipe that comes along.
    SendSource {
        /// 40 hexadecimal digits.
        commit: String,
        /// The folder of the repository that is the app, if not its top.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<String>,
    },
    /// Last: whether the refs may move.
    Verdict {
        /// They may.
        accept: bool,
    },
}

/// A push, as git told the hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the hook.
    pub version: u32,
    /// Every ref that would move.
    pub refs: Vec<RefUpdate>,
    /// `git push -o …`, in order.
    pub options: Vec<String>,
    /// The push comes from a shallow clone: refuse it, git would do so afterwards.
    pub shallow: bool,
    /// What HEAD of the repository names: `refs/heads/main`. Git refuses to delete it.
    pub head: Option<String>,
}

/// One ref that would move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefUpdate {
    /// Its full name as git sent it; parse it as [`model::RefName`] before use.
    pub name: String,
    /// The object id that the author's git saw, or zeros for a new ref.
    pub old: String,
    /// The new object id, or zeros for a deletion.
    pub new: String,
    /// What git itself will look at after the hook has said yes.
    pub facts: Facts,
}

/// What git will check after the hook: accepted is not moved, so whoever decides
/// looks at these first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// What the new object is; nothing for a deletion or an object that is missing.
    pub kind: Option<ObjectKind>,
    /// The commit that it is or, for a tag of a commit, leads to.
    pub commit: Option<String>,
    /// The ref still is what the author's git saw.
    pub old_is_current: bool,
    /// A ref that this name cannot live beside: `main` and `main/x`.
    pub conflict: Option<String>,
    /// A `.lock` file of another or a dead git stands in the way.
    pub locked: bool,
    /// The ref is to be deleted.
    pub deletion: bool,
}

/// What a ref can point to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A commit: the only one that a branch may hold.
    Commit,
    /// An annotated tag.
    Tag,
    /// A tree.
    Tree,
    /// A file's content.
    Blob,
}

/// The failure of an export whose reader is gone.
pub fn source_unread() -> Failure {
    Failure::new(Kind::Failed, "source.unread", "the build ended before it had read its source")
}

/// Whether an export failed for that alone: whoever closed the pipe knows why.
pub fn is_source_unread(failure: &Failure) -> bool {
    failure.code == "source.unread"
}

/// A tree that was sent in full.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceDone {
    /// The commit.
    pub commit: String,
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// What the author should know, for people: submodules that are not fetched.
    pub warnings: Vec<String>,
}
