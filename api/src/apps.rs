//! `apps`, `apps:create` and their like.

use serde::{Deserialize, Serialize};

use crate::operation::operation;

/// `apps`: lists them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Apps {}
operation!(Apps, "apps", Viewer, Reads, AppsReply);

/// The apps that the asker may see.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppsReply {
    /// In the order of their names.
    pub apps: Vec<AppSummary>,
}

/// One line of `apps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppSummary {
    /// Its name.
    pub name: String,
    /// The release that serves: `v7`.
    pub release: Option<String>,
    /// `web 2/2 up`, one per process type that is scaled above 0.
    pub processes: Vec<String>,
    /// Its URL by name.
    pub url: String,
}

/// `apps:create [NAME]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Create {
    /// The name, or none for a made-up one.
    pub name: Option<String>,
    /// `--no-database`.
    #[serde(default)]
    pub no_database: bool,
}
operation!(Create, "apps:create", Operator, Changes, CreateReply);

/// A new app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateReply {
    /// Its name.
    pub name: String,
    /// Its URL by name.
    pub url: String,
    /// Its URL by its lasting port, which needs no DNS.
    pub port_url: String,
    /// `paas@box:hello`: the git remote over SSH.
    pub ssh_remote: String,
    /// `file:///hello`: the remote for a checkout on this box.
    pub local_remote: String,
    /// What the database is: `postgresql`, `sqlite`, `none`.
    pub database: String,
    /// Worth knowing, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// `apps:info`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Info {
    /// The app.
    pub app: String,
}
operation!(Info, "apps:info", Viewer, Reads, InfoReply);

/// Everything short about one app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InfoReply {
    /// Name, release, processes, URL.
    #[serde(flatten)]
    pub summary: AppSummary,
    /// Its URL by port.
    pub port_url: String,
    /// The git remote over SSH.
    pub ssh_remote: String,
    /// The git remote for a checkout on this box.
    pub local_remote: String,
    /// The branches that deploy.
    pub deploy_branches: Vec<String>,
    /// The folder of the repository that is the app, if not its top.
    pub root: Option<String>,
    /// Size of the running slug in bytes.
    pub slug_bytes: Option<u64>,
    /// The buildpack of the running slug.
    pub buildpack: Option<String>,
    /// What the database is.
    pub database: String,
    /// When it was made, in milliseconds since 1970 UTC.
    pub created_unix_ms: i64,
}

/// `apps:set deploy-branch=release`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Set {
    /// The app.
    pub app: String,
    /// Setting → value; an empty value resets it.
    pub settings: std::collections::BTreeMap<String, String>,
}
operation!(Set, "apps:set", Owner, Changes, InfoReply);

/// `apps:rename NEW`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rename {
    /// The app.
    pub app: String,
    /// Its new name.
    pub to: String,
}
operation!(Rename, "apps:rename", Owner, Changes, CreateReply);

/// `apps:destroy`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Destroy {
    /// The app.
    pub app: String,
    /// The app's name again.
    pub confirm: String,
}
operation!(Destroy, "apps:destroy", Owner, Destroys, DestroyReply);

/// What is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DestroyReply {
    /// The name of the app that was.
    pub name: String,
}
