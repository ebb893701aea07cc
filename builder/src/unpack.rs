//! Unpacking a slug for a release. Runs as the app's own user in a sandbox that holds
//! nothing but the target.

use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;

use model::SlugManifest;

use crate::archive::{ArchiveError, Beneath, ExtractLimits, Extracted, LinkRule, each_member, place};
use crate::manifest::{self, ManifestError};

/// What came out of a slug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Its manifest. It is not written into the target.
    pub manifest: SlugManifest,
    /// What was written.
    pub extracted: Extracted,
}

/// Extracts a slug below `target`, an empty folder, with what its manifest announces
/// and `limits` as bounds. After an error the target holds a part and must be wiped.
pub fn unpack(slug: impl Read, target: &Path, limits: ExtractLimits) -> Result<Unpacked, ArchiveError> {
    let mut beneath = Beneath::open(target).map_err(|source| ArchiveError::Write { path: target.display().to_string(), source })?;
    let mut announced: Option<(SlugManifest, LinkRule, ExtractLimits)> = None;
    let mut extracted = Extracted::default();
    each_member(flate2::read::MultiGzDecoder::new(slug), |mut member| {
        match &announced {
            None => {
                let manifest = manifest::of_member(&mut member)?;
                let links = LinkRule::slug(&manifest.host_paths);
                let limits = ExtractLimits {
                    entries_max: limits.entries_max.min(manifest.entries),
                    bytes_max: limits.bytes_max.min(manifest.unpacked_bytes),
                };
                announced = Some((manifest, links, limits));
            }
            Some((_, links, limits)) => place(&mut member, &mut beneath, links, *limits, &mut extracted)?,
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let (manifest, ..) = announced.ok_or_else(|| ArchiveError::Manifest(Box::new(ManifestError::Missing)))?;
    Ok(Unpacked { manifest, extracted })
}
