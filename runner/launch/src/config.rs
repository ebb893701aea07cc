//! What launch knows from its start. Whoever starts the server gives it; no frame can
//! change it.

use std::path::PathBuf;

use crate::Users;

/// Where everything is and who may be whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The root folder, absolute.
    pub root: PathBuf,
    /// The numbers of its users.
    pub users: Users,
    /// Whether launch is root; otherwise everything runs as the caller in user namespaces.
    pub is_root: bool,
    /// File name of the paas binary in `libexec/`.
    pub paas: String,
    /// File name of the shim in `libexec/`.
    pub shim: String,
    /// Home of whoever started the server: its toolchain folders are shown read-only.
    pub home: Option<PathBuf>,
}

impl Config {
    /// The paas binary below the root folder.
    pub fn paas_path(&self) -> PathBuf {
        self.root.join("libexec").join(&self.paas)
    }

    /// The shim below the root folder.
    pub fn shim_path(&self) -> PathBuf {
        self.root.join("libexec").join(&self.shim)
    }
}
