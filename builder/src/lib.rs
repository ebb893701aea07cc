//! The build plane: source → detect → execute → cache → slug.
//!
//! Synchronous; runs as the app's build user in a sandbox of its own (`paas internal
//! build`), except for [`source::export`] (the repository's user), [`unpack::unpack`]
//! (the app's user) and what reads from outside ([`protocol`], [`manifest::read`]).
//!
//! ```text
//! stdin: BuildSpec ─▶ child::run ─▶ fd 4: BuildEvent lines
//! fd 3: source tar ─▶            ─▶ fd 5: slug
//! ```
//! What happens in order: receive the source, drop what `.slugignore` names, detect a
//! plan, check the Procfile, run the stages that no cache makes unnecessary, read the
//! Procfile again (a build may write it), pack.

mod app_json;
mod archive;
pub mod cache;
pub mod child;
pub mod environment;
pub mod execute;
mod hash;
pub mod limits;
pub mod manifest;
pub mod plan;
mod problem;
mod process_types;
pub mod protocol;
mod scan;
pub mod slug_writer;
pub mod slugignore;
pub mod source;
pub mod toolchains;
mod tree;
pub mod unpack;

pub use archive::{ArchiveError, ExtractLimits, Extracted, LinkRule};
pub use problem::Problem;
pub use scan::ScanError;
pub use tree::{FolderTree, MemoryTree, SourceTree};
