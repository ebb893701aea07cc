//! `deploy`, `builds` and their like.

use serde::{Deserialize, Serialize};

use crate::operation::operation;

/// `deploy [REF]`: builds and releases what the app's repository holds. Lines come as progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deploy {
    /// The app.
    pub app: String,
    /// A branch or commit of the app's repository; none is its deploy branch.
    pub reference: Option<String>,
}
operation!(Deploy, "deploy", Deployer, Changes, DeployReply);

/// What was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployReply {
    /// `v8`.
    pub release: String,
    /// The commit.
    pub commit: String,
}

/// `builds:rebuild`: the same commit anew, without the cache of dependencies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rebuild {
    /// The app.
    pub app: String,
}
operation!(Rebuild, "builds:rebuild", Deployer, Changes, DeployReply);

/// `builds`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Builds {
    /// The app.
    pub app: String,
}
operation!(Builds, "builds", Viewer, Reads, BuildsReply);

/// Builds, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildsReply {
    /// The rows.
    pub builds: Vec<BuildRow>,
}

/// One build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildRow {
    /// Its number within the app.
    pub number: u32,
    /// The commit.
    pub commit: String,
    /// `running`, `succeeded`, `failed`, `refused`, `cancelled`, `interrupted`.
    pub state: String,
    /// Why it did not succeed.
    pub failure: Option<String>,
    /// Who pushed.
    pub actor: String,
    /// When it started, in milliseconds since 1970 UTC.
    pub started_unix_ms: i64,
    /// How long it took, in milliseconds.
    pub took_ms: Option<u64>,
    /// The release that it became.
    pub release: Option<String>,
}

/// `builds:output [NUMBER]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Output {
    /// The app.
    pub app: String,
    /// The build; none is the newest.
    pub number: Option<u32>,
}
operation!(Output, "builds:output", Viewer, Reads, OutputReply);

/// The log of a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputReply {
    /// The build.
    pub build: BuildRow,
    /// Its lines, as the author saw them.
    pub lines: Vec<String>,
}

/// `builds:cancel`: ends the build that runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cancel {
    /// The app.
    pub app: String,
}
operation!(Cancel, "builds:cancel", Deployer, Changes, CancelReply);

/// Whether there was one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelReply {
    /// The build that was cancelled.
    pub number: Option<u32>,
}

/// `builds:cache purge`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PurgeCache {
    /// The app.
    pub app: String,
}
operation!(PurgeCache, "builds:cache:purge", Deployer, Changes, CancelReply);
