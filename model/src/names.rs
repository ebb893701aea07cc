//! Names that people type, each with the grammar that keeps it harmless in
//! folder names, host names, SQL and terminals.

use std::fmt;
use std::str::FromStr;

use crate::{Invalid, limits};

macro_rules! word {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The word as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

word! {
    /// The name of an app: Heroku's rule, so that it is also a DNS label.
    AppName
}
word! {
    /// The left side of a Procfile line: `web`, `worker`.
    ProcessType
}
word! {
    /// A host name in lower case without its trailing dot.
    Hostname
}
word! {
    /// A git ref that the door lets through: `refs/heads/…` or `refs/tags/…`.
    RefName
}

/// Names that would shadow a part of the platform or read as an option.
const RESERVED_APP_NAMES: [&str; 7] = ["paas", "www", "admin", "status", "internal", "router", "localhost"];

impl FromStr for AppName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const RULE: &str = "2 to 30 lower-case letters, digits and dashes, starting with a letter and not ending with a dash";
        let bytes = text.as_bytes();
        let ok = (limits::APP_NAME_CHARS_MIN..=limits::APP_NAME_CHARS_MAX).contains(&bytes.len())
            && bytes[0].is_ascii_lowercase()
            && bytes[bytes.len() - 1] != b'-'
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
        if !ok {
            return Err(Invalid::new("app name", text, RULE));
        }
        if RESERVED_APP_NAMES.contains(&text) {
            return Err(Invalid::new("app name", text, "this name belongs to the platform"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for ProcessType {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let ok = (1..=limits::PROCESS_TYPE_CHARS_MAX).contains(&text.len())
            && text.as_bytes()[0].is_ascii_alphanumeric()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new("process type", text, "1 to 32 letters, digits, dashes and underscores, starting with a letter or digit"))
        }
    }
}

impl ProcessType {
    /// The only type that gets `PORT`, routes and an overlap during a switch.
    pub fn web() -> Self {
        Self("web".to_owned())
    }

    /// The type that runs once per deploy, before the new processes start.
    pub fn release() -> Self {
        Self("release".to_owned())
    }

    /// Whether this is `web`.
    pub fn is_web(&self) -> bool {
        self.0 == "web"
    }

    /// Whether a Procfile line of this type is kept running at all: `release`,
    /// `console` and their like are started by a person or a deploy.
    pub fn stays_up(&self) -> bool {
        !matches!(self.0.as_str(), "release" | "console" | "migrate" | "rake")
    }
}

impl FromStr for Hostname {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label_ok = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if lower.len() <= limits::HOSTNAME_CHARS_MAX && !lower.is_empty() && lower.split('.').all(label_ok) {
            Ok(Self(lower))
        } else {
            Err(Invalid::new("host name", text, "labels of letters, digits and dashes, joined by dots"))
        }
    }
}

impl FromStr for RefName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = |rule| Err(Invalid::new("ref name", text, rule));
        if !text.starts_with("refs/heads/") && !text.starts_with("refs/tags/") {
            return bad("only branches and tags can be pushed");
        }
        if text.len() > limits::REF_NAME_CHARS_MAX {
            return bad("at most 200 characters");
        }
        let part_ok = |part: &str| {
            !part.is_empty()
                && !part.starts_with(['-', '.'])
                && !part.ends_with('.')
                && !part.contains("..")
                && !part.to_ascii_lowercase().ends_with(".lock")
        };
        let char_ok = |c: char| c.is_ascii_graphic() && !"~^:?*[\\$`'\"<>|&;(){}!".contains(c);
        if !text.split('/').all(part_ok) || !text.chars().all(char_ok) || text.contains("@{") {
            return bad("plain printable ASCII without shell signs, `..`, `.lock` or a leading dash");
        }
        Ok(Self(text.to_owned()))
    }
}

impl RefName {
    /// The short branch name, if this is a branch.
    pub fn branch(&self) -> Option<&str> {
        self.0.strip_prefix("refs/heads/")
    }
}

/// The number of an app, allocated once and never again: folders, users and
/// database names carry it, so that a renamed or deleted app leaves nothing that
/// its successor could inherit. 0 stands for the platform itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppNumber(pub u32);

impl AppNumber {
    /// The platform's own runs: router, PostgreSQL.
    pub const PLATFORM: Self = Self(0);
}

impl fmt::Display for AppNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_name_is_a_dns_label_that_starts_with_a_letter() {
        for good in ["hello", "a1", "my-app-2", "abcdefghijklmnopqrstuvwxyz-123"] {
            assert_eq!(good.parse::<AppName>().expect(good).as_str(), good);
        }
        for bad in ["", "a", "1a", "-a", "a-", "Hello", "a_b", "a.b", "../x", "a b", "hällo", "paas", "a\n"] {
            assert!(bad.parse::<AppName>().is_err(), "{bad:?} was taken");
        }
        assert!("a".repeat(31).parse::<AppName>().is_err());
    }

    #[test]
    fn a_hostile_name_is_cut_and_stripped_in_its_error() {
        let error = format!("\u{1b}[31m{}", "x".repeat(500)).parse::<AppName>().expect_err("too long");
        assert!(!error.to_string().contains('\u{1b}'));
        assert_eq!(error.given.chars().count(), limits::SHOWN_INVALID_CHARS_MAX);
        assert!(error.given.ends_with("x…"), "{}", error.given);
    }

    #[test]
    fn refs_with_shell_signs_or_dashes_are_refused() {
        for good in ["refs/heads/main", "refs/heads/feature/x-1", "refs/tags/v1.0"] {
            assert!(good.parse::<RefName>().is_ok(), "{good}");
        }
        for bad in [
            "main",
            "refs/heads/-x",
            "refs/heads/$(id)",
            "refs/heads/a..b",
            "refs/notes/x",
            "refs/heads/",
            "refs/heads/x.lock",
            "refs/heads/\u{202e}x",
            "refs/heads/a b",
            "refs/heads//x",
        ] {
            assert!(bad.parse::<RefName>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_host_name_loses_its_case_and_trailing_dot() {
        assert_eq!("Shop.Example.COM.".parse::<Hostname>().expect("valid").as_str(), "shop.example.com");
        for bad in ["", ".", "a..b", "-a.b", "a b", "a/b", &"a".repeat(300)] {
            assert!(bad.parse::<Hostname>().is_err(), "{bad:?} was taken");
        }
    }
}
