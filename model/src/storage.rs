//! What of `/app` lasts, and what a run left there that does not.

use std::fmt;
use std::str::FromStr;

use crate::text::{bytes, is_unsafe};
use crate::{AppName, Invalid, limits};

/// A path below `/app` that lasts: `app.db`, or `uploads/` for what is a folder in any case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeptPath {
    path: String,
    is_folder: bool,
}

impl KeptPath {
    /// The path without a slash at its end.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it was said to be a folder.
    pub fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// Whether one of the two lies in the other, or they are the same.
    pub fn meets(&self, other: &Self) -> bool {
        self.holds(&other.path) || other.holds(&self.path)
    }

    /// Whether a path is this one or lies in it.
    pub fn holds(&self, path: &str) -> bool {
        path.strip_prefix(&self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for KeptPath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const RULE: &str = "a path relative to /app, such as app.db or public/uploads/: no `..`, no control characters, at most 200 bytes";
        let (path, is_folder) = text.strip_suffix('/').map_or((text, false), |path| (path, true));
        let part_ok = |part: &str| !matches!(part, "" | "." | "..") && !part.starts_with('-');
        if path.len() <= limits::KEPT_PATH_BYTES_MAX && path.split('/').all(part_ok) && !path.chars().any(is_unsafe) {
            Ok(Self { path: path.to_owned(), is_folder })
        } else {
            Err(Invalid::new("path to keep", text, RULE))
        }
    }
}

impl fmt::Display for KeptPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if self.is_folder { f.write_str("/") } else { Ok(()) }
    }
}

/// Something that a run left in `/app` and that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// Where, below `/app`; whatever the app called it.
    pub path: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// What it holds, in bytes.
    pub bytes: u64,
    /// Files in it.
    pub files: u64,
    /// It lies at a path that is kept, where the run had something of its own.
    pub is_kept: bool,
}

/// What a run left in `/app`: the biggest first, and how much more there was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leavings {
    list: Vec<Leaving>,
    more: u64,
}

/// Files of SQLite that stand and fall with the database beside them.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

impl Leavings {
    /// What is told of what was found, besides `more` that was not even listed.
    pub fn of(found: Vec<Leaving>, more: u64, kept: &[KeptPath]) -> Self {
        let mut list: Vec<Leaving> = Vec::new();
        let (companions, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|left| database_of(left).is_some());
        list.extend(found);
        for companion in companions {
            let path = database_of(&companion).unwrap_or_default().to_owned();
            match list.iter_mut().find(|left| left.path == path) {
                Some(database) => {
                    database.bytes = database.bytes.saturating_add(companion.bytes);
                    database.files += companion.files;
                }
                None => list.push(Leaving { path, ..companion }),
            }
        }
        for left in &mut list {
            left.is_kept = kept.iter().any(|path| path.holds(&left.path));
        }
        list.sort_by(|one, other| (other.bytes, &one.path).cmp(&(one.bytes, &other.path)));
        let told = list.len().min(limits::LEAVINGS_TOLD_MAX);
        let more = more + (list.len() - told) as u64;
        list.truncate(told);
        Self { list, more }
    }

    /// Nothing was left.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Where something was left.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|left| left.path.as_str())
    }

    /// `app.db (12.3 KB), uploads/ (3 files, 1.2 MB) and 2 more`.
    pub fn told(&self) -> String {
        let words = |left: &Leaving| {
            let slash = if left.is_folder { "/" } else { "" };
            let files = match (left.is_folder, left.files) {
                (false, _) => String::new(),
                (true, 1) => "1 file, ".to_owned(),
                (true, count) => format!("{count} files, "),
            };
            let kept = if left.is_kept { ", not what is kept: the run had a copy of its own" } else { "" };
            format!("{}{slash} ({files}{}{kept})", escaped(&left.path), bytes(left.bytes))
        };
        let list: Vec<String> = self.list.iter().map(words).collect();
        let more = if self.more > 0 { format!(" and {} more", self.more) } else { String::new() };
        format!("{}{more}", list.join(", "))
    }

    /// The command that keeps what is named, but for what no command line should hold.
    pub fn command(&self, app: &AppName) -> Option<String> {
        let words = self.list.iter().filter(|left| !left.is_kept && !left.path.contains(char::REPLACEMENT_CHARACTER)).filter_map(|left| {
            let slash = if left.is_folder { "/" } else { "" };
            let path: KeptPath = format!("{}{slash}", left.path).parse().ok()?;
            Some(quoted(&path.to_string()))
        });
        let words: Vec<String> = words.collect();
        (!words.is_empty()).then(|| format!("paas storage:keep {} -a {app}", words.join(" ")))
    }
}

