//! What the cluster needs from whoever runs processes.

use std::pin::Pin;

/// A boxed future, so that the trait can be an object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The end of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandOutput {
    /// Its exit code; 128 + the number of the signal that ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

/// Runs commands as the cluster's user where the folders of [`crate::Layout`] are.
pub trait ClusterHost: Send + Sync {
    /// Runs a command to its end.
    fn run_to_end(&self, argv: Vec<String>, stdin: Option<Vec<u8>>) -> BoxFuture<'_, Result<CommandOutput, String>>;
}
