//! The boot that run folders belong to: `runs/boot`. The records of runs are not synced, so
//! a power cut may leave a folder without any.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use shim::limits::RECORD_BYTES_MAX;

use crate::no_follow;

const FILE: &str = "boot";

/// Whether the machine was started anew since a server used these runs last. Asked a
/// second time it is not. Where it cannot be known, it was not.
pub(super) fn is_first_since_boot(runs: &Path) -> bool {
    let Ok(now) = shim::record::boot_id() else { return false };
    let mut before = String::new();
    let read = no_follow::open(&runs.join(FILE)).and_then(|file| file.take(RECORD_BYTES_MAX as u64).read_to_string(&mut before));
    if read.is_ok() && before == now {
        return false;
    }
    if let Err(error) = write(runs, &now) {
        tracing::debug!(%error, "the boot of the runs could not be noted");
    }
    read.is_ok()
}

fn write(runs: &Path, boot: &str) -> std::io::Result<()> {
    no_follow::replace(&runs.join(FILE), boot.as_bytes())?;
    no_follow::open(&runs.join(FILE))?.sync_all()?;
    File::open(runs)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_noticed_once() {
        let runs = tempfile::tempdir().expect("folder");
        assert!(!is_first_since_boot(runs.path()), "nothing is known of an earlier one");
        assert!(!is_first_since_boot(runs.path()));
        std::fs::write(runs.path().join(FILE), "another boot").expect("written");
        assert!(is_first_since_boot(runs.path()));
        assert!(!is_first_since_boot(runs.path()));
        assert!(!is_first_since_boot(&runs.path().join("missing")));
    }
}
