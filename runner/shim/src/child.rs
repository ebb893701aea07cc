//! The child: drops its user, reads its spec, waits to be let go, and becomes the command.

#![expect(unsafe_code, reason = "setting a signal's default disposition has no safe form")]

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;
use rustix::process::{Resource, Rlimit};
use shim::{Operation, Spec, kept};

use crate::descriptors::arrange;
use crate::failure::{Failure, Outcome, Step};
use crate::stage::{privileged, read_spec};

/// What a shell answers when the command does not exist.
const NOT_FOUND_EXIT: i32 = 127;
/// What a shell answers when the command cannot be executed.
const NOT_EXECUTABLE_EXIT: i32 = 126;
/// Where the sandbox of an app has its tree, and what lasts of it.
const APP: &str = "/app";
const KEPT: &str = "/data/kept";
/// Signals are numbered from 1 to this.
const SIGNALS_MAX: i32 = 64;
/// A set of them: a bit for each.
const SIGNAL_SET_BYTES: usize = 8;
/// Handler, flags, restorer and mask.
const SIGACTION_WORDS: usize = 4;
/// Where commands are looked up if the spec has no `PATH`.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// The child's first three descriptors.
pub(crate) struct Outputs {
    /// `/dev/null` if there is none.
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) terminal: bool,
}

/// The two pipes between child and supervisor.
pub(crate) struct Gate {
    pub(crate) prepared: PipeWriter,
    pub(crate) release: PipeReader,
    /// Who the supervisor is, as seen from inside.
    pub(crate) supervisor: Pid,
}

/// Returns only when something went wrong before the child was let go.
pub(crate) fn run(operations: &[Operation], spec: OwnedFd, outputs: Outputs, descriptors: &[OwnedFd], mut gate: Gate) -> Outcome {
    for operation in operations {
        privileged(operation)?;
    }
    // After the change of user, which clears it. PID 1's death ends the namespace anyway;
    // this holds on whatever lies between.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).step("end with the supervisor")?;
    if nix::unistd::getppid() != gate.supervisor {
        return Err(Failure::invalid("the child", "its supervisor is gone"));
    }
    let spec = Spec::decode(&read_spec(spec)?).map_err(|error| Failure::invalid("read the spec", error))?;
    limit_files(spec.open_files)?;
    umask(Mode::from_bits_truncate(0o022));
    reset_signals()?;
    for path in &spec.kept {
        kept::keep(Path::new(APP), Path::new(KEPT), path).step(&format!("keep {}", lossy(path)))?;
    }
    nix::unistd::setsid().step("start a session")?;
    if outputs.terminal
        && let Some(stdin) = &outputs.stdin
    {
        // A terminal that already controls another session stays there; the command then
        // runs without job control.
        let _ = rustix::process::ioctl_tiocsctty(stdin);
    }
    let command = Command::prepare(&spec)?;
    gate.prepared.write_all(&[0]).step("say that the child is prepared")?;
    if gate.release.read(&mut [0]).step("wait to be let go")? == 0 {
        return Err(Failure::invalid("the child", "its supervisor gave up"));
    }
    start(&command, &spec, outputs, descriptors)
}

/// From here on everything that goes wrong is told to whoever reads stderr, with the exit
/// code of a shell.
fn start(command: &Command, spec: &Spec, outputs: Outputs, descriptors: &[OwnedFd]) -> Outcome {
    let (what, why, exit) = match attempt(command, spec, outputs, descriptors) {
        Ok(never) => match never {},
        Err(told) => told,
    };
    let word = if exit == NOT_FOUND_EXIT { "command not found".to_owned() } else { why.to_string() };
    let _ = writeln!(io::stderr(), "paas: {what}: {word}");
    // SAFETY: ends this process at once, without the parent's exit handlers.
    unsafe { libc::_exit(exit) }
}

/// What could not be done, why, and with which exit code that is told.
type Told = (String, io::Error, i32);

fn attempt(command: &Command, spec: &Spec, outputs: Outputs, descriptors: &[OwnedFd]) -> Result<Infallible, Told> {
    prepare_descriptors(outputs, descriptors).map_err(|error| ("descriptors".to_owned(), error, NOT_EXECUTABLE_EXIT))?;
    nix::unistd::chdir(spec.working_directory.as_slice())
        .map_err(|error| (lossy(&spec.working_directory), error.into(), NOT_EXECUTABLE_EXIT))?;
    command.execute().map_err(|error| {
        let exit = if error == Errno::ENOENT { NOT_FOUND_EXIT } else { NOT_EXECUTABLE_EXIT };
        (command.name.clone(), error.into(), exit)
    })
}

