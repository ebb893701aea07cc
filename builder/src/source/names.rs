//! Which paths a tree or an archive may hold.

use std::path::{Component, Path};

use crate::limits;

/// Why a path is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// An empty name, as in `a//b`.
    #[error("it holds an empty name")]
    Empty,
    /// It begins with a slash.
    #[error("it is absolute")]
    Absolute,
    /// `.` or `..`.
    #[error("it holds `.` or `..`")]
    Dots,
    /// `.git` or a spelling that some file system takes for it.
    #[error("it holds `.git` or a spelling of it")]
    Git,
    /// A control character or NUL.
    #[error("it holds a control character")]
    Control,
    /// Over one of the limits.
    #[error("it is too long or too deep")]
    TooLong,
}

/// Checks one name of a folder.
pub(crate) fn check_name(name: &[u8]) -> Result<(), BadPath> {
    if name.is_empty() {
        return Err(BadPath::Empty);
    }
    if name == b"." || name == b".." {
        return Err(BadPath::Dots);
    }
    if name.contains(&b'/') {
        return Err(BadPath::Absolute);
    }
    if name.iter().any(u8::is_ascii_control) {
        return Err(BadPath::Control);
    }
    if name.len() > limits::NAME_BYTES_MAX {
        return Err(BadPath::TooLong);
    }
    if is_git_folder(name) { Err(BadPath::Git) } else { Ok(()) }
}

/// Checks a whole relative path.
pub(crate) fn check_path(path: &[u8]) -> Result<(), BadPath> {
    if path.first() == Some(&b'/') {
        return Err(BadPath::Absolute);
    }
    if path.len() > limits::PATH_BYTES_MAX || path.split(|b| *b == b'/').count() > limits::PATH_DEPTH_MAX {
        return Err(BadPath::TooLong);
    }
    path.split(|b| *b == b'/').try_for_each(check_name)
}

/// `.git` as HFS+ (case, ignorable characters) and NTFS (case, trailing dots and
/// spaces, streams, short names) read it. A tree that holds one was made to attack.
fn is_git_folder(name: &[u8]) -> bool {
    let visible: String = String::from_utf8_lossy(name)
        .chars()
        .filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'))
        .collect::<String>()
        .to_lowercase();
    let stem = visible.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    stem == ".git" || stem == "git~1"
}

/// Whether a link at `path` (relative to the top) stays below the top.
pub(crate) fn link_stays_inside(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_dot_git_are_refused_and_neighbours_are_not() {
        for bad in [".git", ".GIT", ".Git", ".git ", ".git.", ".git. .", ".git::$INDEX_ALLOCATION", "GIT~1", ".g\u{200c}it", "\u{feff}.git"]
        {
            assert_eq!(check_name(bad.as_bytes()), Err(BadPath::Git), "{bad:?}");
        }
        for good in [".gitignore", ".github", "git", ".gitmodules", "x.git", "git~2", "ü", "a b", "..."] {
            assert_eq!(check_name(good.as_bytes()), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn paths_that_leave_or_hide_are_refused() {
        let cases: [(&[u8], BadPath); 7] = [
            (b"/etc/passwd", BadPath::Absolute),
            (b"a/../b", BadPath::Dots),
            (b"./a", BadPath::Dots),
            (b"a//b", BadPath::Empty),
            (b"", BadPath::Empty),
            (b"a/b\n", BadPath::Control),
            (b"a/b\0", BadPath::Control),
        ];
        for (path, reason) in cases {
            assert_eq!(check_path(path), Err(reason));
        }
        assert_eq!(check_path("a/".repeat(100).as_bytes()), Err(BadPath::TooLong));
        assert_eq!(check_path(&[b'a'; 4000]), Err(BadPath::TooLong));
    }

    #[test]
    fn links_are_judged_from_where_they_stand() {
        for (path, target, stays) in [
            ("a/b/link", "../../c", true),
            ("a/link", "../../c", false),
            ("link", "a/../../b", false),
            ("link", "/etc", false),
            ("link", ".", true),
        ] {
            assert_eq!(link_stays_inside(Path::new(path), Path::new(target)), stays, "{path} -> {target}");
        }
    }

    proptest! {
        #[test]
        fn a_checked_path_stays_below_its_top(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if check_path(&bytes).is_ok() {
                use std::os::unix::ffi::OsStrExt;
                let path = Path::new(std::ffi::OsStr::from_bytes(&bytes));
                prop_assert!(path.components().all(|c| matches!(c, Component::Normal(_))));
            }
        }
    }
}
