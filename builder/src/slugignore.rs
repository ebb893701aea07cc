//! `.slugignore`: what of the source is not needed to build or run. Roughly
//! `.gitignore`, without `!`, applied before the language is detected, as on Heroku.

use std::io;
use std::path::Path;

use crate::limits;

/// The patterns of a `.slugignore`.
#[derive(Debug, Default)]
pub struct SlugIgnore {
    patterns: Vec<Pattern>,
    /// What is not understood, for people.
    pub warnings: Vec<String>,
}

#[derive(Debug)]
struct Pattern {
    /// Parts between slashes.
    parts: Vec<String>,
    folders_only: bool,
}

impl SlugIgnore {
    /// Reads the lines of the file.
    pub fn parse(text: &str) -> Self {
        let mut ignore = Self::default();
        for (number, line) in text.lines().enumerate().take(limits::SLUGIGNORE_LINES_MAX) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with('!') {
                ignore.warnings.push(format!(".slugignore:{}: `!` is not supported, the line is left out", number + 1));
                continue;
            }
            let folders_only = line.ends_with('/');
            let body = line.trim_matches('/');
            let anchored = body.contains('/') || line.starts_with('/');
            let mut parts: Vec<String> = body.split('/').map(str::to_owned).collect();
            if !anchored {
                parts.insert(0, "**".to_owned());
            }
            // Each one multiplies the ways in which a deep path can match.
            if parts.iter().filter(|part| *part == "**").count() > limits::SLUGIGNORE_DOUBLE_STARS_MAX {
                ignore.warnings.push(format!(".slugignore:{}: too many `**`, the line is left out", number + 1));
                continue;
            }
            ignore.patterns.push(Pattern { parts, folders_only });
        }
        ignore
    }

    /// Whether a path (relative to the top) is named.
    pub fn matches(&self, path: &str, is_folder: bool) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        self.patterns.iter().any(|pattern| (is_folder || !pattern.folders_only) && parts_match(&pattern.parts, &names))
    }

    /// Removes what is named below `folder`; returns how many files and folders went.
    pub fn apply(&self, folder: &Path) -> io::Result<u64> {
        if self.patterns.is_empty() { Ok(0) } else { self.clear(folder, "", 0) }
    }

    fn clear(&self, folder: &Path, prefix: &str, depth: usize) -> io::Result<u64> {
        let mut removed = 0;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let is_folder = entry.file_type()?.is_dir();
            match (self.matches(&path, is_folder), is_folder) {
                (true, true) => std::fs::remove_dir_all(entry.path())?,
                (true, false) => std::fs::remove_file(entry.path())?,
                (false, true) if depth < limits::PATH_DEPTH_MAX => {
                    removed += self.clear(&entry.path(), &format!("{path}/"), depth + 1)?;
                    continue;
                }
                (false, _) => continue,
            }
            removed += 1;
        }
        Ok(removed)
    }
}

/// `**` stands for any number of parts.
fn parts_match(pattern: &[String], names: &[&str]) -> bool {
    match (pattern.first(), names.first()) {
        (None, None) => true,
        (Some(part), _) if part == "**" => parts_match(&pattern[1..], names) || (!names.is_empty() && parts_match(pattern, &names[1..])),
        (Some(part), Some(name)) => glob(part.as_bytes(), name.as_bytes()) && parts_match(&pattern[1..], &names[1..]),
        _ => false,
    }
}

/// `*` and `?` within a name, in time that grows with the product of both lengths.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((star_at, star_seen)) = star else { return false };
                star = Some((star_at, star_seen + 1));
                at = star_at + 1;
                seen = star_seen + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_read_as_in_gitignore() {
        let ignore = SlugIgnore::parse("# comment\n\n*.psd\n/docs\ntests/\nassets/**/raw\n!keep.psd\na?c\n");
        assert_eq!(ignore.warnings.len(), 1);
        for named in ["x.psd", "deep/er/x.psd", "docs", "lib/tests", "assets/raw", "assets/a/b/raw", "abc"] {
            assert!(ignore.matches(named, true), "{named}");
        }
        for kept in ["x.psd.txt", "lib/docs", "raw", "abbc"] {
            assert!(!ignore.matches(kept, true), "{kept}");
        }
        assert!(!ignore.matches("tests", false), "a file named tests is kept");
    }

    #[test]
    fn a_nasty_pattern_ends_quickly() {
        let ignore = SlugIgnore::parse(&"*a".repeat(100));
        assert!(!ignore.matches(&"a".repeat(250).replace("aa", "ab"), false));
    }

    #[test]
    fn what_is_named_goes_and_the_rest_stays() {
        let folder = tempfile::tempdir().expect("folder");
        let top = folder.path();
        std::fs::create_dir_all(top.join("docs/deep")).expect("docs");
        std::fs::create_dir_all(top.join("src")).expect("src");
        for file in ["docs/deep/a", "src/a.psd", "src/a.py", "Procfile"] {
            std::fs::write(top.join(file), "x").expect(file);
        }
        std::os::unix::fs::symlink("/etc", top.join("link.psd")).expect("link");
        assert_eq!(SlugIgnore::parse("docs\n*.psd\n").apply(top).expect("applied"), 3);
        assert!(top.join("src/a.py").exists() && !top.join("docs").exists() && !top.join("src/a.psd").exists());
        assert!(Path::new("/etc/passwd").exists());
    }
}
