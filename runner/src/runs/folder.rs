//! The folder of one run: its lock, its records, its end.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use model::ExitStatus;
use rustix::fs::FlockOperation;
use rustix::net::SocketAddrUnix;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use shim::limits::RECORD_BYTES_MAX;
use shim::record::{EXIT, LOCK, PROCESS, SOCKET};
use shim::{Ended, ExitRecord, ProcessRecord};

use super::RunEnd;
use crate::machine::unix_ms;
use crate::no_follow;

/// Owner and group (the server, the shims) may do everything; files get the shims' group.
pub(super) const FOLDER_MODE: u32 = 0o2770;

/// The folder of one run.
#[derive(Debug, Clone)]
pub(super) struct RunFolder(PathBuf);

/// A folder made for a start, with its lock taken.
pub(super) struct FreshFolder {
    pub(super) folder: RunFolder,
    pub(super) descriptor: OwnedFd,
    pub(super) lock: OwnedFd,
}

impl RunFolder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder and takes its lock, before anything can run in it.
    pub(super) fn create(path: PathBuf) -> io::Result<FreshFolder> {
        DirBuilder::new().mode(0o700).create(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(FOLDER_MODE))?;
        let lock = File::options().read(true).write(true).create_new(true).mode(0o660).open(path.join(LOCK))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(FreshFolder { descriptor: File::open(&path)?.into(), lock: lock.into(), folder: Self(path) })
    }

    /// The lock, if nobody holds it.
    pub(super) fn try_lock(&self) -> io::Result<Option<File>> {
        let path = self.0.join(LOCK);
        let file = match no_follow::open(&path) {
            // Killed between making the folder and its lock: nobody can hold it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.0.is_dir() => no_follow::create(&path)?,
            file => file?,
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Who keeps or kept the run; nothing if its shim never got so far, or cannot be known.
    pub(super) fn process(&self) -> Option<ProcessRecord> {
        self.read(PROCESS).and_then(|text| ProcessRecord::decode(&text).ok())
    }

    /// How the run ended. Call it with the lock in hand: without an exit record it writes
    /// that the run was abandoned. On a full disk too: what has ended can be started again.
    pub(super) fn end(&self, _lock: &File, reboot: bool) -> RunEnd {
        if let Some(record) = self.read(EXIT).and_then(|text| ExitRecord::decode(&text).ok()) {
            return to_end(&record);
        }
        let ended = Ended::Abandoned { reboot };
        let record = ExitRecord { ended, stop_timed_out: false, ended_unix_ms: unix_ms() };
        if let Err(error) = self.write(EXIT, &record.encode()) {
            tracing::warn!(%error, folder = %self.0.display(), "the end of a run could not be noted");
        }
        to_end(&record)
    }

    /// The control socket, by a name that is short enough whatever the path.
    pub(super) fn socket(&self) -> io::Result<(File, SocketAddrUnix)> {
        let folder = File::open(&self.0)?;
        let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))?;
        Ok((folder, address))
    }

    /// A record; one that cannot be read says as little as one that is not there.
    fn read(&self, name: &str) -> Option<String> {
        let read = no_follow::open(&self.0.join(name)).and_then(|file| {
            let mut text = String::new();
            file.take(RECORD_BYTES_MAX as u64).read_to_string(&mut text).map(|_| text)
        });
        match read {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(%error, folder = %self.0.display(), name, "a record of a run cannot be read");
                None
            }
        }
    }

    /// Not synced: see the shim's own records.
    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        no_follow::replace(&self.0.join(name), text.as_bytes())
    }
}

/// The shim of a record, if it is still that very process.
pub(super) fn pidfd_of(record: &ProcessRecord) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(record.shim_pid).ok()?)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // Read behind the pidfd: the number cannot have come to mean another process since,
    // without its start time showing it.
    let stat = fs::read_to_string(format!("/proc/{}/stat", record.shim_pid)).ok()?;
    (shim::record::start_ticks(&stat)? == record.start_ticks).then_some(pidfd)
}

fn to_end(record: &ExitRecord) -> RunEnd {
    let (shim_lost, rebooted) = match record.ended {
        Ended::Abandoned { reboot } => (!reboot, reboot),
        _ => (false, false),
    };
    let (status, stop_timed_out, ended_unix_ms) = (status_of(record.ended), record.stop_timed_out, record.ended_unix_ms);
    RunEnd { status, shim_lost, stop_timed_out, rebooted, ended_unix_ms }
}

/// How a process ended, in the words of the model.
pub(super) fn status_of(ended: Ended) -> ExitStatus {
    match ended {
        Ended::Code(code) => ExitStatus::Code(code),
        Ended::Signal { signal, core } => ExitStatus::Signal { signal, core },
        Ended::Abandoned { .. } => ExitStatus::Unknown,
    }
}
