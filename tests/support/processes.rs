//! Processes as the machine sees them: found, killed, waited for.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// `kill -9`.
#[track_caller]
pub(crate) fn kill_hard(pid: u32) {
    send(pid, Signal::SIGKILL);
}

/// Sends a signal to a process that must be there.
#[track_caller]
pub(crate) fn send(pid: u32, signal: Signal) {
    kill(as_pid(pid), signal).unwrap_or_else(|error| panic!("{signal} to process {pid}: {error}"));
}

/// `kill -9` of a process that may be gone by now.
pub(crate) fn kill_leftover(pid: u32) {
    let _ = kill(as_pid(pid), Signal::SIGKILL);
}

fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a process id"))
}

/// Whether a process runs; a zombie does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Whether nothing of a process is left that could hold a file or a socket open: its first
/// thread can be a zombie while others have yet to end.
pub(crate) fn is_gone(pid: u32) -> bool {
    !is_alive(pid) && fs::read_dir(format!("/proc/{pid}/task")).map_or(true, |threads| threads.count() <= 1)
}

/// The direct children of a process that run.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    all().into_iter().filter(|child| parent(*child) == Some(pid) && is_alive(*child)).collect()
}

/// The direct children of a process that have ended and were not waited for.
pub(crate) fn zombies_of(pid: u32) -> Vec<u32> {
    all().into_iter().filter(|child| parent(*child) == Some(pid) && !is_alive(*child)).collect()
}

/// Memory that a process shares with nobody, and its part of what is shared.
pub(crate) fn private_kib(pid: u32) -> u64 {
    let sums = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let pss = sums.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
    pss.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// What a process has taken of the processors so far.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>()).unwrap_or_default();
    let ticks: u64 = fields.get(11..13).into_iter().flatten().filter_map(|field| field.parse::<u64>().ok()).sum();
    // Linux counts them in hundredths of a second everywhere.
    Duration::from_millis(ticks * 10)
}

/// The numbers of a process's open descriptors.
pub(crate) fn descriptors(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors of a process");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// How many threads a process has.
pub(crate) fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).expect("threads of a process").count()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// The words that a process was started with.
pub(crate) fn words(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Every live process that belongs to a host: by its root folder or by its users. Hosts of
/// an ordinary user share his number; there a sandbox is known by the folder that it shows.
pub(crate) fn of_host(folder: &Path, owns: impl Fn(u32) -> bool) -> Vec<u32> {
    let folder = folder.to_string_lossy().into_owned();
    let named = |pid: u32| {
        let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        program.starts_with(&folder) || words(pid).iter().any(|word| word.contains(&folder))
    };
    let is_root = nix::unistd::geteuid().is_root();
    let shown = |pid: u32| !is_root && shows(pid, folder.rsplit('/').next().unwrap_or(&folder));
    all().into_iter().filter(|pid| is_alive(*pid) && (user(*pid).is_some_and(&owns) || named(*pid) || shown(*pid))).collect()
}

/// Whether a mount of the process is of a folder below one of this name.
fn shows(pid: u32, folder: &str) -> bool {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    mounts.lines().filter_map(|line| line.split(' ').nth(3)).any(|root| root.split('/').any(|part| part == folder))
}

fn user(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.parse().ok()
}

fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}
