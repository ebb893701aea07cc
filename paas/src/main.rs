//! paas: a Heroku for one's own machine, without Docker.

#![allow(unreachable_pub, reason = "nothing imports a binary")]
#![allow(clippy::result_large_err, reason = "a failure is the end of a command: boxing each would only blur the signatures")]

mod cli;
mod descriptors;
mod frames;
mod git;
mod guardian;
mod internal;
mod limits;
mod server;
mod settings;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
