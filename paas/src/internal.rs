//! The parts of paas that paas starts itself.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use api::{Failure, Kind};
use builder::ExtractLimits;
use serde_json::json;

use crate::descriptors;

/// Where the sandboxes of the profiles Unpack and Wipe have their folder.
const TARGET: &str = "/target";
/// Where the sandbox of a layer's end has what was written, the slug, and what lasts.
const LAYER: &str = "/target/upper";
const LOWER: &str = "/lower";
const KEPT: &str = "/data/kept";
/// Leavings of a run that are listed for the server, which tells a few of them.
const LEAVINGS_MAX: usize = 40;
/// Where the sandbox of a build has the app and its cache.
const BUILD_APP: &str = "/app";
const BUILD_CACHE: &str = "/cache";
/// Where the sandbox of the router has its log folder.
const ROUTER_LOGS: &str = "/logs";
/// The first descriptor that a run is handed.
const FIRST_DESCRIPTOR: RawFd = 3;

/// What `paas server` was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// The root folder, absolute.
    pub root: PathBuf,
    /// `--http ADDR`.
    pub http: Option<String>,
}

fn handed(number: RawFd, what: &str) -> Result<std::os::fd::OwnedFd, Failure> {
    descriptors::take(number).map_err(|error| {
        Failure::new(Kind::Usage, "internal.no_descriptor", format!("there is no {what} on descriptor {number}"))
            .why("this command is started by paas itself")
            .caused_by(&error)
    })
}

/// `paas server`.
pub fn serve(options: ServerOptions) -> Result<u8, Failure> {
    crate::server::serve(options)
}

/// `paas internal launch`.
pub fn launch(words: &[OsString]) -> Result<u8, Failure> {
    crate::guardian::launch(words)
}

/// `paas internal server`.
pub fn server(words: &[OsString]) -> Result<u8, Failure> {
    crate::server::server(words)
}

/// `paas internal router`: its control socket on descriptor 3, where it listens from 4 on.
pub fn router(_words: &[OsString]) -> Result<u8, Failure> {
    let control = handed(FIRST_DESCRIPTOR, "control socket")?;
    let http = handed(FIRST_DESCRIPTOR + 1, "listening socket")?;
    let options =
        router::RouterOptions { control: control.into(), listeners: vec![http.into()], log_directory: PathBuf::from(ROUTER_LOGS) };
    router::run(options).map_err(|error| Failure::internal("the router cannot run", &error))?;
    Ok(0)
}

/// `paas internal build`: its spec on stdin, the source on descriptor 3, events to 4, the
/// slug to 5.
pub fn build(_words: &[OsString]) -> Result<u8, Failure> {
    let descriptors = builder::child::Descriptors {
        spec: Box::new(std::io::stdin()),
        source: Box::new(File::from(handed(FIRST_DESCRIPTOR, "source")?)),
        events: Box::new(File::from(handed(FIRST_DESCRIPTOR + 1, "pipe for events")?)),
        slug: File::from(handed(FIRST_DESCRIPTOR + 2, "file for the slug")?),
        app: PathBuf::from(BUILD_APP),
        cache: PathBuf::from(BUILD_CACHE),
    };
    Ok(builder::child::run(descriptors, buildpacks::all()))
}

/// `paas internal unpack`: the slug on descriptor 3.
pub fn unpack(_words: &[OsString]) -> Result<u8, Failure> {
    let slug = File::from(handed(FIRST_DESCRIPTOR, "slug")?);
    builder::unpack::unpack(slug, Path::new(TARGET), ExtractLimits::SLUG)
        .map_err(|error| Failure::new(Kind::Failed, "slug.unusable", "the slug cannot be unpacked").caused_by(&error))?;
    Ok(0)
}

/// `paas internal wipe`, or `… wipe look PATH…` for the layer of a run: what lasts of it is
/// saved first. What cannot be saved is not wiped either.
pub fn wipe(words: &[OsString]) -> Result<u8, Failure> {
    let failed = |what, error: &std::io::Error| Failure::new(Kind::Host, "wipe.failed", what).caused_by(error);
    let mut saved = Vec::new();
    if let Some((_, kept)) = words.split_first() {
        let rescue = |path: &OsString| shim::kept::rescue(Path::new(LAYER), Path::new(LOWER), Path::new(KEPT), path.as_bytes());
        for path in kept {
            // What is saved is not told as lost.
            if rescue(path).map_err(|error| failed("what lasts cannot be saved", &error))? {
                saved.push(PathBuf::from(path));
            }
        }
        tell_leavings(&saved);
    }
    let wiped = File::open(TARGET).and_then(|folder| launch::wipe(folder.as_fd()));
    wiped.map_err(|error| failed("a folder cannot be emptied", &error))?;
    Ok(0)
}

/// Says what else is in the layer. Whatever goes wrong with that, the layer is wiped.
fn tell_leavings(saved: &[PathBuf]) {
    let lower = File::open(LOWER).ok();
    let Ok(mut found) =
        File::open(LAYER).and_then(|upper| launch::Look::default().leavings(upper.as_fd(), lower.as_ref().map(AsFd::as_fd)))
    else {
        return;
    };
    found.retain(|left| !saved.iter().any(|path| Path::new(OsStr::from_bytes(&left.path)).starts_with(path)));
    found.sort_by_key(|left| std::cmp::Reverse(left.size.bytes));
    let more = found.len().saturating_sub(LEAVINGS_MAX);
    let leavings = found.iter().take(LEAVINGS_MAX).map(|left| {
        json!({
            "path": String::from_utf8_lossy(&left.path),
            "is_folder": left.is_folder,
            "bytes": left.size.bytes,
            "files": left.size.files,
        })
    });
    // Whoever asked may be gone.
    let _ = writeln!(std::io::stdout(), "{}", json!({ "leavings": leavings.collect::<Vec<_>>(), "more": more }));
}

/// `paas internal measure PATH…`: how much the folder holds, and these paths of it.
pub fn measure(words: &[OsString]) -> Result<u8, Failure> {
    let mut look = launch::Look::default();
    let mut size = |folder: &File, path: &Path| -> std::io::Result<serde_json::Value> {
        Ok(look.size(folder.as_fd(), path)?.map_or(serde_json::Value::Null, |size| json!({ "bytes": size.bytes, "files": size.files })))
    };
    let measured = File::open(TARGET).and_then(|folder| {
        let total = size(&folder, Path::new("."))?;
        let parts = words.iter().map(|path| size(&folder, Path::new(path))).collect::<std::io::Result<Vec<_>>>()?;
        Ok(json!({ "total": total, "parts": parts }))
    });
    let mut measured =
        measured.map_err(|error| Failure::new(Kind::Host, "measure.failed", "a folder cannot be measured").caused_by(&error))?;
    measured["is_cut"] = look.is_cut().into();
    writeln!(std::io::stdout(), "{measured}").map_err(|error| Failure::internal("the answer cannot be written", &error))?;
    Ok(0)
}
