//! Words that stories share.

use model::{AppName, ReleaseVersion};

pub(crate) const COMMIT_A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
pub(crate) const COMMIT_B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
pub(crate) const COMMIT_C: &str = "cccccccccccccccccccccccccccccccccccccccc";

pub(crate) fn app(name: &str) -> AppName {
    name.parse().expect("an app name")
}

pub(crate) fn version(number: u32) -> ReleaseVersion {
    ReleaseVersion(number)
}
