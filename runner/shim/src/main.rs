//! The static program beside each process. It is small and has no threads:
//!
//! ```text
//! shim apply …            stage 0: makes a sandbox, forks PID 1 of the run, ends
//! shim join …             a command inside a live run: enters its namespaces
//! shim signal N           sends a signal to the pidfd on stdin, as whoever it was started
//! shim become U G GROUPS PROGRAM …   executes a program as another user
//! shim probe              whether this caller may make user namespaces
//! ```

mod capture;
mod child;
mod conversation;
mod descriptors;
mod failure;
mod files;
mod join;
mod joined;
mod keep;
mod log;
mod mounts;
mod namespaces;
mod notify_socket;
mod privileges;
mod processes;
mod stage;
mod supervisor;

use std::process::ExitCode;

/// What the shim answers to words that it does not know.
const USAGE_EXIT: u8 = 64;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.split_first().map(|(verb, rest)| (verb.as_str(), rest)) {
        Some(("apply", rest)) => stage::apply(rest),
        Some(("join", rest)) => join::join(rest),
        Some(("signal", [number])) => privileges::signal_stdin(number),
        Some(("become", [uid, gid, groups, program @ ..])) => privileges::become_user(uid, gid, groups, program),
        Some(("probe", [])) => namespaces::probe(),
        _ => return ExitCode::from(USAGE_EXIT),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            ExitCode::FAILURE
        }
    }
}
