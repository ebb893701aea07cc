//! What the server notes about a run in the run's folder, so that the next server finds
//! it as it was: `runs/N/RUN/run.json`. A missing or broken note means "not ready yet".

use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::limits::RUN_RECORD_BYTES_MAX;
use crate::no_follow;

const FILE: &str = "run.json";

/// The note.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRecord {
    /// The port on 127.0.0.1 (web only).
    pub port: Option<u16>,
    /// When it passed its check, in milliseconds since 1970 UTC.
    pub ready_unix_ms: Option<i64>,
    /// How long that took, in milliseconds.
    pub ready_after_ms: Option<u64>,
    /// The check that passed last, for people.
    pub check: Option<String>,
    /// Status code of the last probe that was answered.
    pub probe_status: Option<u16>,
    /// What the port doctor found, and the fix.
    pub hint: Option<(String, String)>,
    /// Restarts that nobody asked for, in its release.
    pub restarts: u32,
    /// The restart counter of its instance that was acted on last.
    pub restart_seen: u64,
    /// It was up and its author's readiness checks kept visitors away.
    pub not_ready: bool,
    /// It was told to stop.
    pub stopping: bool,
    /// A command beside the app, which no target asks for.
    pub one_off: bool,
}

impl RunRecord {
    /// Reads the note in a run folder.
    pub fn read(folder: &Path) -> Option<Self> {
        let mut text = Vec::new();
        no_follow::open(&folder.join(FILE)).ok()?.take(RUN_RECORD_BYTES_MAX).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Replaces the note. Not synced: after a power cut no run is left to be found.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let text = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        no_follow::replace(&folder.join(FILE), &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_and_a_broken_one_is_none() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(RunRecord::read(folder.path()), None);
        let record = RunRecord { port: Some(20_017), ready_after_ms: Some(800), restarts: 2, ..RunRecord::default() };
        record.write(folder.path()).expect("write");
        assert_eq!(RunRecord::read(folder.path()), Some(record));
        std::fs::write(folder.path().join(FILE), b"{\"port\":").expect("write");
        assert_eq!(RunRecord::read(folder.path()), None);
    }

    #[test]
    fn a_note_of_a_later_server_is_understood() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join(FILE), br#"{"port":1,"new_field":{"a":[1]}}"#).expect("write");
        assert_eq!(RunRecord::read(folder.path()).and_then(|r| r.port), Some(1));
    }
}
