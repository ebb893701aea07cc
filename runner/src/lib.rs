//! The run plane: makes true what control asks for, and keeps it true.

mod app_task;
pub mod backoff;
pub mod checks;
pub mod environment;
mod executions;
mod flight_recorder;
mod host;
mod instance_task;
pub mod last_lines;
pub mod lifecycle;
pub mod limits;
pub mod listener;
mod local_host;
mod machine;
mod no_follow;
mod notified;
mod one_off;
pub mod port_doctor;
pub mod port_leases;
pub mod reconcile;
pub mod record;
mod run_checks;
pub mod run_look;
mod runner;
pub mod runs;
pub mod silence;
mod slot;
pub mod slug_store;
mod tasks;

pub use host::{BoxFuture, TrafficSource};
pub use one_off::{ExecRun, ExecStdio, OneOffOutput, OneOffRun, RunOnceError};
pub use runner::{AdoptReport, Runner, RunnerConfig, TroubleKind};

/// The static shim, as built with this crate; whoever starts the server writes it to
/// `libexec/shim-<sha256>`.
pub fn shim_binary() -> &'static [u8] {
    include_bytes!(env!("PAAS_SHIM"))
}
