//! Dependencies that are kept from build to build, in their packed form.
//!
//! A kept cache is a *layer*: its folders as a gzipped piece of a tar archive. Packing
//! it is work that the slug needs anyway; on a hit the bytes become part of the next
//! slug as they are (gzip members and tar pieces concatenate), so that an unchanged
//! dependency tree is neither installed nor packed again. `/app` and `/cache` are two
//! mounts, which rules out hard links and renames between them.
//!
//! ```text
//! /cache/python.json                    key, sizes, SHA-256, time that it took
//! /cache/python-<key>.tar.gz            the layer
//! ```

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use crate::archive::{ArchiveError, ExtractLimits, LinkRule, TarWriter, extract};
use crate::hash::{self, Hashing};
use crate::limits;
use crate::plan::{CachePlan, KeyPart};
use crate::scan::{ScanError, scan};

/// The form of record and layer; raising it makes every cache a miss.
const VERSION: u32 = 1;

/// What is written beside a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: u32,
    key: Vec<KeyPart>,
    entries: u64,
    bytes: u64,
    packed_bytes: u64,
    sha256: String,
    took_ms: u64,
}

/// A packed layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Folders below the app that it holds.
    pub paths: Vec<PathBuf>,
    /// Files, folders and links.
    pub entries: u64,
    /// Unpacked size in bytes.
    pub bytes: u64,
    /// How long it took to make, in milliseconds.
    pub took_ms: u64,
    /// Links and the like that stayed out, for people.
    pub warnings: Vec<String>,
    file: PathBuf,
    pending: Option<Record>,
}

/// What a look into the cache found.
#[derive(Debug)]
pub enum Lookup {
    /// It fits.
    Hit(Layer),
    /// It does not; every reason, for people.
    Miss(Vec<String>),
}

