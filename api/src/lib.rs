//! What can be asked of paas: one operation per command, its reply, and how a
//! failure is told. The command line parses into these and renders the replies
//! (`--json` is the reply itself); `control::perform` alone carries them out.

pub mod access;
pub mod apps;
pub mod builds;
pub mod checks;
pub mod config;
pub mod events;
mod failure;
pub mod git;
pub mod limits;
pub mod logs;
mod operation;
pub mod pg;
pub mod ps;
pub mod releases;
pub mod run;
pub mod status;
pub mod storage;
pub mod wire;

pub use failure::{Failure, Kind};
pub use operation::{Effect, Operation, Role, TABLE, TableRow};
