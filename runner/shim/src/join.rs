//! A command inside a live run, with everything that an app's process has given up:
//!
//! ```text
//! launch ── stage 0, ends ── bystander, outside ── keeper, inside ── command
//! ```
//! The bystander is the keeper's parent, so that the end of the run, which waits until each
//! of its processes was reaped, waits for nobody but us.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getpid, setsid};
use shim::{JoinInvocation, NAMESPACES, Operation, Report};

use crate::child::{self, Outputs};
use crate::descriptors::{close_others, take};
use crate::failure::{Failure, Outcome, Step};
use crate::joined::Joined;
use crate::privileges;
use crate::processes::{Fork, split};
use crate::stage::{Reply, privileged, read_operations, reporting, split_at};
use crate::supervisor::now_unix_ms;

/// What launch and control gave to the command.
struct Endowment {
    spec: OwnedFd,
    outputs: Outputs,
    namespaces: Vec<OwnedFd>,
}

/// `shim join …`; returns in each of the processes, and in the command only if it could
/// not be executed.
pub(crate) fn join(words: &[String]) -> Outcome {
    let invocation = JoinInvocation::from_arguments(words).map_err(|error| Failure::invalid("read the arguments", error))?;
    close_others(invocation.descriptors())?;
    reporting(invocation.reply, |reply| run(&invocation, reply))
}

fn run(invocation: &JoinInvocation, reply: &mut Reply) -> Outcome {
    let list = read_operations(invocation.operations)?;
    let (enter, rest) = split_at(&list, &Operation::ForkSupervisor)?;
    let [Operation::Enter { owner, user_namespace }] = enter else {
        return Err(Failure::invalid("read the operations", "a command that joins a run begins by entering it"));
    };
    let [stdin, stdout, stderr] = invocation.output;
    let endowment = Endowment {
        spec: take(invocation.spec)?,
        outputs: Outputs { stdin: Some(take(stdin)?), stdout: take(stdout)?, stderr: take(stderr)?, terminal: invocation.terminal },
        namespaces: invocation.namespaces.iter().map(|number| take(*number)).collect::<Outcome<_>>()?,
    };
    setsid().step("start a session")?;
    umask(Mode::empty());
    // Signals to everything of the run reach the keeper too: it ends when it has to.
    SigSet::all().thread_block().step("block signals")?;
    if let Fork::Parent(_) = split("fork the bystander")? {
        reply.close();
        return Ok(());
    }
    enter_namespaces(&endowment.namespaces, *owner, *user_namespace)?;
    match split("fork the keeper")? {
        Fork::Parent(keeper) => {
            reply.close();
            drop(endowment);
            stand_by(keeper, rest)
        }
        Fork::Child => start(rest, endowment, reply),
    }
}

/// The user namespace first, which gives the right to the others; the PID namespace counts
/// from the next fork on.
fn enter_namespaces(namespaces: &[OwnedFd], owner: u32, user_namespace: bool) -> Outcome {
    let kinds =
        [CloneFlags::CLONE_NEWUSER, CloneFlags::CLONE_NEWNS, CloneFlags::CLONE_NEWIPC, CloneFlags::CLONE_NEWUTS, CloneFlags::CLONE_NEWPID];
    for ((descriptor, kind), name) in namespaces.iter().zip(kinds).zip(NAMESPACES) {
        if user_namespace || kind != CloneFlags::CLONE_NEWUSER {
            setns(descriptor, kind).step(&format!("enter the {name} namespace of the run"))?;
        }
    }
    let found = rustix::fs::lstat("/app").step("look at /app of the run")?.st_uid;
    if found != owner {
        return Err(Failure::invalid("enter the run", format!("its /app belongs to user {found}, not to {owner}")));
    }
    // Whoever named the namespaces could have mixed those of two runs. Without root there
    // is nobody whom this could harm, and the kernel does not tell.
    if !user_namespace {
        for (descriptor, name) in namespaces.iter().zip(NAMESPACES).skip(2) {
            let (given, own) = (rustix::fs::fstat(descriptor), rustix::fs::stat(format!("/proc/1/ns/{name}")));
            let (given, own) = (given.step("look at a namespace")?, own.step("look at the namespaces of the run")?);
            if (given.st_dev, given.st_ino) != (own.st_dev, own.st_ino) {
                return Err(Failure::invalid("enter the run", format!("its {name} namespace is another one's")));
            }
        }
    }
    Ok(())
}

/// Waits outside for the keeper, with no more rights than it.
fn stand_by(keeper: Pid, rest: &[Operation]) -> Outcome {
    let (_, of_keeper) = split_at(rest, &Operation::Keep)?;
    for operation in of_keeper {
        privileged(operation)?;
    }
    privileges::hide()?;
    while waitpid(keeper, None) == Err(Errno::EINTR) {}
    Ok(())
}

fn start(rest: &[Operation], endowment: Endowment, reply: &mut Reply) -> Outcome {
    let (before, rest) = split_at(rest, &Operation::ForkChild)?;
    let (of_child, of_keeper) = split_at(rest, &Operation::Keep)?;
    for operation in before {
        privileged(operation)?;
    }
    let Endowment { spec, outputs, namespaces } = endowment;
    drop(namespaces);
    nix::sys::prctl::set_child_subreaper(true).step("adopt what the command leaves behind")?;
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).step("watch the children")?;
    let (mut prepared_reader, prepared_writer) = std::io::pipe().step("make a pipe")?;
    let (release_reader, mut release_writer) = std::io::pipe().step("make a pipe")?;
    let supervisor = getpid();
    let command = match split("fork the command")? {
        Fork::Parent(command) => command,
        Fork::Child => {
            drop((prepared_reader, release_writer, signals));
            let gate = child::Gate { prepared: prepared_writer, release: release_reader, supervisor };
            return child::run(of_child, spec, outputs, &[], gate);
        }
    };
    drop((outputs, spec, prepared_writer, release_reader));
    for operation in of_keeper {
        privileged(operation)?;
    }
    privileges::hide()?;
    if prepared_reader.read(&mut [0]).step("wait for the command")? == 0 {
        // The command has told why.
        reply.close();
        return Err(Failure::invalid("the command", "it ended before it was let go"));
    }
    let Some(socket) = reply.take() else { return Err(Failure::invalid("the command", "nobody listens")) };
    Joined::new(command, signals, socket).keep(|socket| {
        if !Reply::send_on(socket.as_fd(), &Report::Ready { started_unix_ms: now_unix_ms() }) {
            return Err(Failure::invalid("say that the command is ready", "nobody listens any more"));
        }
        std::io::Write::write_all(&mut release_writer, &[0]).step("let the command go")
    })
}
