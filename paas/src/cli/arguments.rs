//! Every command and its arguments; one operation each.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use api::{Failure, Kind};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};

use super::context::Context;
use super::{
    Result, access, apps, builds, checks, config, events, internal_commands, logs, pg, ps, ps_settings, releases, run, status, storage, why,
};
use crate::internal::{self, ServerOptions};

/// A Heroku for your own machine, without Docker: git push paas main.
#[derive(Debug, Parser)]
#[command(
    name = "paas",
    version,
    max_term_width = 100,
    disable_help_subcommand = false,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Arguments {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Globals {
    /// The app; inside a checkout the one that its git remote names
    #[arg(short, long, global = true, value_name = "APP")]
    pub app: Option<String>,
    /// The git remote to take app and server from
    #[arg(short, long, global = true, value_name = "REMOTE")]
    pub remote: Option<String>,
    /// The folder of the server; /var/lib/paas for root, else ~/.paas
    #[arg(long, global = true, env = "PAAS_ROOT", value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Print the reply as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Never colour (NO_COLOR does the same)
    #[arg(long, global = true)]
    pub no_color: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The box in one screen: apps, trouble, disk, memory
    Status,
    /// List the apps
    Apps,
    /// Make an app and, in a checkout, its git remote
    #[command(name = "apps:create", alias = "create")]
    AppsCreate(apps::Create),
    /// Everything short about an app
    #[command(name = "apps:info", alias = "info")]
    AppsInfo(apps::Named),
    /// Change settings: deploy-branch=release, root=services/api; an empty value resets
    #[command(name = "apps:set")]
    AppsSet(apps::Set),
    /// Give an app another name
    #[command(name = "apps:rename")]
    AppsRename(apps::Rename),
    /// Remove an app with everything it has; asks for its name
    #[command(name = "apps:destroy")]
    AppsDestroy(apps::Destroy),
    /// Show what is checked, how, and since when it passes
    Checks,
    /// Try every check now and show what comes of it; it does not count
    #[command(name = "checks:run")]
    ChecksRun,
    /// Show the config vars (values hidden on a terminal)
    Config(config::Show),
    /// Print the value of a config var
    #[command(name = "config:get")]
    ConfigGet(config::Get),
    /// Set config vars and restart: K=V …, K=- reads the value from standard input
    #[command(name = "config:set")]
    ConfigSet(config::Set),
    /// Remove config vars and restart
    #[command(name = "config:unset")]
    ConfigUnset(config::Unset),
    /// Set config vars from a .env file on standard input
    #[command(name = "config:import")]
    ConfigImport(config::Import),
    /// Show the processes
    Ps,
    /// Show or change how many run: web=2 worker+1
    #[command(name = "ps:scale", alias = "scale")]
    PsScale(ps::Scale),
    /// Restart all processes, a process type or an instance
    #[command(name = "ps:restart", alias = "restart")]
    PsRestart(ps::Restart),
    /// Stop all processes of the app until ps:start
    #[command(name = "ps:stop")]
    PsStop,
    /// Start the processes again
    #[command(name = "ps:start")]
    PsStart,
    /// Show or set how long a type may take to boot and to stop
    #[command(name = "ps:limits")]
    PsLimits(ps_settings::Limits),
    /// Let a type run in both releases while they are switched, or not
    #[command(name = "ps:overlap")]
    PsOverlap(ps_settings::Overlap),
    /// Wait until everything that should run is up
    #[command(name = "ps:wait")]
    PsWait(ps_settings::Wait),
    /// Tell the story of an instance: its state and how its last run ended
    #[command(name = "ps:why")]
    PsWhy(why::Why),
    /// Run a command inside an instance that runs; without a command a shell
    #[command(name = "ps:exec")]
    PsExec(run::Exec),
    /// Show what of the app lasts, and how big it is
    Storage,
    /// Make paths of /app last, with what is there now: app.db uploads/; restarts
    #[command(name = "storage:keep")]
    StorageKeep(storage::Keep),
    /// Show log lines; -t goes on with new ones
    Logs(logs::Logs),
    /// List the releases
    Releases,
    /// Show a release in full
    #[command(name = "releases:info")]
    ReleasesInfo(releases::Version),
    /// Make an older release serve again, as a new release
    Rollback(releases::Rollback),
    /// Build and release what was pushed before
    Deploy(builds::Deploy),
    /// List the builds
    Builds,
    /// Print the log of a build
    #[command(name = "builds:output")]
    BuildsOutput(builds::Output),
    /// End the build that runs
    #[command(name = "builds:cancel")]
    BuildsCancel,
    /// Build the same commit anew, without the cache
    #[command(name = "builds:rebuild")]
    BuildsRebuild,
    /// Forget the build cache: builds:cache purge
    #[command(name = "builds:cache")]
    BuildsCache(builds::Cache),
    /// Forget the build cache
    #[command(name = "builds:cache:purge", hide = true)]
    BuildsCachePurge,
    /// Run a command beside the app, with a terminal if there is one
    Run(run::Run),
    /// Show the app's database
    #[command(name = "pg:info", visible_alias = "pg")]
    PgInfo,
    /// Open psql on the app's database
    #[command(name = "pg:psql")]
    PgPsql(pg::Psql),
    /// Show who may do what
    Access,
    /// Let a person in by an SSH key
    #[command(name = "access:add")]
    AccessAdd(access::Add),
    /// Take a person's access away and end their sessions
    #[command(name = "access:remove")]
    AccessRemove(access::Remove),
    /// Show what happened, oldest first
    Events(events::Events),
    /// Run the server
    Server(Server),
    /// Stop everything that paas runs: apps, router, database, server
    Stop(status::Stop),
    /// Print the version
    Version,
    /// The parts of paas that paas starts itself
    #[command(hide = true, subcommand)]
    Internal(Internal),
}

/// `server`.
#[derive(Debug, Args)]
pub struct Server {
    /// Where the router listens for HTTP
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
}

/// What paas starts itself.
#[derive(Debug, Subcommand)]
pub enum Internal {
    /// Where git arrives
    Door(internal_commands::Door),
    /// pre-receive
    Hook,
    /// The source of a commit to descriptor 3
    Export(internal_commands::Export),
    /// Looks after a bare repository
    #[command(subcommand)]
    Repository(internal_commands::Repository),
    /// The process that starts runs
    Launch(Words),
    /// The server below its guardian
    Server(Words),
    /// The router
    Router(Words),
    /// One build
    Build(Words),
    /// One slug
    Unpack(Words),
    /// One folder
    Wipe(Words),
    /// How much one folder holds
    Measure(Words),
}

/// Words that a part of paas reads itself.
#[derive(Debug, Args)]
pub struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// Carries out a command.
pub fn dispatch(context: &Context, command: Command) -> Result {
    match command {
        Command::Status => status::status(context),
        Command::Apps => apps::list(context),
        Command::AppsCreate(arguments) => apps::create(context, arguments),
        Command::AppsInfo(arguments) => apps::info(context, &arguments),
        Command::AppsSet(arguments) => apps::set(context, &arguments),
        Command::AppsRename(arguments) => apps::rename(context, &arguments),
        Command::AppsDestroy(arguments) => apps::destroy(context, &arguments),
        Command::Checks => checks::show(context),
        Command::ChecksRun => checks::run(context),
        Command::Config(arguments) => config::show(context, &arguments),
        Command::ConfigGet(arguments) => config::get(context, &arguments),
        Command::ConfigSet(arguments) => config::set(context, &arguments),
        Command::ConfigUnset(arguments) => config::unset(context, arguments),
        Command::ConfigImport(arguments) => config::import(context, &arguments),
        Command::Ps => ps::list(context),
        Command::PsScale(arguments) => ps::scale(context, arguments),
        Command::PsRestart(arguments) => ps::restart(context, arguments),
        Command::PsStop => ps::stop(context),
        Command::PsStart => ps::start(context),
        Command::PsWhy(arguments) => why::why(context, arguments),
        Command::PsExec(arguments) => run::exec(context, arguments),
        Command::PsLimits(arguments) => ps_settings::limits(context, arguments),
        Command::PsOverlap(arguments) => ps_settings::overlap(context, arguments),
        Command::PsWait(arguments) => ps_settings::wait(context, &arguments),
        Command::Storage => storage::show(context),
        Command::StorageKeep(arguments) => storage::keep(context, arguments),
        Command::Logs(arguments) => logs::logs(context, arguments),
        Command::Releases => releases::list(context),
        Command::ReleasesInfo(arguments) => releases::info(context, arguments),
        Command::Rollback(arguments) => releases::rollback(context, arguments),
        Command::Deploy(arguments) => builds::deploy(context, arguments),
        Command::Builds => builds::list(context),
        Command::BuildsOutput(arguments) => builds::output(context, &arguments),
        Command::BuildsCancel => builds::cancel(context),
        Command::BuildsRebuild => builds::rebuild(context),
        Command::BuildsCache(_) | Command::BuildsCachePurge => builds::purge_cache(context),
        Command::Run(arguments) => run::run(context, arguments),
        Command::PgInfo => pg::info(context),
        Command::PgPsql(arguments) => pg::psql(context, &arguments),
        Command::Access => access::list(context),
        Command::AccessAdd(arguments) => access::add(context, &arguments),
        Command::AccessRemove(arguments) => access::remove(context, arguments),
        Command::Events(arguments) => events::events(context, &arguments),
        Command::Server(arguments) => {
            internal_commands::exit(internal::serve(ServerOptions { root: context.named_root()?, http: arguments.http })?)
        }
        Command::Stop(arguments) => status::stop(context, &arguments),
        Command::Version => context.output.data(&format!("paas {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Internal(part) => dispatch_internal(context, part),
    }
}

fn dispatch_internal(context: &Context, part: Internal) -> Result {
    let code = match part {
        Internal::Door(arguments) => return internal_commands::door(context, arguments),
        Internal::Hook => crate::git::hook::run(),
        Internal::Export(arguments) => return internal_commands::export(context, &arguments),
        Internal::Repository(action) => return internal_commands::repository(context, action),
        Internal::Launch(words) => internal::launch(&words.words)?,
        Internal::Server(words) => internal::server(&words.words)?,
        Internal::Router(words) => internal::router(&words.words)?,
        Internal::Build(words) => internal::build(&words.words)?,
        Internal::Unpack(words) => internal::unpack(&words.words)?,
        Internal::Wipe(words) => internal::wipe(&words.words)?,
        Internal::Measure(words) => internal::measure(&words.words)?,
    };
    internal_commands::exit(code)
}

/// Says why words are no command; help and version are no refusal.
pub fn refuse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that is gone (`paas help | head`) has seen enough.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        // Only PAAS_ROOT was given, and clap takes it for an argument.
        ErrorKind::MissingSubcommand => {
            let mut command = <Arguments as clap::CommandFactory>::command();
            let _ = std::io::Write::write_all(&mut anstream::stderr(), command.render_help().ansi().to_string().as_bytes());
        }
        ErrorKind::InvalidSubcommand => {
            let output = super::output::Output::detect(false, std::env::args().any(|word| word == "--no-color"));
            output.failure(&unknown_command(error));
        }
        _ => {
            let _ = error.print();
        }
    }
    ExitCode::from(Kind::Usage.exit_code())
}

fn unknown_command(error: &clap::Error) -> Failure {
    let strings = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    };
    let given = strings(ContextKind::InvalidSubcommand).pop().unwrap_or_default();
    let failure = Failure::new(Kind::Usage, "command.unknown", format!("`{given}` is not a paas command"));
    // The likeliest comes last.
    match strings(ContextKind::SuggestedSubcommand).pop() {
        Some(nearest) => failure.fix(format!("perhaps `paas {nearest}`; `paas help` lists all commands")),
        None => failure.fix("`paas help` lists all commands"),
    }
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
