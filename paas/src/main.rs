//! paas: a Heroku for one's own machine, without Docker.

#![allow(unreachable_pub, reason = "nothing imports a binary")]

mod cli;
mod descriptors;
mod frames;
mod git;
mod internal;
mod limits;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
