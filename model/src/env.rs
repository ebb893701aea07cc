//! Config vars: names, values and what exec can carry.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::{Invalid, Secret, limits};

/// The name of a config var.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvKey(String);

impl EnvKey {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Names that paas sets itself and that a config var would break. `DATABASE_URL`
    /// is not among them: a value that the user sets wins.
    pub fn is_reserved(&self) -> bool {
        matches!(self.0.as_str(), "PORT" | "DYNO" | "HOME" | "PWD" | "RELEASE_VERSION" | "SOURCE_VERSION" | "APP" | "DATA_DIR")
            || self.0.starts_with("PAAS_")
    }
}

impl FromStr for EnvKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bytes = text.as_bytes();
        let ok = (1..=limits::ENV_KEY_CHARS_MAX).contains(&bytes.len())
            && !bytes[0].is_ascii_digit()
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
        if ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new("config var name", text, "letters, digits and underscores, not starting with a digit"))
        }
    }
}

impl fmt::Display for EnvKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The config vars of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigVars(BTreeMap<EnvKey, Secret>);

impl ConfigVars {
    /// Sets one value after checking what exec can carry.
    pub fn set(&mut self, key: EnvKey, value: Secret) -> Result<(), Invalid> {
        if key.is_reserved() {
            return Err(Invalid::new("config var name", key.as_str(), "paas sets this one itself at each start"));
        }
        if value.reveal().contains('\0') {
            return Err(Invalid::new("config value of", key.as_str(), "a value cannot hold a NUL byte"));
        }
        if value.reveal().len() > limits::ENV_VALUE_BYTES_MAX {
            return Err(Invalid::new("config value of", key.as_str(), "at most 96 KiB, since Linux passes no more to a process"));
        }
        let replaced = self.0.get(&key).map_or(0, |old| key.as_str().len() + old.reveal().len() + 2);
        let bytes = self.bytes() - replaced + key.as_str().len() + value.reveal().len() + 2;
        let count = self.0.len() + usize::from(!self.0.contains_key(&key));
        if count > limits::CONFIG_VARS_MAX || bytes > limits::CONFIG_BYTES_MAX {
            return Err(Invalid::new("config value of", key.as_str(), "an app has at most 1,000 config vars and 1 MiB in all"));
        }
        self.0.insert(key, value);
        Ok(())
    }

    /// Removes one; true if it was there.
    pub fn unset(&mut self, key: &EnvKey) -> bool {
        self.0.remove(key).is_some()
    }

    /// One value.
    pub fn get(&self, key: &EnvKey) -> Option<&Secret> {
        self.0.get(key)
    }

    /// All of them in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&EnvKey, &Secret)> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(k, v)| k.as_str().len() + v.reveal().len() + 2).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_unchanged() {
        let mut vars = ConfigVars::default();
        for value in ["", " spaces ", "$HOME", "it's \"quoted\"", "two\nlines", "ünï"] {
            vars.set("K".parse().expect("key"), Secret::new(value)).expect("set");
            assert_eq!(vars.get(&"K".parse().expect("key")).map(Secret::reveal), Some(value));
        }
    }

    #[test]
    fn names_of_the_platform_and_values_that_exec_refuses_are_refused() {
        let mut vars = ConfigVars::default();
        assert!(vars.set("PORT".parse().expect("key"), Secret::new("1")).is_err());
        assert!(vars.set("K".parse().expect("key"), Secret::new("a\0b")).is_err());
        assert!(vars.set("K".parse().expect("key"), Secret::new("x".repeat(200_000))).is_err());
        assert!(vars.is_empty());
        for bad in ["", "1A", "A-B", "A=B", "A B", "É"] {
            assert!(bad.parse::<EnvKey>().is_err(), "{bad:?} was taken");
        }
    }
}
