//! What the guardian hands to launch and the server: words of their command lines.

use std::ffi::OsString;
use std::path::PathBuf;

use api::{Failure, Kind};
use launch::{Config, Users};

const ROOT_MODE: &str = "root";
const ROOTLESS_MODE: &str = "rootless";
/// Stands for a home that is not known.
const NO_HOME: &str = "-";

/// What all three know from their start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// Where everything is and who may be whom.
    pub config: Config,
    /// The server's own words.
    pub rest: Vec<OsString>,
}

impl Handed {
    /// The words of a command line.
    pub(super) fn to_words(&self) -> Vec<OsString> {
        let Config { root, users, is_root, paas, shim, home } = self.config.clone();
        let mut words: Vec<OsString> = vec![
            root.into(),
            users.base.to_string().into(),
            if is_root { ROOT_MODE } else { ROOTLESS_MODE }.into(),
            paas.into(),
            shim.into(),
            home.map_or_else(|| NO_HOME.into(), Into::into),
        ];
        words.extend(self.rest.iter().cloned());
        words
    }

    /// Reads the words of a command line.
    pub fn from_words(words: &[OsString]) -> Result<Self, Failure> {
        let wrong = || {
            Failure::new(Kind::Usage, "guardian.words", "this command is started by paas itself")
                .why("it needs what the guardian hands to it")
                .fix("run: paas server")
        };
        let [root, base, mode, paas, shim, home, rest @ ..] = words else { return Err(wrong()) };
        let text = |word: &OsString| word.to_str().map(ToOwned::to_owned).ok_or_else(wrong);
        let config = Config {
            root: root.into(),
            users: Users { base: text(base)?.parse().map_err(|_| wrong())? },
            is_root: match text(mode)?.as_str() {
                ROOT_MODE => true,
                ROOTLESS_MODE => false,
                _ => return Err(wrong()),
            },
            paas: text(paas)?,
            shim: text(shim)?,
            home: Some(home).filter(|home| *home != NO_HOME).map(PathBuf::from),
        };
        Ok(Self { config, rest: rest.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        let config = Config {
            root: "/srv/paas".into(),
            users: Users { base: 700_000 },
            is_root: true,
            paas: "paas-1".to_owned(),
            shim: "shim-2".to_owned(),
            home: None,
        };
        let handed = Handed { config, rest: vec!["--http".into(), "127.0.0.1:80".into()] };
        assert_eq!(Handed::from_words(&handed.to_words()).expect("words"), handed);
        assert!(Handed::from_words(&["x".into()]).is_err());
    }
}
