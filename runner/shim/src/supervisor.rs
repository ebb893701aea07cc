//! PID 1 of the run until it keeps: the last mounts, the child's fork, its own drop, the
//! run folder, and the release of the child once control knows.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Pid, Uid};
use shim::limits::SPEC_BYTES_MAX;
use shim::{Operation, ProcessRecord, Report, Spec, record};

use crate::capture::Capture;
use crate::child::{self, Outputs};
use crate::conversation;
use crate::failure::{Failure, Outcome, Step};
use crate::keep::Keeper;
use crate::notify_socket::Notify;
use crate::processes::{Fork, HostIdentity, split};
use crate::stage::{Endowment, Output, Reply, privileged, split_at};
use crate::{files, notify_socket, privileges};

/// What is kept of the child's outputs on this side.
struct Captured {
    captures: Vec<Capture>,
    log: Option<OwnedFd>,
}

pub(crate) fn run(list: &[Operation], endowment: Endowment, reply: &mut Reply) -> Outcome {
    let identity = HostIdentity::read().step("read who the supervisor is")?;
    let (before, rest) = split_at(list, &Operation::ForkChild)?;
    let (of_child, of_keeper) = split_at(rest, &Operation::Keep)?;
    let mut notify = None;
    for operation in before {
        match operation {
            Operation::NotifySocket { path } => notify = Some(Notify::new(notify_socket::bind(path)?)),
            other => privileged(other)?,
        }
    }
    let Endowment { spec, lock, folder, output, child: descriptors } = endowment;
    let (outputs, captured) = lay_out(output, of_child)?;
    let signals = watch_children()?;
    let (mut prepared_reader, prepared_writer) = std::io::pipe().step("make a pipe")?;
    let (release_reader, mut release_writer) = std::io::pipe().step("make a pipe")?;
    let spec_of_child = spec.try_clone().step("copy a descriptor")?;
    let supervisor = nix::unistd::getpid();
    let pid = match split("fork the child")? {
        Fork::Parent(pid) => pid,
        Fork::Child => {
            drop((captured, lock, folder, spec, prepared_reader, release_writer, signals, notify));
            let gate = child::Gate { prepared: prepared_writer, release: release_reader, supervisor };
            return child::run(of_child, spec_of_child, outputs, &descriptors, gate);
        }
    };
    drop((outputs, descriptors, spec_of_child, prepared_writer, release_reader));
    for operation in of_keeper {
        privileged(operation)?;
    }
    privileges::hide()?;
    umask(Mode::from_bits_truncate(0o027));
    let (stop_signal, log_subject) = read_fields(spec)?;
    if prepared_reader.read(&mut [0]).step("wait for the child")? == 0 {
        // The child has told why.
        reply.close();
        return Err(Failure::invalid("the child", "it ended before it was let go"));
    }
    let started_unix_ms = now_unix_ms();
    let listener = take_run_folder(folder.as_fd(), &identity, started_unix_ms)?;
    if !reply.send(&Report::Ready { started_unix_ms }) {
        return Err(Failure::invalid("say that the run is ready", "nobody listens any more"));
    }
    reply.close();
    release_writer.write_all(&[0]).step("let the child go")?;
    drop(release_writer);
    let kept = Kept {
        pid,
        stop_signal,
        log_subject,
        started_unix_ms,
        listener,
        signals,
        _lock: lock,
        captures: captured.captures,
        log: captured.log,
        notify,
    };
    Keeper::new(kept)?.keep()
}

/// What PID 1 holds while it keeps.
pub(crate) struct Kept {
    pub(crate) pid: Pid,
    pub(crate) stop_signal: Signal,
    /// What each line is said to be about.
    pub(crate) log_subject: String,
    pub(crate) started_unix_ms: i64,
    pub(crate) listener: OwnedFd,
    pub(crate) signals: SignalFd,
    /// Held, never read: it is free again when the kernel has taken this process away.
    pub(crate) _lock: OwnedFd,
    pub(crate) captures: Vec<Capture>,
    pub(crate) log: Option<OwnedFd>,
    /// Where the processes of the run say how they are.
    pub(crate) notify: Option<Notify>,
}

/// Pipes for a logged child. They belong to the child's user: without that, opening
/// `/dev/stdout` is refused to it.
fn lay_out(output: Output, of_child: &[Operation]) -> Outcome<(Outputs, Captured)> {
    let log = match output {
        Output::Inherit { stdin, stdout, stderr, terminal } => {
            let outputs = Outputs { stdin: Some(stdin), stdout, stderr, terminal };
            return Ok((outputs, Captured { captures: Vec::new(), log: None }));
        }
        Output::Log(log) => log,
    };
    let mut writers = Vec::new();
    let mut captures = Vec::new();
    for stream in [logs::Stream::Stdout, logs::Stream::Stderr] {
        let (reader, writer) = std::io::pipe().step("make a pipe")?;
        for operation in of_child {
            if let Operation::User { uid, gid } = operation {
                nix::unistd::fchown(&writer, Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)))
                    .step("give the pipe to the child's user")?;
            }
        }
        captures.push(Capture::new(reader.into(), stream).step("prepare a pipe")?);
        writers.push(OwnedFd::from(writer));
    }
    let [stdout, stderr] = <[OwnedFd; 2]>::try_from(writers).map_err(|_| Failure::invalid("outputs", "two pipes"))?;
    Ok((Outputs { stdin: None, stdout, stderr, terminal: false }, Captured { captures, log: Some(log) }))
}

fn watch_children() -> Outcome<SignalFd> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block().step("block SIGCHLD")?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).step("watch the children")
}

fn read_fields(spec: OwnedFd) -> Outcome<(Signal, String)> {
    let bytes = files::read_bounded(spec, SPEC_BYTES_MAX).step("read the spec")?;
    let fields = Spec::decode_for_supervisor(&bytes).map_err(|error| Failure::invalid("read the spec", error))?;
    Ok((Signal::try_from(fields.stop_signal).step("read the stop signal")?, fields.log_subject))
}

/// Goes to the run folder, writes who keeps it, and listens there. The bind is relative,
/// since paths of sockets are limited to 108 bytes.
fn take_run_folder(folder: BorrowedFd<'_>, identity: &HostIdentity, started_unix_ms: i64) -> Outcome<OwnedFd> {
    rustix::process::fchdir(folder).step("enter the run folder")?;
    let record =
        ProcessRecord { shim_pid: identity.pid, start_ticks: identity.start_ticks, boot_id: identity.boot_id.clone(), started_unix_ms };
    files::write_record(record::PROCESS, &record.encode()).step("write the process record")?;
    conversation::listen()
}

pub(crate) fn now_unix_us() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

pub(crate) fn now_unix_ms() -> i64 {
    now_unix_us() / 1_000
}
