//! Stage 0: started by launch, makes the sandbox, forks PID 1 of the run and ends, so that
//! fresh and adopted shims have the same parent: nobody of ours.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, setsid};
use rustix::net::SendFlags;
use rustix::process::PidfdFlags;
use shim::limits::{OPERATIONS_BYTES_MAX, SPEC_BYTES_MAX};
use shim::{Invocation, Operation, OutputDescriptors, Report, operation};

use crate::descriptors::{close_others, take};
use crate::failure::{Failure, Outcome, Step};
use crate::mounts::Layers;
use crate::processes::{Fork, split};
use crate::{files, mounts, namespaces, privileges, supervisor};

/// Everything that launch and control gave to a run.
pub(crate) struct Endowment {
    pub(crate) spec: OwnedFd,
    pub(crate) lock: OwnedFd,
    pub(crate) folder: OwnedFd,
    pub(crate) output: Output,
    pub(crate) child: Vec<OwnedFd>,
}

pub(crate) enum Output {
    Log(OwnedFd),
    Inherit { stdin: OwnedFd, stdout: OwnedFd, stderr: OwnedFd, terminal: bool },
}

/// Where reports go; closed once the run is on its own.
pub(crate) struct Reply(Option<OwnedFd>);

impl Reply {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self(Some(socket))
    }

    /// Whether the report reached a living receiver's queue.
    pub(crate) fn send(&self, report: &Report) -> bool {
        self.0.as_ref().is_some_and(|socket| Self::send_on(socket.as_fd(), report))
    }

    /// The same, on a socket that was taken.
    pub(crate) fn send_on(socket: BorrowedFd<'_>, report: &Report) -> bool {
        rustix::net::send(socket, &report.encode(), SendFlags::NOSIGNAL).is_ok()
    }

    /// Tells what went wrong, if anybody is there to be told.
    pub(crate) fn fail(&self, failure: &Failure) {
        if let Some(socket) = &self.0 {
            failure.report(socket.as_fd());
        }
    }

    pub(crate) fn take(&mut self) -> Option<OwnedFd> {
        self.0.take()
    }

    pub(crate) fn close(&mut self) {
        self.0 = None;
    }
}

/// `shim apply …`; returns in stage 0, in PID 1 when the run is over, and in the child
/// only if it could not be executed.
pub(crate) fn apply(words: &[String]) -> Outcome {
    let invocation = Invocation::from_arguments(words).map_err(|error| Failure::invalid("read the arguments", error))?;
    close_others(invocation.descriptors())?;
    reporting(invocation.reply, |reply| run(&invocation, reply))
}

/// Does it, and tells what went wrong on the socket for reports.
pub(crate) fn reporting(socket: RawFd, work: impl FnOnce(&mut Reply) -> Outcome) -> Outcome {
    let mut reply = Reply::new(take(socket)?);
    let done = work(&mut reply);
    if let Err(failure) = &done {
        reply.fail(failure);
    }
    done
}

/// launch's list of operations.
pub(crate) fn read_operations(descriptor: RawFd) -> Outcome<Vec<Operation>> {
    let list = files::read_bounded(take(descriptor)?, OPERATIONS_BYTES_MAX).step("read the operations")?;
    operation::decode(&list).map_err(|error| Failure::invalid("read the operations", error))
}

fn run(invocation: &Invocation, reply: &mut Reply) -> Outcome {
    let list = read_operations(invocation.operations)?;
    let endowment = Endowment {
        spec: take(invocation.spec)?,
        lock: take(invocation.lock)?,
        folder: take(invocation.folder)?,
        output: take_output(invocation.output)?,
        child: invocation.child.iter().map(|number| take(*number)).collect::<Outcome<_>>()?,
    };
    setsid().step("start a session")?;
    umask(Mode::empty());
    let (ours, theirs) = split_at(&list, &Operation::ForkSupervisor)?;
    let mut root_folder = None;
    for operation in ours {
        apply_one(operation, &mut root_folder)?;
    }
    match split("fork the supervisor")? {
        Fork::Parent(child) => {
            announce(child, reply);
            Ok(())
        }
        Fork::Child => {
            drop(root_folder);
            supervisor::run(theirs, endowment, reply)
        }
    }
}

