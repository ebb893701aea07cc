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
    /// The same beside its slug and `DATA_DIR`, so that what it holds can be told and saved
    /// before: `layers/web.1-v7-42/SHA256`.
    LayerOver {
        /// The run.
        run: String,
        /// Its slug.
        slug: String,
    },
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
    /// What is left of an app once all of the above was wiped: removed, never wiped.
    App,
}

/// Who owns a folder that is wiped, as opposed to what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderOwner {
    /// Whoever owns what is in it.
    User,
    /// The platform.
    Platform,
}

impl WipeSubject {
    /// Reads `layers/RUN`, `layers/RUN/SHA256`, `releases/SHA256`, `builds/BUILD`, `cache`, `repository`, `data`
    /// or `app`.
    pub fn parse(text: &str) -> Result<Self, LaunchError> {
        let refused = || LaunchError::refused(format!("no folder {text:?} can be wiped"));
        match text {
            "cache" => return Ok(Self::Cache),
            "repository" => return Ok(Self::Repository),
            "data" => return Ok(Self::Data),
            "app" => return Ok(Self::App),
            _ => {}
        }
        match text.split_once('/') {
            Some(("layers", name)) if is_name(name) => Ok(Self::Layer(name.to_owned())),
            Some(("layers", name)) => match name.split_once('/') {
                Some((run, slug)) if is_name(run) && is_sha256(slug) => Ok(Self::LayerOver { run: run.to_owned(), slug: slug.to_owned() }),
                _ => Err(refused()),
            },
            Some(("releases", name)) if is_sha256(name) => Ok(Self::Release(name.to_owned())),
            Some(("builds", name)) if is_name(name) => Ok(Self::Build(name.to_owned())),
            _ => Err(refused()),
        }
    }

    /// Who owns what is in it.
    pub fn owner(&self, users: Users, app: u32) -> u32 {
        match self {
            Self::Layer(_) | Self::LayerOver { .. } | Self::Release(_) | Self::Data | Self::App => users.run(app),
            Self::Build(_) | Self::Cache => users.build(app),
            Self::Repository => users.git(app),
        }
    }

    /// The folder beneath the root folder; `None` for what is never wiped.
    pub fn folder(&self, app: u32) -> Option<(String, FolderOwner)> {
        Some(match self {
            Self::Layer(name) | Self::LayerOver { run: name, .. } => (format!("layers/{app}/{name}"), FolderOwner::Platform),
            Self::Release(name) => (format!("releases/{app}/{name}"), FolderOwner::User),
            Self::Build(name) => (format!("builds/{app}/{name}"), FolderOwner::User),
            Self::Cache => (format!("cache/{app}"), FolderOwner::User),
            Self::Repository => (format!("repositories/{app}"), FolderOwner::User),
            Self::Data => (format!("data/{app}"), FolderOwner::User),
            Self::App => return None,
        })
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
        for bad in ["", "store", "layers/..", "layers/../x", "layers/web.1/x", "layers/web.1/", "releases/x", "/etc", "builds/", "postgres"]
        {
            assert!(WipeSubject::parse(bad).is_err(), "{bad:?} was taken");
        }
        assert_eq!(WipeSubject::parse("layers/web.1-v7-42").expect("layer"), WipeSubject::Layer("web.1-v7-42".into()));
        let slug = "a0".repeat(32);
        let over = WipeSubject::parse(&format!("layers/web.1-v7-42/{slug}")).expect("layer over a slug");
        assert_eq!(over, WipeSubject::LayerOver { run: "web.1-v7-42".into(), slug });
    }

    #[test]
    fn any_text_gives_a_host_name() {
        assert_eq!(to_hostname("web.1-v7-42"), "web-1-v7-42");
        assert_eq!(to_hostname("-_-"), "app");
        assert_eq!(to_hostname(&"x".repeat(500)).len(), HOSTNAME_CHARS_MAX);
    }
}