/// A cache that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A file of it.
    #[error("the cache cannot be used")]
    File(#[from] io::Error),
    /// The tree to pack.
    #[error("dependencies cannot be packed")]
    Scan(#[from] ScanError),
    /// The layer to unpack.
    #[error("kept dependencies cannot be unpacked")]
    Layer(#[from] ArchiveError),
}

/// The cache folder of one app.
#[derive(Debug, Clone)]
pub struct CacheStore {
    folder: PathBuf,
    links: LinkRule,
    usable: bool,
}

impl CacheStore {
    /// The cache in `folder`. `usable` false makes every look a miss.
    pub fn new(folder: impl Into<PathBuf>, links: LinkRule, usable: bool) -> Self {
        Self { folder: folder.into(), links, usable }
    }

    /// Whether a kept layer fits the plan.
    pub fn look_up(&self, plan: &CachePlan) -> Lookup {
        if !self.usable {
            return Lookup::Miss(vec!["the cache was not asked".to_owned()]);
        }
        let record = match self.record(&plan.name) {
            Ok(Some(record)) if record.version == VERSION => record,
            Ok(Some(_)) => return Lookup::Miss(vec!["it was kept by another version of paas".to_owned()]),
            Ok(None) => return Lookup::Miss(vec!["nothing is kept yet".to_owned()]),
            Err(error) => return Lookup::Miss(vec![format!("what is kept cannot be read ({error})")]),
        };
        let reasons = differences(&record.key, &plan.key);
        if !reasons.is_empty() {
            return Lookup::Miss(reasons);
        }
        let file = self.layer_file(&plan.name, &plan.key);
        match sound(&file, &record) {
            Ok(true) => Lookup::Hit(layer(plan, file, &record)),
            Ok(false) | Err(_) => Lookup::Miss(vec!["what is kept is damaged".to_owned()]),
        }
    }

    /// Packs the folders of a plan as they are in `app`. [`CacheStore::keep`] makes it
    /// last; until then the kept one stays.
    pub fn pack(&self, plan: &CachePlan, app: &Path, took_ms: u64) -> Result<Layer, CacheError> {
        std::fs::create_dir_all(&self.folder)?;
        let file = self.folder.join(format!("{}.new.tar.gz", plan.name));
        let out = Hashing::new(BufWriter::new(File::create(&file)?));
        let mut tar = TarWriter::new(GzEncoder::new(out, Compression::new(limits::GZIP_LEVEL)));
        let (mut entries, mut bytes, mut warnings) = (0, 0, Vec::new());
        for path in plan.paths.iter().map(Path::new).filter(|path| app.join(path).is_dir()) {
            let found = scan(app, path, &[], &self.links)?;
            found.write(app, &mut tar)?;
            entries += found.entries.len() as u64;
            bytes += found.bytes;
            warnings.extend(found.warnings);
        }
        let (out, sha256, packed_bytes) = tar.leave_open()?.finish()?.finish();
        out.into_inner().map_err(io::IntoInnerError::into_error)?;
        let record = Record { version: VERSION, key: plan.key.clone(), entries, bytes, packed_bytes, sha256, took_ms };
        Ok(Layer { warnings, pending: Some(record.clone()), ..layer(plan, file, &record) })
    }

    /// Makes a packed layer the kept one; called when the whole build has succeeded.
    pub fn keep(&self, plan: &CachePlan, layer: &Layer) -> Result<(), CacheError> {
        let Some(record) = &layer.pending else { return Ok(()) };
        let kept = self.layer_file(&plan.name, &plan.key);
        std::fs::rename(&layer.file, &kept)?;
        let text = serde_json::to_vec_pretty(record).map_err(io::Error::from)?;
        let new = self.folder.join(format!("{}.new.json", plan.name));
        std::fs::write(&new, text)?;
        std::fs::rename(new, self.record_file(&plan.name))?;
        let prefix = format!("{}-", plan.name);
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let is_layer = entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix) && name.ends_with(".tar.gz"));
            if is_layer && entry.path() != kept {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Unpacks a layer into `app`. Its folders must not be there.
    pub fn unpack(&self, layer: &Layer, app: &Path) -> Result<(), CacheError> {
        let piece = flate2::read::MultiGzDecoder::new(BufReader::new(File::open(&layer.file)?));
        let whole = piece.chain(io::repeat(0).take(1_024));
        extract(whole, app, &self.links, ExtractLimits::SLUG)?;
        Ok(())
    }

    fn record(&self, name: &str) -> io::Result<Option<Record>> {
        let file = match File::open(self.record_file(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        Ok(serde_json::from_reader(BufReader::new(file.take(limits::CACHE_RECORD_BYTES_MAX)))?)
    }

    fn record_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    fn layer_file(&self, name: &str, key: &[KeyPart]) -> PathBuf {
        let lines: Vec<String> = key.iter().map(|part| format!("{}={}", part.name, part.value)).collect();
        let digest = hash::hex(lines.join("\n").as_bytes());
        self.folder.join(format!("{name}-{}.tar.gz", digest.get(..16).unwrap_or(&digest)))
    }
}

impl Layer {
    /// The packed bytes: a gzip member with a piece of a tar archive.
    pub(crate) fn open(&self) -> io::Result<File> {
        File::open(&self.file)
    }
}

fn layer(plan: &CachePlan, file: PathBuf, record: &Record) -> Layer {
    Layer {
        paths: plan.paths.iter().map(PathBuf::from).collect(),
        entries: record.entries,
        bytes: record.bytes,
        took_ms: record.took_ms,
        warnings: Vec::new(),
        file,
        pending: None,
    }
}

/// Whether a layer is byte for byte what was written: a damaged one would end up in
/// every slug from now on.
fn sound(file: &Path, record: &Record) -> io::Result<bool> {
    let mut file = File::open(file)?;
    if file.metadata()?.len() != record.packed_bytes {
        return Ok(false);
    }
    Ok(hash::of_reader(&mut file)? == (record.sha256.clone(), record.packed_bytes))
}

/// Every difference of two keys: `Python 3.11.2 → 3.11.7`, `requirements.txt changed`.
fn differences(old: &[KeyPart], new: &[KeyPart]) -> Vec<String> {
    let of = |parts: &[KeyPart], name: &str| parts.iter().find(|part| part.name == name).cloned();
    let mut reasons: Vec<String> = new
        .iter()
        .filter_map(|part| match of(old, &part.name) {
            Some(old) if old.value == part.value => None,
            Some(old) if part.readable => Some(format!("{} {} → {}", part.name, old.value, part.value)),
            Some(_) => Some(format!("{} changed", part.name)),
            None => Some(format!("{} is new", part.name)),
        })
        .collect();
    reasons.extend(old.iter().filter(|part| of(new, &part.name).is_none()).map(|part| format!("{} is gone", part.name)));
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Restore;

    fn plan(requirements: &str, version: &str) -> CachePlan {
        CachePlan {
            name: "python".to_owned(),
            what: "dependencies".to_owned(),
            key: vec![KeyPart::content("requirements.txt", requirements.as_bytes()), KeyPart::version("Python", version)],
            paths: vec![".venv".to_owned()],
            restore: Restore::Packed,
        }
    }

    fn app() -> tempfile::TempDir {
        let app = tempfile::tempdir().expect("folder");
        std::fs::create_dir_all(app.path().join(".venv/bin")).expect("venv");
        std::fs::write(app.path().join(".venv/bin/tool"), "#!/bin/sh\n").expect("tool");
        std::os::unix::fs::symlink("/usr/bin/python3.11", app.path().join(".venv/bin/python")).expect("link");
        app
    }

    fn reasons(lookup: Lookup) -> Vec<String> {
        match lookup {
            Lookup::Miss(reasons) => reasons,
            Lookup::Hit(_) => Vec::new(),
        }
    }

    #[test]
    fn a_layer_is_kept_only_when_the_build_succeeded_and_then_found() {
        let (app, folder) = (app(), tempfile::tempdir().expect("cache"));
        let store = CacheStore::new(folder.path(), LinkRule::slug(&[]), true);
        let plan = plan("flask", "3.11.2");
        assert_eq!(reasons(store.look_up(&plan)), ["nothing is kept yet"]);
        let layer = store.pack(&plan, app.path(), 14_000).expect("packed");
        assert_eq!(reasons(store.look_up(&plan)), ["nothing is kept yet"]);
        store.keep(&plan, &layer).expect("kept");
        let Lookup::Hit(hit) = store.look_up(&plan) else { panic!("a miss") };
        assert_eq!((hit.entries, hit.took_ms), (4, 14_000));

        let again = tempfile::tempdir().expect("folder");
        store.unpack(&hit, again.path()).expect("unpacked");
        assert_eq!(std::fs::read_to_string(again.path().join(".venv/bin/tool")).expect("tool"), "#!/bin/sh\n");
        assert!(again.path().join(".venv/bin/python").is_symlink());
    }

    #[test]
    fn every_reason_for_a_miss_is_told() {
        let (app, folder) = (app(), tempfile::tempdir().expect("cache"));
        let store = CacheStore::new(folder.path(), LinkRule::slug(&[]), true);
        let old = plan("flask", "3.11.2");
        let layer = store.pack(&old, app.path(), 1).expect("packed");
        store.keep(&old, &layer).expect("kept");
        assert_eq!(reasons(store.look_up(&plan("django", "3.11.7"))), ["requirements.txt changed", "Python 3.11.2 → 3.11.7"]);
        let refusing = CacheStore::new(folder.path(), LinkRule::slug(&[]), false);
        assert_eq!(reasons(refusing.look_up(&old)), ["the cache was not asked"]);
    }

    #[test]
    fn a_damaged_layer_or_record_is_a_miss() {
        let (app, folder) = (app(), tempfile::tempdir().expect("cache"));
        let store = CacheStore::new(folder.path(), LinkRule::slug(&[]), true);
        let plan = plan("flask", "3.11.2");
        let layer = store.pack(&plan, app.path(), 1).expect("packed");
        store.keep(&plan, &layer).expect("kept");
        let file = store.layer_file(&plan.name, &plan.key);
        let mut bytes = std::fs::read(&file).expect("layer");
        bytes[20] ^= 1;
        std::fs::write(&file, bytes).expect("damaged");
        assert_eq!(reasons(store.look_up(&plan)), ["what is kept is damaged"]);
        std::fs::write(store.record_file("python"), "{").expect("damaged");
        assert!(reasons(store.look_up(&plan))[0].starts_with("what is kept cannot be read"));
    }

    #[test]
    fn a_new_layer_replaces_the_old_one() {
        let (app, folder) = (app(), tempfile::tempdir().expect("cache"));
        let store = CacheStore::new(folder.path(), LinkRule::slug(&[]), true);
        for requirements in ["one", "two"] {
            let plan = plan(requirements, "3.11.2");
            let layer = store.pack(&plan, app.path(), 1).expect("packed");
            store.keep(&plan, &layer).expect("kept");
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("cache").count(), 2);
    }
}
