//! The conversation with the shim: what a run should execute, how its sandbox is made,
//! and its run folder.
//!
//! ```text
//! launch ── operations ──▶ stage 0 ── fork ──▶ shim, PID 1 of the run ── fork ──▶ child
//! control ── spec ───────────────────────────────────────────────────────────────▶ child
//! control ◀─ Spawned, Ready | Failed ── stage 0, shim
//! control ◀─ run folder: lock, process, sock, exit ──▶ shim
//! ```

pub mod control;
mod invocation;
pub mod kept;
pub mod limits;
pub mod notify;
pub mod operation;
pub mod record;
pub mod report;
mod spec;
pub mod wire;
pub mod wire_socket;

pub use invocation::{Invocation, JoinInvocation, NAMESPACES, OutputDescriptors};
pub use operation::Operation;
pub use record::{Ended, ExitRecord, ProcessRecord};
pub use report::Report;
pub use spec::Spec;
