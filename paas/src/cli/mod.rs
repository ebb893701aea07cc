//! The command line: words in, one operation asked, its reply rendered.
//!
//! ```text
//! words → arguments → operation → client ⇄ operator.sock → reply → text or --json
//! ```
//! Data goes to standard output, everything else to standard error.

mod access;
mod apps;
mod arguments;
mod builds;
mod checkout;
mod checks;
mod client;
mod config;
mod context;
mod dotenv;
mod events;
pub mod failure;
mod input;
mod internal_commands;
mod interrupts;
mod logs;
mod moment;
mod output;
mod pg;
mod ps;
mod ps_settings;
mod pty;
mod releases;
mod run;
pub mod server_socket;
mod session;
mod status;
mod storage;
pub mod text;
mod why;

use std::process::ExitCode;

use api::Failure;
use clap::Parser;

use arguments::Arguments;
use context::Context;
use output::Output;

/// How a command ends before its end.
#[derive(Debug)]
pub enum End {
    /// It failed.
    Failure(Box<Failure>),
    /// It has nothing more to say.
    Exit(u8),
}

impl End {
    /// Ended by a signal, as a shell would show it.
    pub fn signal(signal: i32) -> Self {
        Self::Exit(u8::try_from(128 + signal).unwrap_or(255))
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failure(Box::new(failure))
    }
}

/// What a command comes to.
pub type Result<T = (), E = End> = std::result::Result<T, E>;

/// The whole program.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return arguments::refuse(&error),
    };
    let output = Output::detect(arguments.globals.json, arguments.globals.no_color);
    let context = Context::new(arguments.globals, output);
    match arguments::dispatch(&context, arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(End::Exit(code)) => {
            context.output.step_failed();
            ExitCode::from(code)
        }
        Err(End::Failure(failure)) => {
            context.output.failure(&failure);
            ExitCode::from(failure.kind.exit_code())
        }
    }
}
