//! The conversation with the shim: what a run should execute, and its run folder.

/// What to execute and how. Made by control, read only after the user was dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spec {
    /// Command and arguments; the first is looked up in the spec's own `PATH`.
    pub argv: Vec<Vec<u8>>,
    /// Environment, whole: nothing else is inherited.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Working directory inside the sandbox.
    pub working_directory: Vec<u8>,
    /// The signal of a stop; 15 unless the program wants another (PostgreSQL: 2).
    pub stop_signal: i32,
    /// Soft limit of open files.
    pub open_files: u64,
    /// The host name inside.
    pub hostname: Vec<u8>,
}
