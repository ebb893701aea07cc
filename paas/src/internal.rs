//! The parts of paas that paas starts itself.

use std::ffi::OsString;
use std::path::PathBuf;

use api::{Failure, Kind};

/// What `paas server` was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// The root folder, absolute.
    pub root: PathBuf,
    /// `--http ADDR`.
    pub http: Option<String>,
}

fn not_wired(part: &str) -> Failure {
    Failure::new(Kind::Internal, "internal.not_wired", format!("{part} is not wired yet"))
}

/// `paas server`.
pub fn serve(options: &ServerOptions) -> Result<u8, Failure> {
    Err(not_wired("the server").why(format!("{options:?}")))
}

/// `paas internal launch`.
pub fn launch(_words: &[OsString]) -> Result<u8, Failure> {
    Err(not_wired("launch"))
}

/// `paas internal server`.
pub fn server(_words: &[OsString]) -> Result<u8, Failure> {
    Err(not_wired("the server"))
}

/// `paas internal router`.
pub fn router(_words: &[OsString]) -> Result<u8, Failure> {
    Err(not_wired("the router"))
}

/// `paas internal build`.
pub fn build(_words: &[OsString]) -> Result<u8, Failure> {
    Err(not_wired("the build"))
}

/// `paas internal unpack`.
pub fn unpack(_words: &[OsString]) -> Result<u8, Failure> {
    Err(not_wired("unpack"))
}

/// `paas internal wipe`.
pub fn wipe(_words: &[OsString]) -> Result<u8, Failure> {
    Err(not_wired("wipe"))
}
