//! Strict grammars for every word that becomes a part of a path.

use crate::limits::{HOSTNAME_CHARS_MAX, NAME_CHARS_MAX};
use crate::{LaunchError, Users};

/// `web.1-v7-42`: letters, digits, `.`, `_` and `-`, beginning with a letter or digit.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        && !text.contains("..")
}

/// 64 lower-case hexadecimal digits.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

/// A host name for the inside, from any text: what does not belong becomes a dash.
pub fn to_hostname(text: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = text.chars().take(HOSTNAME_CHARS_MAX).map(fit).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "app".to_owned() } else { name.to_owned() }
}

/// A folder of an app that can be emptied as its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WipeSubject {
    /// The writable layer of one run: `layers/web.1-v7-42`.
    Layer(String),
    /// An unpacked slug: `releases/SHA256`.
    Release(String),
    /// A build's tree: `builds/3`.
    Build(String),
    /// The build cache.
    Cache,
    /// The repository.
    Repository,
    /// `DATA_DIR`.
    Data,
    /// Everything of the run user: layers, releases, data.
    AllOfRun,
    /// Everything of the build user: builds, cache.
    AllOfBuild,
}

impl WipeSubject {
    /// Reads `layers/RUN`, `releases/SHA256`, `builds/BUILD`, `cache`, `repository`, `data`,
    /// `app-run`, `app-build`.
    pub fn parse(text: &str) -> Result<Self, LaunchError> {
        let refused = || LaunchError::refused(format!("no folder {text:?} can be wiped"));
        match text {
            "cache" => return Ok(Self::Cache),
            "repository" => return Ok(Self::Repository),
            "data" => return Ok(Self::Data),
            "app-run" => return Ok(Self::AllOfRun),
            "app-build" => return Ok(Self::AllOfBuild),
            _ => {}
        }
        match text.split_once('/') {
            Some(("layers", name)) if is_name(name) => Ok(Self::Layer(name.to_owned())),
            Some(("releases", name)) if is_sha256(name) => Ok(Self::Release(name.to_owned())),
            Some(("builds", name)) if is_name(name) => Ok(Self::Build(name.to_owned())),
            _ => Err(refused()),
        }
    }

    /// Who owns what is in it.
    pub fn owner(&self, users: Users, app: u32) -> u32 {
        match self {
            Self::Layer(_) | Self::Release(_) | Self::Data | Self::AllOfRun => users.run(app),
            Self::Build(_) | Self::Cache | Self::AllOfBuild => users.build(app),
            Self::Repository => users.git(app),
        }
    }

    /// The folders beneath the root folder, each with whether the wiping user owns the
    /// folder itself.
    pub fn folders(&self, app: u32) -> Vec<(String, bool)> {
        match self {
            Self::Layer(name) => vec![(format!("layers/{app}/{name}"), false)],
            Self::Release(name) => vec![(format!("releases/{app}/{name}"), true)],
            Self::Build(name) => vec![(format!("builds/{app}/{name}"), true)],
            Self::Cache => vec![(format!("cache/{app}"), true)],
            Self::Repository => vec![(format!("repositories/{app}"), true)],
            Self::Data => vec![(format!("data/{app}"), true)],
            Self::AllOfRun => {
                vec![(format!("layers/{app}"), false), (format!("releases/{app}"), false), (format!("data/{app}"), true)]
            }
            Self::AllOfBuild => vec![(format!("builds/{app}"), false), (format!("cache/{app}"), true)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_folder_are_refused() {
        for good in ["web.1-v7-42", "my_bot.12-v1-3", "3"] {
            assert!(is_name(good), "{good}");
        }
        let long = "a".repeat(129);
        for bad in ["", ".", "..", "a/b", "a..b", "-x", ".x", "a b", "a\0", "ä", &long] {
            assert!(!is_name(bad), "{bad:?} was taken");
        }
        assert!(is_sha256(&"a0".repeat(32)));
        assert!(!is_sha256(&"A0".repeat(32)));
        for bad in ["", "store", "layers/..", "layers/../x", "releases/x", "/etc", "builds/", "postgres"] {
            assert!(WipeSubject::parse(bad).is_err(), "{bad:?} was taken");
        }
        assert_eq!(WipeSubject::parse("layers/web.1-v7-42").expect("layer"), WipeSubject::Layer("web.1-v7-42".into()));
    }

    #[test]
    fn any_text_gives_a_host_name() {
        assert_eq!(to_hostname("web.1-v7-42"), "web-1-v7-42");
        assert_eq!(to_hostname("-_-"), "app");
        assert_eq!(to_hostname(&"x".repeat(500)).len(), HOSTNAME_CHARS_MAX);
    }
}