fn database_of(left: &Leaving) -> Option<&str> {
    COMPANIONS.iter().find_map(|end| left.path.strip_suffix(end)).filter(|path| !left.is_folder && !path.is_empty())
}

/// What could drive a terminal is written as what it is.
fn escaped(path: &str) -> String {
    let escape = |char: char| if is_unsafe(char) { char.escape_unicode().to_string() } else { char.to_string() };
    path.chars().take(limits::LEAVING_CHARS_MAX).map(escape).collect()
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "._/-".contains(char);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(path: &str, is_folder: bool, bytes: u64) -> Leaving {
        Leaving { path: path.to_owned(), is_folder, bytes, files: 1, is_kept: false }
    }

    #[test]
    fn leavings_are_told_the_biggest_first_with_the_command_that_keeps_them() {
        let found =
            vec![left("app.db-wal", false, 2_000), left("a b'c", false, 5), left("app.db", false, 300), left("uploads", true, 1_000)];
        let leavings = Leavings::of(found, 0, &[]);
        assert_eq!(leavings.told(), "app.db (2.3 KB), uploads/ (1 file, 1.0 KB), a b'c (5 B)");
        let command = leavings.command(&"hello".parse().expect("app"));
        assert_eq!(command.as_deref(), Some("paas storage:keep app.db uploads/ 'a b'\\''c' -a hello"));
    }

    #[test]
    fn odd_names_are_shown_escaped_and_no_command_holds_them() {
        let found = vec![left("a\u{1b}[2J\nb", false, 9), left("\u{fffd}", false, 8), left("..x/../y", false, 7)];
        let leavings = Leavings::of(found, 0, &[]);
        assert_eq!(leavings.told(), "a\\u{1b}[2J\\u{a}b (9 B), \u{fffd} (8 B), ..x/../y (7 B)");
        assert_eq!(leavings.command(&"hello".parse().expect("app")), None);
    }

    #[test]
    fn however_much_is_left_little_is_told_and_what_is_kept_is_not_kept_again() {
        let found = (0..50).map(|number| left(&format!("f{number:02}"), false, 1)).collect();
        let leavings = Leavings::of(found, 3, &[kept("f00")]);
        assert_eq!(leavings.paths().count(), limits::LEAVINGS_TOLD_MAX);
        assert!(
            leavings.told().starts_with("f00 (1 B, not what is kept") && leavings.told().ends_with(" and 45 more"),
            "{}",
            leavings.told()
        );
        assert!(leavings.command(&"hello".parse().expect("app")).is_some_and(|command| !command.contains("f00")));
    }

    fn kept(text: &str) -> KeptPath {
        text.parse().expect(text)
    }

    #[test]
    fn only_paths_that_stay_in_the_app_are_kept() {
        for good in ["app.db", "uploads/", "public/uploads", "a b", "größe.db"] {
            assert_eq!(kept(good).to_string(), good);
        }
        let long = "a".repeat(201);
        for bad in ["", "/", "/app/x", "..", "a/../b", "./a", "a//b", "-x", "a/-x", "a\nb", "a\u{202e}b", "a\0b", &long] {
            assert!(bad.parse::<KeptPath>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_path_holds_what_lies_in_it() {
        assert!(kept("uploads/").holds("uploads/a") && kept("uploads").holds("uploads"));
        assert!(!kept("uploads").holds("uploads2") && !kept("a/b").holds("a"));
        assert!(kept("a/b").meets(&kept("a/")) && !kept("a").meets(&kept("ab")));
    }
}
