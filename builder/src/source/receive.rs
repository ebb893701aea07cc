//! The receiving end of [`export`](super::export): it trusts the stream no more than
//! the exporter trusted the repository.

use std::io::Read;
use std::path::Path;

use crate::archive::{ArchiveError, ExtractLimits, Extracted, LinkRule, extract};

/// Extracts a source stream below `folder`.
pub fn receive(reader: impl Read, folder: &Path, limits: ExtractLimits) -> Result<Extracted, ArchiveError> {
    extract(reader, folder, &LinkRule::inside(), limits)
}
