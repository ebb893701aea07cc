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
///
/// At most one PostgreSQL runs at a time: starting it removes what a killed one left.
/// It is stopped by SIGINT; SIGTERM waits for the clients.
pub trait ClusterHost: Send + Sync {
    /// Runs a command to its end.
    fn run_to_end(&self, argv: Vec<String>, stdin: Option<Vec<u8>>) -> BoxFuture<'_, Result<CommandOutput, String>>;

    /// Starts the command that becomes PostgreSQL and keeps it running: started again with
    /// the same words, it comes back after any death.
    fn start_postgres(&self, argv: Vec<String>) -> BoxFuture<'_, Result<(), String>>;
}
