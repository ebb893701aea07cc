//! `storage` and `storage:keep`.

use serde::{Deserialize, Serialize};

use crate::operation::operation;

/// `storage`: what lasts and how big it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Storage {
    /// The app.
    pub app: String,
}
operation!(Storage, "storage", Viewer, Reads, StorageReply);

/// What of an app lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageReply {
    /// The app.
    pub app: String,
    /// `DATA_DIR` as the app sees it.
    pub data_dir: String,
    /// What it holds, kept paths included, in bytes.
    pub bytes: u64,
    /// How many files that are.
    pub files: u64,
    /// There is so much that not all was counted.
    pub at_least: bool,
    /// The paths of `/app` that last.
    pub kept: Vec<KeptRow>,
}

/// A path of `/app` that lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRow {
    /// Below `/app`: `app.db`, `uploads/`.
    pub path: String,
    /// Where it is kept, as the app sees it.
    pub place: String,
    /// What is there, in bytes; nothing if there is nothing yet.
    pub bytes: Option<u64>,
    /// How many files that are.
    pub files: Option<u64>,
}

/// `storage:keep PATH…`: these paths of `/app` last from the next start on, which is now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Keep {
    /// The app.
    pub app: String,
    /// Below `/app`; a slash at the end makes a folder where nothing is yet.
    pub paths: Vec<String>,
    /// They last no longer; what was kept stays in `DATA_DIR`.
    pub remove: bool,
}
operation!(Keep, "storage:keep", Deployer, Changes, KeepReply);

/// What lasts now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepReply {
    /// The paths of `/app` that last.
    pub kept: Vec<String>,
    /// The instances that are restarted so that it holds for them.
    pub restarted: Vec<String>,
}