fn prepare_descriptors(outputs: Outputs, descriptors: &[OwnedFd]) -> io::Result<()> {
    let stdin = match outputs.stdin {
        Some(stdin) => stdin,
        None => std::fs::File::open("/dev/null")?.into(),
    };
    // Never closed by number: those numbers mean the child's descriptors afterwards.
    let given = ManuallyDrop::new([stdin, outputs.stdout, outputs.stderr]);
    let wanted: Vec<BorrowedFd<'_>> = given.iter().chain(descriptors).map(AsFd::as_fd).collect();
    arrange(&wanted)
}

/// To 1, as 0 would still feed a program that collects dumps; no lower limit is raised.
pub(crate) fn limit_core() -> Outcome {
    let most = rustix::process::getrlimit(Resource::Core).maximum.map_or(1, |maximum| maximum.min(1));
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(most), maximum: Some(most) }).step("forbid core dumps")
}

/// The hard limit too, so that nothing raises it again; no lower limit is raised.
pub(crate) fn limit_tasks(most: u64) -> Outcome {
    let most = rustix::process::getrlimit(Resource::Nproc).maximum.map_or(most, |maximum| maximum.min(most));
    rustix::process::setrlimit(Resource::Nproc, Rlimit { current: Some(most), maximum: Some(most) }).step("limit processes")
}

fn limit_files(wanted: u64) -> Outcome {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let soft = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: limit.maximum }).step("limit open files")
}

/// To their defaults, also the two that the C library keeps for itself and would not let
/// us reach: some program further up may have ignored them.
fn reset_signals() -> Outcome {
    for number in (1..=SIGNALS_MAX).filter(|number| !matches!(*number, libc::SIGKILL | libc::SIGSTOP)) {
        let default = [0_u64; SIGACTION_WORDS];
        let nothing = std::ptr::null_mut::<u64>();
        // SAFETY: all zeros is the kernel's form of the default disposition, which runs no
        // code of ours; it outlives the call and is at least as long as what is read.
        let result =
            unsafe { libc::syscall(libc::SYS_rt_sigaction, libc::c_long::from(number), default.as_ptr(), nothing, SIGNAL_SET_BYTES) };
        if result != 0 {
            return Err(Failure::new("reset a signal", io::Error::last_os_error()));
        }
    }
    SigSet::empty().thread_set_mask().step("unblock signals")
}

/// The command with everything that exec wants to see.
struct Command {
    name: String,
    candidates: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Command {
    fn prepare(spec: &Spec) -> Outcome<Self> {
        let text = |bytes: Vec<u8>| CString::new(bytes).map_err(|error| Failure::invalid("the command", error));
        let mut environment = Vec::with_capacity(spec.env.len());
        for (name, value) in &spec.env {
            environment.push(text([name.as_slice(), b"=", value.as_slice()].concat())?);
        }
        let arguments = spec.argv.iter().cloned().map(text).collect::<Outcome<Vec<_>>>()?;
        let program = &spec.argv[0];
        let path = spec.env.iter().find(|(name, _)| name == b"PATH").map_or(DEFAULT_PATH, |(_, value)| value);
        let candidates = if program.contains(&b'/') {
            vec![text(program.clone())?]
        } else {
            let folders = path.split(|byte| *byte == b':').filter(|folder| !folder.is_empty());
            folders.map(|folder| text([folder, b"/", program.as_slice()].concat())).collect::<Outcome<_>>()?
        };
        Ok(Self { name: lossy(program), candidates, arguments, environment })
    }

    /// The first that can be executed; a refusal is only told if nothing better is found.
    fn execute(&self) -> Result<Infallible, Errno> {
        let mut told = Errno::ENOENT;
        for candidate in &self.candidates {
            let candidate: &CStr = candidate;
            let Err(error) = nix::unistd::execve(candidate, &self.arguments, &self.environment);
            match error {
                Errno::ENOENT | Errno::ENOTDIR => {}
                Errno::EACCES => told = error,
                error => return Err(error),
            }
        }
        Err(told)
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
