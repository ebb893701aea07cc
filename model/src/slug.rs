//! A slug: what a build makes, named by its bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::author::AppJson;
use crate::{EnvKey, Invalid, ProcessType};

/// The SHA-256 of a slug's gzip tarball, computed by whoever received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlugId(pub [u8; 32]);

impl fmt::Display for SlugId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for SlugId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("slug id", text, "64 lower-case hexadecimal digits");
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(bad());
        }
        let mut id = [0; 32];
        for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(id))
    }
}

/// What a slug says of itself. Written by the build, so by the app's author: read
/// it as untrusted input (its wire form and limits are in `builder`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlugManifest {
    /// Process types and their commands.
    pub commands: BTreeMap<ProcessType, String>,
    /// What the author says in `app.json`.
    pub app_json: AppJson,
    /// Environment defaults of the buildpack, below config vars.
    pub env: BTreeMap<EnvKey, String>,
    /// Folders put before `PATH`, absolute inside the sandbox (`/app/…`).
    pub path: Vec<String>,
    /// The buildpack that made it: `python`.
    pub buildpack: String,
    /// Interpreter and version, for people: `Python 3.11.7`.
    pub interpreter: Option<String>,
    /// Folders of the host that it needs mounted (a toolchain outside `/usr`).
    pub host_paths: Vec<String>,
    /// Shared libraries that its binaries name.
    pub shared_libraries: Vec<String>,
    /// The commit that it was built from, as 40 hexadecimal digits.
    pub source_version: String,
    /// Entries in the tarball; extraction refuses more.
    pub entries: u64,
    /// Unpacked size in bytes; extraction refuses more.
    pub unpacked_bytes: u64,
}
