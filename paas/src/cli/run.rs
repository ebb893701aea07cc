//! `run CMD`.

use api::{Failure, Kind, run};
use clap::Args;

use super::context::Context;
use super::{Result, session};

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The command and its words; a single one may be a Procfile type
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Runs a command beside the app.
pub fn run(context: &Context, arguments: Run) -> Result {
    let app = context.app()?;
    if arguments.command.len() > api::limits::COMMAND_WORDS_MAX {
        return Err(
            Failure::new(Kind::Usage, "run.too_long", format!("a command has at most {} words", api::limits::COMMAND_WORDS_MAX)).into()
        );
    }
    session::run(context, None, true, |terminal, term| run::Run { app, command: arguments.command, terminal, term })
}
