//! tar, written so that the same tree gives the same bytes, and read as if its
//! writer were an enemy.

mod beneath;
mod extract;
mod links;
mod members;
mod write;

pub(crate) use beneath::Beneath;
pub use extract::{ExtractLimits, Extracted};
pub(crate) use extract::{extract, place};
pub use links::LinkRule;
pub use members::ArchiveError;
pub(crate) use members::{Member, MemberKind, each_member};
pub(crate) use write::TarWriter;
