//! The settings of a root folder, `ROOT/paas.toml`.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use model::Hostname;
use serde::Deserialize;

/// Largest `paas.toml` that is read.
const SETTINGS_BYTES_MAX: u64 = 64 * 1024;

/// What can be set for a box. Ranges are settings so that several roots can live side
/// by side, as tests do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// First numeric user id that paas hands out (root mode).
    pub uid_base: u32,
    /// Ports that web instances are given, on 127.0.0.1.
    pub lease_ports: RangeInclusive<u16>,
    /// Lasting ports of apps, beside the HTTP port.
    pub app_ports: RangeInclusive<u16>,
    /// The PostgreSQL cluster's port on 127.0.0.1.
    pub postgres_port: u16,
    /// Apps answer as `APP.<domain>`.
    pub domain: Hostname,
    /// The login user of `ssh paas@box`.
    pub login_user: String,
    /// The name or address of this box for people; none takes the HTTP address.
    pub public_address: Option<String>,
    /// Memory that a switch of releases leaves free, in bytes.
    pub memory_reserve_bytes: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    uid_base: Option<u32>,
    lease_ports: Option<String>,
    app_ports: Option<String>,
    postgres_port: Option<u16>,
    domain: Option<String>,
    login_user: Option<String>,
    public_address: Option<String>,
    memory_reserve_mib: Option<u64>,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not the TOML that is expected; the text names line and column.
    #[error("{path} is not understood: {detail}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its place.
        detail: String,
    },
    /// A value makes no sense.
    #[error("{path}: `{key}` {rule}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: &'static str,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

impl Settings {
    /// Reads `ROOT/paas.toml`; a missing file means defaults.
    pub fn read(root: &Path) -> Result<Self, SettingsError> {
        let path = root.join("paas.toml");
        let text = match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Ok(metadata) if metadata.len() > SETTINGS_BYTES_MAX => {
                return Err(SettingsError::Value { path, key: "paas.toml", rule: "is larger than 64 KiB" });
            }
            _ => std::fs::read_to_string(&path).map_err(|source| SettingsError::Read { path: path.clone(), source })?,
        };
        Self::parse(&text, &path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let written: Written =
            toml::from_str(text).map_err(|error| SettingsError::Parse { path: path.to_owned(), detail: error.to_string() })?;
        let bad = |key, rule| SettingsError::Value { path: path.to_owned(), key, rule };
        let range = |text: Option<String>, default: RangeInclusive<u16>, key| match text {
            None => Ok(default),
            Some(text) => port_range(&text).ok_or_else(|| bad(key, "should be FIRST-LAST, ports from 1024 to 65535")),
        };
        let domain = written.domain.as_deref().unwrap_or("localhost");
        let uid_base = written.uid_base.unwrap_or(700_000);
        if uid_base < 10_000 {
            return Err(bad("uid_base", "must be at least 10000, so that it meets no user of the system"));
        }
        Ok(Self {
            uid_base,
            lease_ports: range(written.lease_ports, 20_000..=29_999, "lease_ports")?,
            app_ports: range(written.app_ports, 8_101..=8_999, "app_ports")?,
            postgres_port: written.postgres_port.unwrap_or(25_432),
            domain: domain.parse().map_err(|_| bad("domain", "should be a host name"))?,
            login_user: written.login_user.unwrap_or_else(|| "paas".to_owned()),
            public_address: written.public_address,
            memory_reserve_bytes: written.memory_reserve_mib.unwrap_or(0).saturating_mul(1024 * 1024),
        })
    }
}

fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first >= 1024 && first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(text, Path::new("paas.toml")).map_err(|e| e.to_string())
    }

    #[test]
    fn an_empty_file_means_defaults() {
        let settings = parse("").expect("defaults");
        assert_eq!(settings.lease_ports, 20_000..=29_999);
        assert_eq!(settings.domain.as_str(), "localhost");
    }

    #[test]
    fn a_wrong_setting_is_named() {
        assert!(parse("lease_prots = \"1-2\"").expect_err("unknown key").contains("lease_prots"));
        assert!(parse("lease_ports = \"9-1\"").expect_err("bad range").contains("lease_ports"));
        assert!(parse("uid_base = 0").expect_err("too low").contains("uid_base"));
    }
}