fn take_output(output: OutputDescriptors) -> Outcome<Output> {
    Ok(match output {
        OutputDescriptors::Log(folder) => Output::Log(take(folder)?),
        OutputDescriptors::Inherit { stdin, stdout, stderr, terminal } => {
            Output::Inherit { stdin: take(stdin)?, stdout: take(stdout)?, stderr: take(stderr)?, terminal }
        }
    })
}

/// The operations before and behind a mark that must be there.
pub(crate) fn split_at<'a>(list: &'a [Operation], mark: &Operation) -> Outcome<(&'a [Operation], &'a [Operation])> {
    let at = list.iter().position(|operation| operation == mark);
    let at = at.ok_or_else(|| Failure::invalid("read the operations", format!("no `{mark}`")))?;
    Ok((&list[..at], &list[at + 1..]))
}

fn announce(child: Pid, reply: &Reply) {
    let report = Report::Spawned { shim_pid: child.as_raw().cast_unsigned() };
    let pid = rustix::process::Pid::from_raw(child.as_raw());
    // Without a pidfd control looks into the run folder instead.
    let pidfd = pid.and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
    let Some(socket) = &reply.0 else { return };
    let _ = shim::wire_socket::send(socket.as_fd(), &report.encode(), pidfd.as_ref().map(AsFd::as_fd).as_slice());
}

fn apply_one(operation: &Operation, root_folder: &mut Option<OwnedFd>) -> Outcome {
    let root: Option<BorrowedFd<'_>> = root_folder.as_ref().map(AsFd::as_fd);
    match operation {
        Operation::UserNamespace { uid, gid } => namespaces::enter_user(*uid, *gid),
        Operation::Namespaces => namespaces::enter_others(),
        Operation::Hostname(name) => nix::unistd::sethostname(name).step("set the host name"),
        Operation::RootFolder(path) => {
            *root_folder = Some(mounts::open_root_folder(path)?);
            Ok(())
        }
        Operation::NewRoot { at, bytes } => {
            let root = root.ok_or_else(|| Failure::invalid("new root", "no root folder was named before it"))?;
            mounts::new_root(root, at, *bytes)
        }
        Operation::Directory { path, mode } => files::make_folders(path, *mode).step(path),
        Operation::Symlink { path, target } => files::make_link(path, target).step(path),
        Operation::File { path, contents } => files::make_file(path, contents).step(path),
        Operation::Bind { source, target, writable, devices } => mounts::bind(root, source, target, *writable, *devices),
        Operation::Overlay { lower, upper, work, owner, target, user_attributes } => {
            let layers = Layers { lower, upper, work, owner: *owner, user_attributes: *user_attributes };
            mounts::overlay(root, &layers, target)
        }
        Operation::Tmpfs { target, mode, bytes, inodes } => mounts::tmpfs(target, *mode, *bytes, *inodes),
        Operation::Terminals { target } => mounts::terminals(target),
        other => privileged(other),
    }
}

/// What can be done after a fork as well.
pub(crate) fn privileged(operation: &Operation) -> Outcome {
    match operation {
        Operation::Proc { target } => mounts::proc(target),
        Operation::LastPid(number) => {
            // Where the kernel refuses it, process ids start at 2 as usual.
            let _ = std::fs::write("proc/sys/kernel/ns_last_pid", number.to_string());
            Ok(())
        }
        Operation::EnterRoot => mounts::enter_root(),
        Operation::LimitCore => crate::child::limit_core(),
        Operation::LimitTasks(most) => crate::child::limit_tasks(*most),
        Operation::DropBounding => privileges::drop_bounding(),
        Operation::ClearGroups => privileges::clear_groups(),
        Operation::User { uid, gid } => privileges::change_user(*uid, *gid),
        Operation::DropCapabilities => privileges::drop_capabilities(),
        Operation::NoNewPrivileges => privileges::no_new_privileges(),
        Operation::SupervisorUser { uid, gid } => privileges::become_supervisor(*uid, *gid),
        other => Err(Failure::invalid(other.to_string(), "it stands in the wrong place of the list")),
    }
}

/// The spec, whole. Only the child calls this, after its user was dropped.
pub(crate) fn read_spec(descriptor: OwnedFd) -> Outcome<Vec<u8>> {
    files::read_bounded(descriptor, SPEC_BYTES_MAX).step("read the spec")
}
