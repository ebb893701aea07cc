//! What the kernel tells of a live run's processes: memory, descriptors, what its threads
//! wait for, where it listens and with whom it speaks.
//!
//! Whoever looks needs no right of its own. Rootless the server is the user of all runs and
//! sees everything. As a user beside the apps' (root mode) it sees what anybody may: state,
//! threads and resident memory; descriptors, wait channels and the share of memory (PSS)
//! stay unknown then, and listeners are told by the app's user instead.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use model::{Memory, ThreadsAt};

use crate::limits::{
    DESCRIPTORS_LOOKED_AT_MAX, PEERS_KEPT, PROC_FILE_BYTES_MAX, PROCESSES_LOOKED_AT_MAX, SOCKETS_LOOKED_AT_MAX, THREAD_GROUPS_KEPT,
    THREADS_LOOKED_AT_MAX,
};
use crate::listener::{self, Listening};

/// One look at a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunLook {
    /// How many processes it has, the shim not counted.
    pub processes: u32,
    /// All of them together.
    pub memory: Option<Memory>,
    /// Open descriptors of all of them.
    pub open_files: Option<u64>,
    /// Threads that wait for the same, the most first.
    pub threads: Vec<ThreadsAt>,
    /// The other ends of its open connections.
    pub peers: Vec<String>,
    /// Where it listens.
    pub listens: Vec<Listening>,
    /// Its descriptors could be read: `listens` is the run's own, no more and no less.
    pub is_exact: bool,
}

/// Looks at everything below a shim. `uid`: the app's user, if it has one of its own.
pub fn of_run(shim_pid: u32, uid: Option<u32>) -> RunLook {
    let mut look = RunLook { is_exact: true, open_files: Some(0), ..RunLook::default() };
    let mut sockets = BTreeSet::new();
    let mut peak = 0;
    let mut shares: Option<u64> = Some(0);
    let mut resident = 0;
    for pid in descendants(shim_pid) {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let Some(status) = read(&folder.join("status")) else { continue };
        look.processes += 1;
        peak += kib(&status, "VmHWM:").unwrap_or(0);
        resident += kib(&status, "VmRSS:").unwrap_or(0);
        let share = read(&folder.join("smaps_rollup")).and_then(|text| kib(&text, "Pss:"));
        shares = shares.zip(share).map(|(sum, share)| sum + share);
        if let Some(found) = descriptors(&folder) {
            look.open_files = look.open_files.map(|sum| sum + found.count);
            sockets.extend(found.sockets);
        } else {
            (look.open_files, look.is_exact) = (None, false);
        }
        threads(&folder, &mut look.threads);
    }
    look.threads.sort_by_key(|threads| std::cmp::Reverse(threads.count));
    look.threads.truncate(THREAD_GROUPS_KEPT);
    if look.processes > 0 {
        look.memory =
            Some(Memory { bytes: shares.unwrap_or(resident) * 1_024, is_share: shares.is_some(), peak_bytes: Some(peak * 1_024) });
    }
    let is_exact = look.is_exact;
    let is_its = |socket: &Listening| if is_exact { sockets.contains(&socket.inode) } else { uid.is_some() && socket.uid == uid };
    look.listens = listener::all().into_iter().filter(is_its).collect();
    look.peers = peers(&sockets);
    look
}

/// Everything below a process, itself not included. In a run's own process namespace
/// nothing gets out from below its shim.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut next = children(pid);
    while let Some(pid) = next.pop() {
        if found.len() >= PROCESSES_LOOKED_AT_MAX {
            break;
        }
        found.push(pid);
        next.extend(children(pid));
    }
    found
}

fn children(pid: u32) -> Vec<u32> {
    let threads = folder_names(&PathBuf::from(format!("/proc/{pid}/task")), THREADS_LOOKED_AT_MAX);
    let of_thread = |thread: String| read(&PathBuf::from(format!("/proc/{pid}/task/{thread}/children"))).unwrap_or_default();
    threads.map(of_thread).collect::<Vec<_>>().iter().flat_map(|text| text.split_whitespace()).filter_map(|pid| pid.parse().ok()).collect()
}

struct Descriptors {
    count: u64,
    sockets: Vec<u64>,
}

