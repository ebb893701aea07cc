//! The source of a build: out of a git repository as a checked tar stream, and from
//! that stream into a folder.
//!
//! ```text
//! git-N:   export(repository, commit) ──tar──▶ build-N: receive(stream, /app)
//! ```

mod blobs;
mod export;
pub(crate) mod names;
mod receive;

pub use export::{ExportError, ExportLimits, ExportSummary, export, export_folder};
pub use names::BadPath;
pub use receive::receive;
