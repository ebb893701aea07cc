//! `run CMD` and `ps:exec`.

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

/// `ps:exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// The instance: web.1
    #[arg(value_name = "INSTANCE")]
    instance: String,
    /// The command and its words; none opens a shell
    #[arg(trailing_var_arg = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Runs a command inside an instance.
pub fn exec(context: &Context, arguments: Exec) -> Result {
    let app = context.app()?;
    let Exec { instance, command } = arguments;
    session::run(context, None, true, |terminal, term| run::Exec { app, instance, command, terminal, term })
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
