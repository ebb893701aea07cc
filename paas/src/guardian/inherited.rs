//! What the guardian was started with and must not hand on: open descriptors, a loose
//! umask, core dumps.

use std::fs;
use std::io;
use std::os::fd::RawFd;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

use super::limits::CORE_BYTES_MAX;
use crate::descriptors;

/// Files of the platform are nobody else's to write.
const UMASK: u32 = 0o022;
/// The last descriptor that is meant to be passed on.
const STDERR: RawFd = 2;

/// Leaves everything behind. Call it before anything else is opened.
pub(super) fn leave_behind() -> io::Result<()> {
    close_descriptors()?;
    umask(Mode::from_raw_mode(UMASK));
    forbid_core_dumps();
    raise_open_files();
    Ok(())
}

/// A descriptor that leaked into the server would give paasd what whoever typed
/// `paas server` had open, for as long as the server lives.
fn close_descriptors() -> io::Result<()> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()).filter(|number| *number > STDERR));
    }
    for number in numbers {
        // Taken over and dropped. The one of the listing itself is closed by now.
        drop(descriptors::take(number));
    }
    Ok(())
}

/// The server holds the key of the store in its memory. One byte and not none: with 0 the
/// kernel still feeds a core to a pipe handler.
fn forbid_core_dumps() {
    let limit = getrlimit(Resource::Core);
    let least = |limit: Option<u64>| Some(limit.map_or(CORE_BYTES_MAX, |bytes| bytes.min(CORE_BYTES_MAX)));
    // Lowering is refused to nobody.
    let _ = setrlimit(Resource::Core, Rlimit { current: least(limit.maximum), maximum: least(limit.maximum) });
}

/// One server holds several descriptors per run.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Raising up to the hard limit is refused to nobody.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
