//! The ends of an instance's runs on disk: `runs/N/ends-web.1.json`, oldest first. What a
//! later server wrote there is read as far as it is understood.

use std::io::Read;
use std::path::{Path, PathBuf};

use model::engine::{KeptEnd, LastEnd};
use model::{FlightRecord, Memory, PortHint, ProbeSeen, ThreadsAt};
use serde::{Deserialize, Serialize};

use crate::limits::{ENDS_BYTES_MAX, ENDS_KEPT};
use crate::no_follow;

const PREFIX: &str = "ends-";
const SUFFIX: &str = ".json";

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct File {
    ends: Vec<End>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct End {
    run: String,
    status: String,
    reason: String,
    code: Option<String>,
    at_unix_ms: i64,
    ran_ms: u64,
    last_lines: Vec<String>,
    processes: u32,
    memory: Option<MemoryWire>,
    open_files: Option<u64>,
    threads: Vec<Threads>,
    peers: Vec<String>,
    looked_unix_ms: Option<i64>,
    probes: Vec<Probe>,
    hint: Option<(String, String)>,
    out_of_memory: bool,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct MemoryWire {
    bytes: u64,
    is_share: bool,
    peak_bytes: Option<u64>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Threads {
    name: String,
    state: char,
    waits_in: Option<String>,
    count: u32,
}

#[derive(Clone, Serialize, Deserialize)]
struct Probe {
    at_unix_ms: i64,
    text: String,
    took_ms: u64,
}

/// Adds an end to the file of its instance, below `runs/N`.
pub(crate) fn keep(folder: &Path, end: &LastEnd) -> std::io::Result<()> {
    let path = path_of(folder, &end.run.instance.name());
    let mut file = read(&path);
    let end = to_wire(end);
    // Told again by a server that was killed before the run's folder was removed.
    file.ends.retain(|kept| kept.run != end.run);
    file.ends.push(end);
    file.ends.sort_by_key(|kept| kept.at_unix_ms);
    let surplus = file.ends.len().saturating_sub(ENDS_KEPT);
    file.ends.drain(..surplus);
    let text = serde_json::to_vec(&file).map_err(std::io::Error::other)?;
    no_follow::replace(&path, &text)
}

/// Every end that is kept of an app, or of one instance, oldest first.
pub(crate) fn all(folder: &Path, instance: Option<&str>) -> Vec<KeptEnd> {
    let mut files = match instance {
        Some(name) => vec![path_of(folder, name)],
        None => std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| is_ends(path)).collect(),
    };
    files.sort_unstable();
    let mut ends: Vec<KeptEnd> = files.iter().flat_map(|path| read(path).ends).filter_map(from_wire).collect();
    ends.sort_by_key(|end| end.at_unix_ms);
    ends
}

fn path_of(folder: &Path, instance: &str) -> PathBuf {
    folder.join(format!("{PREFIX}{instance}{SUFFIX}"))
}

fn is_ends(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
}

/// One that cannot be read has none: the next end begins it anew.
fn read(path: &Path) -> File {
    let mut text = Vec::new();
    let read = no_follow::open(path).and_then(|file| file.take(ENDS_BYTES_MAX).read_to_end(&mut text));
    read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn to_wire(end: &LastEnd) -> End {
    let flight = &end.flight;
    End {
        run: end.run.folder(),
        status: end.status.to_string(),
        reason: end.reason.to_string(),
        code: end.reason.code().map(str::to_owned),
        at_unix_ms: end.at_unix_ms,
        ran_ms: end.ran_ms,
        last_lines: end.last_lines.clone(),
        processes: flight.processes,
        memory: flight.memory.map(|Memory { bytes, is_share, peak_bytes }| MemoryWire { bytes, is_share, peak_bytes }),
        open_files: flight.open_files,
        threads: flight
            .threads
            .iter()
            .cloned()
            .map(|ThreadsAt { name, state, waits_in, count }| Threads { name, state, waits_in, count })
            .collect(),
        peers: flight.peers.clone(),
        looked_unix_ms: flight.looked_unix_ms,
        probes: flight.probes.iter().cloned().map(|ProbeSeen { at_unix_ms, text, took_ms }| Probe { at_unix_ms, text, took_ms }).collect(),
        hint: flight.hint.clone().map(|PortHint { found, fix }| (found, fix)),
        out_of_memory: flight.out_of_memory,
    }
}

/// `web.1-v7-42` names instance and release; anything else is nothing of ours.
fn from_wire(end: End) -> Option<KeptEnd> {
    let (rest, number) = end.run.rsplit_once('-')?;
    let (instance, version) = rest.rsplit_once('-')?;
    Some(KeptEnd {
        instance: instance.to_owned(),
        release: version.to_owned(),
        run: number.parse().ok()?,
        status: end.status,
        reason: end.reason,
        code: end.code,
        at_unix_ms: end.at_unix_ms,
        ran_ms: end.ran_ms,
        last_lines: end.last_lines,
        flight: FlightRecord {
            processes: end.processes,
            memory: end.memory.map(|MemoryWire { bytes, is_share, peak_bytes }| Memory { bytes, is_share, peak_bytes }),
            open_files: end.open_files,
            threads: end
                .threads
                .into_iter()
                .map(|Threads { name, state, waits_in, count }| ThreadsAt { name, state, waits_in, count })
                .collect(),
            peers: end.peers,
            looked_unix_ms: end.looked_unix_ms,
            probes: end.probes.into_iter().map(|Probe { at_unix_ms, text, took_ms }| ProbeSeen { at_unix_ms, text, took_ms }).collect(),
            hint: end.hint.map(|(found, fix)| PortHint { found, fix }),
            out_of_memory: end.out_of_memory,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ExitStatus, RunId, StopReason};

    fn end(number: u64) -> LastEnd {
        LastEnd {
            run: RunId::from_folder(&"hello".parse().expect("app"), &format!("web.1-v7-{number}")).expect("run"),
            status: ExitStatus::Signal { signal: 9, core: false },
            reason: StopReason::Silent { seconds: 60, probe: "GET / -> no byte within 5 s".to_owned() },
            at_unix_ms: 1_790_000_000_000 + i64::try_from(number).expect("small"),
            ran_ms: 75_000,
            last_lines: vec!["serving".to_owned()],
            flight: FlightRecord {
                processes: 2,
                memory: Some(Memory { bytes: 1_000_000, is_share: true, peak_bytes: Some(2_000_000) }),
                open_files: Some(12),
                threads: vec![ThreadsAt {
                    name: "python3".to_owned(),
                    state: 'S',
                    waits_in: Some("futex_wait_queue".to_owned()),
                    count: 2,
                }],
                peers: vec!["127.0.0.1:5432".to_owned()],
                looked_unix_ms: Some(1_790_000_000_000),
                probes: vec![ProbeSeen { at_unix_ms: 1, text: "GET / -> 200".to_owned(), took_ms: 3 }],
                hint: Some(PortHint { found: "listens on 127.0.0.1:5000, not on $PORT=20017".to_owned(), fix: "x".to_owned() }),
                out_of_memory: true,
            },
        }
    }

    #[test]
    fn the_last_five_ends_of_an_instance_read_back() {
        let folder = tempfile::tempdir().expect("folder");
        for number in 1..=7 {
            keep(folder.path(), &end(number)).expect("kept");
        }
        keep(folder.path(), &end(6)).expect("kept again");
        let kept = all(folder.path(), Some("web.1"));
        assert_eq!(kept.iter().map(|end| end.run).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
        assert_eq!((kept[4].instance.as_str(), kept[4].release.as_str(), kept[4].code.as_deref()), ("web.1", "v7", None));
        assert_eq!(kept[4].flight, end(7).flight);
        assert_eq!(kept[4].reason, "silent for 60 s (GET / -> no byte within 5 s)");
        assert_eq!(all(folder.path(), None), kept);
        assert!(all(folder.path(), Some("web.2")).is_empty());
    }

    /// Durable: what is written today is read by every later server.
    #[test]
    fn an_end_of_the_first_version_is_read() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("ends-web.1.json"), include_str!("../../tests/formats/ends-1.json")).expect("file");
        let kept = all(folder.path(), None);
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].flight, end(42).flight);
        assert_eq!((kept[0].run, kept[0].status.as_str(), kept[0].ran_ms), (42, "killed by SIGKILL", 75_000));
    }

    #[test]
    fn what_is_broken_or_of_a_later_server_loses_no_new_end() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("ends-web.1.json");
        std::fs::write(&path, b"{\"ends\":").expect("file");
        keep(folder.path(), &end(1)).expect("kept");
        assert_eq!(all(folder.path(), None).len(), 1);
        std::fs::write(&path, br#"{"ends":[{"run":"web.1-v7-9","later":{}},{"run":"odd"}],"more":1}"#).expect("file");
        assert_eq!(all(folder.path(), None).iter().map(|end| end.run).collect::<Vec<_>>(), [9]);
    }
}
