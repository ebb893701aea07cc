//! The keys that may log in, as sshd reads them: one forced command each, no forwarding,
//! no terminal, no file of the user's own.

use std::path::{Path, PathBuf};

use api::Failure;
use control::seams::{BoxFuture, LoginKeys};
use runner::runs::Runs;

use super::internal_run::not_started;
use crate::git::words;

/// Writes `ROOT/ssh/authorized_keys` through launch, since sshd wants its owner to be root.
pub struct AuthorizedKeys {
    runs: Runs,
    root: PathBuf,
    paas: PathBuf,
}

impl AuthorizedKeys {
    /// For a root folder and the binary in it that sshd should run.
    pub fn new(runs: Runs, root: &Path, paas: PathBuf) -> Self {
        Self { runs, root: root.to_owned(), paas }
    }

    /// One line: nothing in it but what was parsed and written out afresh.
    fn line(&self, fingerprint: &str, key_type: &str, blob: &str) -> String {
        let command = words::door_command(&self.paas, &self.root, &format!("--key {fingerprint}"));
        format!("restrict,command=\"{}\" {key_type} {blob}\n", command.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

impl LoginKeys for AuthorizedKeys {
    fn write(&self, keys: Vec<(String, String, String)>) -> BoxFuture<'_, Result<(), Failure>> {
        let text: String = keys.iter().map(|(fingerprint, key_type, blob)| self.line(fingerprint, key_type, blob)).collect();
        Box::pin(async move {
            self.runs.write_authorized_keys(text.as_bytes()).await.map_err(|error| not_started("writing the login keys", &error))
        })
    }
}
