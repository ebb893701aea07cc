//! Starting stage 0: through an ordinary `Command`, with descriptors named by number.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::FdFlags;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use shim::limits::SPEC_BYTES_MAX;
use shim::{Invocation, JoinInvocation, NAMESPACES, Operation, OutputDescriptors, operation};

use crate::limits::{SIGNAL_MS_MAX, STAGE_MS_MAX};
use crate::protocol::OutputKind;
use crate::{LaunchError, Step};

/// Descriptors of a run, as they came with its frame.
pub(crate) struct RunDescriptors {
    folder: OwnedFd,
    lock: OwnedFd,
    spec: OwnedFd,
    output: Vec<OwnedFd>,
    terminal: bool,
    child: Vec<OwnedFd>,
}

impl RunDescriptors {
    /// Sorts what came with a frame.
    pub(crate) fn sort(kind: OutputKind, descriptors: Vec<OwnedFd>) -> Result<Self, LaunchError> {
        let missing = || LaunchError::refused("a descriptor is missing");
        let outputs = if kind == OutputKind::Log { 1 } else { 3 };
        let mut rest = descriptors.into_iter();
        let [folder, lock, spec] = [rest.next(), rest.next(), rest.next()];
        let output: Vec<OwnedFd> = rest.by_ref().take(outputs).collect();
        if output.len() < outputs {
            return Err(missing());
        }
        let spec = spec.ok_or_else(missing)?;
        refuse_unless_sealed(&spec)?;
        Ok(Self {
            folder: folder.ok_or_else(missing)?,
            lock: lock.ok_or_else(missing)?,
            spec,
            output,
            terminal: kind == OutputKind::Terminal,
            child: rest.collect(),
        })
    }

    fn inherited(&self) -> impl Iterator<Item = &OwnedFd> {
        [&self.folder, &self.lock, &self.spec].into_iter().chain(&self.output).chain(&self.child)
    }
}

/// Descriptors of a command inside a live run, as they came with its frame.
pub(crate) struct JoinDescriptors {
    spec: OwnedFd,
    namespaces: [OwnedFd; NAMESPACES.len()],
    output: [OwnedFd; 3],
    terminal: bool,
}

impl JoinDescriptors {
    /// Sorts what came with a frame.
    pub(crate) fn sort(terminal: bool, descriptors: Vec<OwnedFd>) -> Result<Self, LaunchError> {
        let given = <[OwnedFd; 1 + NAMESPACES.len() + 3]>::try_from(descriptors);
        let given = given.map_err(|_| LaunchError::refused("a descriptor is missing, or one too many"))?;
        let [spec, user, mount, ipc, uts, pid, stdin, stdout, stderr] = given;
        refuse_unless_sealed(&spec)?;
        Ok(Self { spec, namespaces: [user, mount, ipc, uts, pid], output: [stdin, stdout, stderr], terminal })
    }
}

/// A spec that somebody could still change would be read twice in two forms.
fn refuse_unless_sealed(spec: &OwnedFd) -> Result<(), LaunchError> {
    let wanted = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW;
    let seals = rustix::fs::fcntl_get_seals(spec).step("look at the spec")?;
    let bytes = rustix::fs::fstat(spec).step("look at the spec")?.st_size;
    if seals.contains(wanted) && usize::try_from(bytes).is_ok_and(|bytes| bytes <= SPEC_BYTES_MAX) {
        Ok(())
    } else {
        Err(LaunchError::refused("the spec is not a sealed memfd of at most 4 MiB"))
    }
}

