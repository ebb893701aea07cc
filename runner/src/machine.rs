//! What this machine is: memory, cores, clocks.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::environment::Machine;

/// Memory, cores and shells of this machine.
pub(crate) fn read() -> Machine {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Machine {
        memory_mib: std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory_mib(&text)).unwrap_or(0),
        cores: u64::try_from(cores).unwrap_or(1),
        has_bash: Path::new("/bin/bash").exists(),
    }
}

/// Milliseconds since 1970 UTC.
pub(crate) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Any number; not for secrets.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// How often the kernel killed a process for want of memory since it started.
pub(crate) fn oom_kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

fn memory_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory_cores_and_a_clock() {
        let machine = read();
        assert!(machine.memory_mib > 0 && machine.cores > 0);
        assert!(unix_ms() > 1_700_000_000_000);
        assert_ne!(random(), random());
        assert!(oom_kills().is_some());
        assert_eq!(memory_mib("MemTotal:       16384256 kB\n"), Some(16_000));
    }
}
