//! What people type (`web.1`) and one execution of it.

use std::fmt;
use std::str::FromStr;

use crate::{AppName, Invalid, ProcessType, ReleaseVersion, limits};

/// The 1 of `web.1`.
pub type Ordinal = u32;

/// An instance: `web.1` of app `hello`. It stays the same over restarts and releases.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    /// The app.
    pub app: AppName,
    /// Its process type.
    pub process_type: ProcessType,
    /// Counted from 1.
    pub ordinal: Ordinal,
}

impl InstanceId {
    /// Reads `web.1` as an instance of `app`.
    pub fn parse(app: &AppName, text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("instance", text, "write TYPE.NUMBER, such as web.1");
        let (name, ordinal) = text.rsplit_once('.').ok_or_else(bad)?;
        let process_type = ProcessType::from_str(name)?;
        let ordinal: u32 = ordinal.parse().map_err(|_| bad())?;
        if ordinal == 0 || ordinal > limits::INSTANCES_PER_TYPE_MAX {
            return Err(bad());
        }
        Ok(Self { app: app.clone(), process_type, ordinal })
    }

    /// `web.1`: its name among the instances of its app, also `DYNO`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.process_type, self.ordinal)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}", self.app, self.process_type, self.ordinal)
    }
}

/// One execution of an instance. At most one is live per (instance, version), and
/// per instance where the process type does not overlap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    /// Of what.
    pub instance: InstanceId,
    /// In which release.
    pub version: ReleaseVersion,
    /// Counts the executions of this app for ever, so that no folder name returns.
    pub number: u64,
}

impl RunId {
    /// The name of its folder: `web.1-v7-42`.
    pub fn folder(&self) -> String {
        format!("{}-{}-{}", self.instance.name(), self.version, self.number)
    }

    /// Reads a folder name back; `None` for anything else that lies there.
    pub fn from_folder(app: &AppName, folder: &str) -> Option<Self> {
        let (rest, number) = folder.rsplit_once('-')?;
        let (name, version) = rest.rsplit_once('-')?;
        let version = version.strip_prefix('v')?.parse().ok()?;
        Some(Self { instance: InstanceId::parse(app, name).ok()?, version, number: number.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_reads_back() {
        let app: AppName = "hello".parse().expect("name");
        for text in ["web.1", "my-bot.12", "a_b.3"] {
            assert_eq!(InstanceId::parse(&app, text).expect(text).name(), text);
        }
        for bad in ["web", "web.0", "web.x", ".1", "web.101", "../x.1"] {
            assert!(InstanceId::parse(&app, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_run_folder_reads_back() {
        let app: AppName = "hello".parse().expect("name");
        let run = RunId { instance: InstanceId::parse(&app, "my-bot.2").expect("instance"), version: ReleaseVersion(7), number: 42 };
        assert_eq!(run.folder(), "my-bot.2-v7-42");
        assert_eq!(RunId::from_folder(&app, &run.folder()), Some(run));
        assert_eq!(RunId::from_folder(&app, "lost+found"), None);
    }
}
