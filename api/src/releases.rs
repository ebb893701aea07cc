//! `releases`, `releases:info`, `rollback`.

use serde::{Deserialize, Serialize};

use crate::operation::operation;

/// `releases`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Releases {
    /// The app.
    pub app: String,
}
operation!(Releases, "releases", Viewer, Reads, ReleasesReply);

/// The releases of an app, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleasesReply {
    /// The rows.
    pub releases: Vec<ReleaseRow>,
}

/// One release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseRow {
    /// `v7`.
    pub version: String,
    /// `Deploy 1a2b3c4`.
    pub description: String,
    /// Who made it.
    pub actor: String,
    /// When, in milliseconds since 1970 UTC.
    pub created_unix_ms: i64,
    /// `current`, `superseded`, `failed`, `candidate`.
    pub state: String,
    /// Why it failed.
    pub failure: Option<String>,
    /// The slug's SHA-256.
    pub slug: String,
}

/// `releases:info [vN]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Info {
    /// The app.
    pub app: String,
    /// The release; none is the current one.
    pub version: Option<String>,
}
operation!(Info, "releases:info", Viewer, Reads, InfoReply);

/// A release in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InfoReply {
    /// As in the list.
    #[serde(flatten)]
    pub row: ReleaseRow,
    /// Process type → command.
    pub commands: std::collections::BTreeMap<String, String>,
    /// Process type → count when it was made.
    pub formation: std::collections::BTreeMap<String, u32>,
    /// `Python 3.11.7`.
    pub interpreter: Option<String>,
    /// The buildpack.
    pub buildpack: String,
    /// The commit.
    pub source_version: String,
}

/// `rollback [vN]`. Progress comes as lines.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rollback {
    /// The app.
    pub app: String,
    /// Where to; none is the last good one before the current.
    pub version: Option<String>,
    /// `--run-release`: runs the release phase too.
    #[serde(default)]
    pub run_release: bool,
}
operation!(Rollback, "rollback", Deployer, Changes, RollbackReply);

/// The new release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackReply {
    /// `v40`.
    pub to: String,
    /// `v42`.
    pub release: String,
}
