//! Where symbolic links may lead.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::limits;
use crate::source::names::link_stays_inside;

/// Where symbolic links of a tree may lead. Extraction never follows one; the rule
/// keeps readers outside the sandbox from being led astray.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRule {
    absolute: Vec<PathBuf>,
}

impl LinkRule {
    /// Only below the top of the tree.
    pub fn inside() -> Self {
        Self { absolute: Vec::new() }
    }

    /// Below the top, which is `/app` when the slug runs, and into toolchains: a
    /// virtual environment names its interpreter by an absolute link.
    pub fn slug(host_paths: &[String]) -> Self {
        let fixed = ["/app", "/usr"].map(PathBuf::from);
        Self { absolute: fixed.into_iter().chain(host_paths.iter().map(PathBuf::from)).collect() }
    }

    /// Whether a link at `path` (relative to the top) may lead to `target`.
    pub fn allows(&self, path: &[u8], target: &[u8]) -> bool {
        if target.is_empty() || target.len() > limits::LINK_BYTES_MAX || target.contains(&0) {
            return false;
        }
        let (path, target) = (Path::new(OsStr::from_bytes(path)), Path::new(OsStr::from_bytes(target)));
        if target.is_relative() {
            return link_stays_inside(path, target);
        }
        !target.components().any(|c| c == Component::ParentDir) && self.absolute.iter().any(|top| target.starts_with(top))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_may_name_its_interpreter_and_nothing_else_of_the_host() {
        let rule = LinkRule::slug(&["/root/.pyenv/versions/3.12.1".to_owned()]);
        let allows = |target: &str| rule.allows(b".venv/bin/python", target.as_bytes());
        for good in ["python3", "../../x", "/usr/bin/python3.11", "/app/data", "/root/.pyenv/versions/3.12.1/bin/python3.12"] {
            assert!(allows(good), "{good}");
        }
        for bad in ["../../../x", "/etc/passwd", "/usr/../etc/passwd", "/usrx", "/root/.pyenv/versions/3.12.10/x", ""] {
            assert!(!allows(bad), "{bad}");
        }
        assert!(!LinkRule::inside().allows(b"a", b"/usr/bin/env"));
    }
}