/// `None`: they are not for us to see.
fn descriptors(process: &Path) -> Option<Descriptors> {
    let folder = process.join("fd");
    std::fs::read_dir(&folder).ok()?;
    let mut found = Descriptors { count: 0, sockets: Vec::new() };
    for name in folder_names(&folder, DESCRIPTORS_LOOKED_AT_MAX) {
        found.count += 1;
        let target = std::fs::read_link(folder.join(name)).ok();
        found.sockets.extend(target.and_then(|target| socket(&target.to_string_lossy())));
    }
    Some(found)
}

/// `socket:[12345]` → 12345.
fn socket(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn threads(process: &Path, groups: &mut Vec<ThreadsAt>) {
    for thread in folder_names(&process.join("task"), THREADS_LOOKED_AT_MAX) {
        let folder = process.join("task").join(thread);
        let Some((name, state)) = read(&folder.join("stat")).as_deref().and_then(name_and_state) else { continue };
        // "0": it runs, or that is not for us to see.
        let waits_in = read(&folder.join("wchan")).filter(|place| !place.is_empty() && place != "0");
        match groups.iter_mut().find(|group| group.name == name && group.state == state && group.waits_in == waits_in) {
            Some(group) => group.count += 1,
            None => groups.push(ThreadsAt { name, state, waits_in, count: 1 }),
        }
    }
}

/// `7 (python3 x) S …` → the name, which may hold anything, and the letter behind it.
fn name_and_state(stat: &str) -> Option<(String, char)> {
    let (start, end) = (stat.find('(')?, stat.rfind(')')?);
    let state = stat.get(end + 1..)?.trim_start().chars().next()?;
    Some((model::text::clean(stat.get(start + 1..end)?, usize::MAX), state))
}

fn peers(sockets: &BTreeSet<u64>) -> Vec<String> {
    if sockets.is_empty() {
        return Vec::new();
    }
    let mut peers = BTreeSet::new();
    for table in listener::TABLES {
        let Ok(file) = std::fs::File::open(table) else { continue };
        let lines = std::io::BufRead::lines(std::io::BufReader::new(file)).skip(1).take(SOCKETS_LOOKED_AT_MAX).map_while(Result::ok);
        let own = lines.filter_map(|line| listener::parse(&line)).filter(|entry| !entry.listens && sockets.contains(&entry.inode));
        peers.extend(own.map(|entry| entry.peer.to_string()));
    }
    peers.into_iter().take(PEERS_KEPT).collect()
}

/// `VmRSS:     1234 kB` → 1234.
fn kib(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn folder_names(folder: &Path, count_max: usize) -> impl Iterator<Item = String> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(count_max);
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok())
}

fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(PROC_FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    /// A child that is not left behind.
    struct Held(Child);

    impl Drop for Held {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_process_is_seen_with_memory_files_threads_and_listeners() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        let _peer = std::net::TcpStream::connect(address).expect("connect");
        let descriptor: std::os::fd::OwnedFd = listener.try_clone().expect("copy").into();
        let child = Command::new("/bin/sleep").arg("60").stdin(Stdio::from(descriptor)).spawn().expect("sleep");
        let child = Held(child);
        let own = nix::unistd::getpid().as_raw().cast_unsigned();
        assert!(descendants(own).contains(&child.0.id()));
        let look = of_run(own, None);
        assert!(look.is_exact && look.processes >= 1, "{look:?}");
        assert!(look.memory.as_ref().is_some_and(|memory| memory.bytes > 0 && memory.is_share), "{look:?}");
        assert!(look.open_files >= Some(3), "{look:?}");
        assert!(look.threads.iter().any(|threads| threads.name == "sleep" && threads.count >= 1), "{look:?}");
        assert!(look.listens.iter().any(|socket| socket.at == crate::listener::Address::Tcp(address)), "{look:?}");
    }

    #[test]
    fn a_run_that_is_gone_has_nothing() {
        let look = of_run(u32::MAX, Some(1));
        assert_eq!((look.processes, look.memory, look.threads.len()), (0, None, 0));
    }

    #[test]
    fn a_name_may_hold_brackets_and_blanks() {
        assert_eq!(name_and_state("7 (a) b (c) D 1 2"), Some(("a) b (c".to_owned(), 'D')));
        assert_eq!(name_and_state("garbage"), None);
        assert_eq!(socket("socket:[42]"), Some(42));
        assert_eq!(socket("/dev/null"), None);
        assert_eq!(kib("Rss: 1 kB\nPss:        12 kB\nPss_Dirty: 9 kB", "Pss:"), Some(12));
    }
}
