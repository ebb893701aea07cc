//! The parts of paas that paas starts itself.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, RawFd};
use std::path::{Path, PathBuf};

use api::{Failure, Kind};
use builder::ExtractLimits;

use crate::descriptors;

/// Where the sandboxes of the profiles Unpack and Wipe have their folder.
const TARGET: &str = "/target";
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

/// `paas internal wipe`.
pub fn wipe(_words: &[OsString]) -> Result<u8, Failure> {
    let wiped = File::open(TARGET).and_then(|folder| launch::wipe(folder.as_fd()));
    wiped.map_err(|error| Failure::new(Kind::Host, "wipe.failed", "a folder cannot be emptied").caused_by(&error))?;
    Ok(0)
}
