//! The most memory that a run had at once, from what `/proc` tells everybody: PSS is only
//! for the run's own user, and paasd is another.

use std::collections::BTreeMap;
use std::fs;

/// Runs with more processes than this are estimated from so many.
const PROCESSES_MAX: usize = 4_096;

/// What the processes below a shim had at their peaks, without the pages of files that
/// they share, in bytes; none if nothing is there.
pub fn below(shim_pid: u32) -> Option<u64> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(parent) = parent(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = children.remove(&shim_pid)?;
    let mut peak: u64 = 0;
    for index in 0..PROCESSES_MAX {
        let Some(pid) = found.get(index).copied() else { break };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        peak = peak.saturating_add(own_peak(&status));
        found.extend(children.remove(&pid).unwrap_or_default());
    }
    Some(peak)
}

/// The fourth field; the second is a name that may hold anything.
fn parent(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

fn own_peak(status: &str) -> u64 {
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    let all = value("VmHWM:").or_else(|| value("VmRSS:")).unwrap_or(0);
    all.saturating_sub(value("RssFile:").unwrap_or(0)).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_what_no_other_process_shares() {
        assert_eq!(own_peak("Name:\tx\nVmHWM:\t    2116 kB\nVmRSS:\t    2000 kB\nRssFile:\t    1960 kB\n"), 156 * 1024);
        assert_eq!(own_peak("VmRSS:\t 10 kB\n"), 10 * 1024);
        assert_eq!(own_peak(""), 0);
    }

    #[test]
    fn a_process_may_have_any_name() {
        assert_eq!(parent("12 (a) R 9 (b) S 34 12"), Some(34));
        assert_eq!(parent("12"), None);
    }

    #[test]
    fn what_a_child_fills_is_found_below_its_parent() {
        let script = "import time; kept = b'x' * 50_000_000; print(flush=True); time.sleep(1000)";
        let command = std::process::Command::new("python3").args(["-c", script]).stdout(std::process::Stdio::piped()).spawn();
        let mut child = command.expect("python3");
        let mut line = [0];
        std::io::Read::read_exact(child.stdout.as_mut().expect("stdout"), &mut line).expect("it has filled it");
        let peak = below(std::process::id()).expect("a child");
        child.kill().expect("killed");
        child.wait().expect("gone");
        assert!(peak >= 50_000_000, "{peak}");
    }
}
