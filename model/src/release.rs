//! Releases: immutable, numbered, each with the reason that made it.

use std::fmt;
use std::str::FromStr;

use crate::{AppName, Formation, Invalid, SlugId};

/// `v7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseVersion(pub u32);

impl fmt::Display for ReleaseVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("v{}", self.0))
    }
}

impl FromStr for ReleaseVersion {
    type Err = Invalid;

    /// Takes `v7` and `7`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = text.strip_prefix('v').unwrap_or(text);
        match digits.parse::<u32>() {
            Ok(number) if number > 0 && digits.len() <= 9 && !digits.starts_with('+') => Ok(Self(number)),
            _ => Err(Invalid::new("release", text, "a number from v1 on, such as v7")),
        }
    }
}

/// The number of a set of config vars; a release names the one it runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigVersion(pub u32);

/// Why a release exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A push or `deploy`: the commit, 40 hexadecimal digits.
    Deploy {
        /// The commit.
        commit: String,
    },
    /// Config vars changed; the names only.
    Config {
        /// The keys that were set or unset.
        keys: Vec<String>,
        /// Set (true) or unset (false).
        set: bool,
    },
    /// `rollback` to an older release.
    Rollback {
        /// The release whose slug and config it takes.
        to: ReleaseVersion,
    },
    /// `builds:rebuild` of the same commit.
    Rebuild {
        /// The commit.
        commit: String,
    },
}

impl fmt::Display for Cause {
    /// Heroku's words: `Deploy 1a2b3c4`, `Set K config vars`, `Rollback to v3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deploy { commit } => write!(f, "Deploy {}", short(commit)),
            Self::Rebuild { commit } => write!(f, "Rebuild {}", short(commit)),
            Self::Config { keys, set } => {
                let verb = if *set { "Set" } else { "Unset" };
                write!(f, "{verb} {} config var{}", keys.join(", "), if keys.len() == 1 { "" } else { "s" })
            }
            Self::Rollback { to } => write!(f, "Rollback to {to}"),
        }
    }
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// One release of an app. Never updated; what became of it is an outcome of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The app.
    pub app: AppName,
    /// Its number.
    pub version: ReleaseVersion,
    /// What it runs.
    pub slug: SlugId,
    /// The config vars it runs with.
    pub config_version: ConfigVersion,
    /// How many of each when it was made; `ps:scale` later does not touch it.
    pub formation: Formation,
    /// Why it exists.
    pub cause: Cause,
    /// The release that served when it was made.
    pub parent: Option<ReleaseVersion>,
    /// Who made it, for people.
    pub actor: String,
    /// When, in milliseconds since 1970 UTC.
    pub created_unix_ms: i64,
}
