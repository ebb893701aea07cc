//! Extraction with bounds.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;

use super::members::shown;
use super::{ArchiveError, Beneath, LinkRule, Member, MemberKind, each_member};
use crate::limits;
use crate::source::names::check_path;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtractLimits {
    /// Files, folders and links.
    pub entries_max: u64,
    /// Bytes of all files together.
    pub bytes_max: u64,
}

impl ExtractLimits {
    /// What a source tree may hold.
    pub const SOURCE: Self = Self { entries_max: limits::SOURCE_ENTRIES_MAX, bytes_max: limits::SOURCE_BYTES_MAX };
    /// What a slug may hold.
    pub const SLUG: Self = Self { entries_max: limits::SLUG_ENTRIES_MAX, bytes_max: limits::SLUG_UNPACKED_BYTES_MAX };
}

/// What came out of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extracted {
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
}

impl Extracted {
    /// Counts one member before anything of it is written.
    fn count(&mut self, member: &Member<'_>, limits: ExtractLimits) -> Result<(), ArchiveError> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(member.size);
        if self.entries > limits.entries_max {
            return Err(ArchiveError::TooMany { max: limits.entries_max });
        }
        if self.bytes > limits.bytes_max {
            return Err(ArchiveError::TooLarge { max: limits.bytes_max });
        }
        Ok(())
    }
}

/// Extracts a whole archive below `folder`.
pub(crate) fn extract(reader: impl Read, folder: &Path, links: &LinkRule, limits: ExtractLimits) -> Result<Extracted, ArchiveError> {
    let mut beneath = Beneath::open(folder).map_err(|source| ArchiveError::Write { path: folder.display().to_string(), source })?;
    let mut extracted = Extracted::default();
    each_member(reader, |mut member| {
        place(&mut member, &mut beneath, links, limits, &mut extracted)?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(extracted)
}

/// Checks one member and makes it.
pub(crate) fn place(
    member: &mut Member<'_>,
    beneath: &mut Beneath,
    links: &LinkRule,
    limits: ExtractLimits,
    extracted: &mut Extracted,
) -> Result<(), ArchiveError> {
    extracted.count(member, limits)?;
    check_path(&member.path).map_err(|source| ArchiveError::Path { path: member.shown(), source })?;
    let failed = |source| ArchiveError::Write { path: shown(&member.path), source };
    match &member.kind {
        MemberKind::Folder => beneath.folder(&member.path).map_err(failed),
        MemberKind::Link(target) if !links.allows(&member.path, target) => {
            Err(ArchiveError::LinkLeaves { path: member.shown(), target: shown(target) })
        }
        MemberKind::Link(target) => beneath.link(&member.path, target).map_err(failed),
        MemberKind::File if member.mode & 0o6000 != 0 => Err(ArchiveError::Setuid { path: member.shown() }),
        MemberKind::File => {
            let mut file = beneath.file(&member.path, member.mode & 0o777 | 0o400).map_err(failed)?;
            let written = io::copy(member.content, &mut file).map_err(failed)?;
            if written == member.size { Ok(()) } else { Err(ArchiveError::Read(io::ErrorKind::UnexpectedEof.into())) }
        }
    }
}
