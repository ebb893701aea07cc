//! `config`, `config:get`, `config:set`, `config:unset`, `config:import`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::operation::operation;

/// `config` and `config:get`: values in clear; the command line masks them on a terminal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Get {
    /// The app.
    pub app: String,
}
operation!(Get, "config", Deployer, Reads, GetReply);

/// The config vars. No `Debug`: they are secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetReply {
    /// Name → value.
    pub vars: BTreeMap<String, String>,
    /// Values of add-ons that no config var overrides (`DATABASE_URL`).
    pub addon_vars: BTreeMap<String, String>,
}

/// `config:set`, `config:unset`, `config:import`: one change, one release.
#[derive(Clone, Serialize, Deserialize)]
pub struct Change {
    /// The app.
    pub app: String,
    /// What to set.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// What to remove.
    #[serde(default)]
    pub unset: Vec<String>,
    /// `--no-restart`: saved, used from the next release on.
    #[serde(default)]
    pub no_restart: bool,
}
operation!(Change, "config:set", Deployer, Changes, ChangeReply);

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeReply {
    /// `v10`; none if the app has no release yet or `--no-restart` was given.
    pub release: Option<String>,
    /// Names that were changed.
    pub keys: Vec<String>,
    /// Nothing was different.
    pub unchanged: bool,
}
