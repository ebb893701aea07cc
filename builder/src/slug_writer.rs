//! Writing a slug: one plain `tar.gz`, the same bytes for the same input.
//!
//! ```text
//! gzip member: .paas/manifest.json, the app       (in the order of names)
//! gzip member per layer: its folders              (copied from the cache as they are)
//! gzip member: end of archive
//! ```

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use model::SlugManifest;

use crate::archive::{LinkRule, TarWriter};
use crate::cache::Layer;
use crate::limits;
use crate::manifest::{self, ManifestError};
use crate::scan::{ScanError, scan};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenSlug {
    /// Size of the slug in bytes.
    pub packed_bytes: u64,
    /// The manifest with its numbers.
    pub manifest: SlugManifest,
    /// What stayed out, for people.
    pub warnings: Vec<String>,
}

/// A slug that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SlugError {
    /// The built tree.
    #[error("the built app cannot be packed")]
    Scan(#[from] ScanError),
    /// The slug's own file: a full disk.
    #[error("the slug cannot be written")]
    Write(#[from] io::Error),
    /// The manifest that the build came to.
    #[error("the slug's manifest is not usable")]
    Manifest(#[from] ManifestError),
}

/// Packs `app` and layers into `out`. The numbers of `manifest` are filled in.
pub fn write(app: &Path, layers: &[&Layer], mut manifest: SlugManifest, out: &mut File) -> Result<WrittenSlug, SlugError> {
    let links = LinkRule::slug(&manifest.host_paths);
    let without: Vec<PathBuf> = layers.iter().flat_map(|layer| layer.paths.iter().cloned()).collect();
    let found = scan(app, Path::new(""), &without, &links)?;
    manifest.entries = found.entries.len() as u64 + layers.iter().map(|layer| layer.entries).sum::<u64>();
    manifest.unpacked_bytes = found.bytes + layers.iter().map(|layer| layer.bytes).sum::<u64>();
    let text = manifest::encode(&manifest)?;
    // What cannot be read again must not be written.
    manifest::decode(&text)?;

    let level = Compression::new(limits::GZIP_LEVEL);
    let mut tar = TarWriter::new(GzEncoder::new(Counting { inner: BufWriter::new(out), bytes: 0 }, level));
    tar.file(Path::new(manifest::PATH), 0o644, text.len() as u64, text.as_slice())?;
    found.write(app, &mut tar)?;
    let mut out = tar.leave_open()?.finish()?;
    for layer in layers {
        io::copy(&mut layer.open()?, &mut out)?;
    }
    let mut out = TarWriter::new(GzEncoder::new(out, level)).finish()?.finish()?;
    out.flush()?;
    let mut warnings = found.warnings;
    warnings.extend(layers.iter().flat_map(|layer| layer.warnings.iter().cloned()));
    Ok(WrittenSlug { packed_bytes: out.bytes, manifest, warnings })
}

struct Counting<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