/// Runs stage 0 to its end. What happens in it is reported by it, on `reply`.
pub(crate) fn stage(shim: &PathBuf, list: &[Operation], reply: &OwnedFd, run: RunDescriptors) -> Result<(), LaunchError> {
    let operations = memfd(&operation::encode(list)).step("write the operations")?;
    for descriptor in run.inherited().chain([reply, &operations]) {
        rustix::io::fcntl_setfd(descriptor, FdFlags::empty()).step("pass a descriptor on")?;
    }
    let output = match run.output.as_slice() {
        [stdin, stdout, stderr] => OutputDescriptors::Inherit {
            stdin: stdin.as_raw_fd(),
            stdout: stdout.as_raw_fd(),
            stderr: stderr.as_raw_fd(),
            terminal: run.terminal,
        },
        [log, ..] => OutputDescriptors::Log(log.as_raw_fd()),
        [] => return Err(LaunchError::refused("a descriptor is missing")),
    };
    let invocation = Invocation {
        operations: operations.as_raw_fd(),
        spec: run.spec.as_raw_fd(),
        reply: reply.as_raw_fd(),
        lock: run.lock.as_raw_fd(),
        folder: run.folder.as_raw_fd(),
        output,
        child: run.child.iter().map(AsRawFd::as_raw_fd).collect(),
    };
    begin(shim, &invocation.to_arguments(), reply, run)
}

/// Runs stage 0 of a command that joins a live run; the command goes on without it.
pub(crate) fn join(shim: &PathBuf, list: &[Operation], reply: &OwnedFd, run: JoinDescriptors) -> Result<(), LaunchError> {
    let operations = memfd(&operation::encode(list)).step("write the operations")?;
    for descriptor in [&run.spec, reply, &operations].into_iter().chain(&run.namespaces).chain(&run.output) {
        rustix::io::fcntl_setfd(descriptor, FdFlags::empty()).step("pass a descriptor on")?;
    }
    let invocation = JoinInvocation {
        operations: operations.as_raw_fd(),
        spec: run.spec.as_raw_fd(),
        reply: reply.as_raw_fd(),
        namespaces: run.namespaces.each_ref().map(AsRawFd::as_raw_fd),
        output: run.output.each_ref().map(AsRawFd::as_raw_fd),
        terminal: run.terminal,
    };
    begin(shim, &invocation.to_arguments(), reply, run)
}

/// Starts stage 0 and waits for its end. `given` is what it alone holds from then on: the
/// lock, the child's descriptors.
fn begin<T>(shim: &PathBuf, words: &[String], reply: &OwnedFd, given: T) -> Result<(), LaunchError> {
    let mut command = quiet(shim);
    command.args(words);
    let mut stage = command.spawn().step("start stage 0")?;
    drop(given);
    rustix::io::fcntl_setfd(reply, FdFlags::CLOEXEC).step("keep a descriptor")?;
    let status = wait(&mut stage, STAGE_MS_MAX).step("wait for stage 0")?;
    if status.success() {
        return Ok(());
    }
    // Its own report came first, unless it could not make one.
    Err(LaunchError::System { step: "make the sandbox".to_owned(), source: io::Error::other(status.to_string()) })
}

/// Signals a shim as another shim would: root's own right to signal is not lent to whoever
/// sends frames.
pub(crate) fn signal(shim: &PathBuf, as_user: Option<u32>, pidfd: OwnedFd, signal: i32) -> Result<(), LaunchError> {
    let mut command = quiet(shim);
    command.arg("signal").arg(signal.to_string()).stdin(Stdio::from(pidfd));
    if let Some(user) = as_user {
        command.uid(user).gid(user);
    }
    let mut sender = command.spawn().step("send a signal")?;
    let status = wait(&mut sender, SIGNAL_MS_MAX).step("send a signal")?;
    if status.success() {
        return Ok(());
    }
    Err(LaunchError::System { step: "send a signal".to_owned(), source: io::Error::other(status.to_string()) })
}

fn quiet(shim: &PathBuf) -> Command {
    let mut command = Command::new(shim);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    command
}

/// Waits for a child, not for ever.
fn wait(child: &mut Child, milliseconds: u64) -> io::Result<ExitStatus> {
    let pid = Pid::from_child(child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    if !is_readable_within(pidfd.as_fd(), Duration::from_millis(milliseconds))? {
        child.kill()?;
    }
    child.wait()
}

fn is_readable_within(descriptor: BorrowedFd<'_>, time: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(time).map_err(io::Error::other)?;
    let mut watched = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    loop {
        match poll(&mut watched, Some(&timeout)) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A file without a name that holds these bytes.
fn memfd(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("operations", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file.into())
}
