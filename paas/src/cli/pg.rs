//! `pg`, `pg:psql`.

use std::fs::File;
use std::path::PathBuf;

use api::pg::{self, InfoReply};
use api::{Failure, Kind};
use clap::Args;

use super::context::Context;
use super::text::{self, View};
use super::{Result, session};

/// `pg:info`.
pub fn info(context: &Context) -> Result {
    let app = context.app()?;
    context.show(&pg::Info { app: app.clone() }, |reply, view| render(&app, reply, view))
}

fn render(app: &str, reply: &InfoReply, _view: &View) -> String {
    if reply.kind == "none" {
        return format!("{app} has no database.\n");
    }
    let mut pairs = vec![("Kind", reply.version.clone().unwrap_or_else(|| reply.kind.clone()))];
    pairs.extend(reply.database.clone().map(|name| ("Name", name)));
    pairs.extend(reply.bytes.map(|bytes| ("Size", text::bytes(bytes))));
    pairs.extend(reply.connections.map(|(now, most)| ("Connections", format!("{now} of {most}"))));
    format!("=== DATABASE_URL of {app}\n{}", text::pairs(&pairs))
}

/// `pg:psql`.
#[derive(Debug, Args)]
pub struct Psql {
    /// Run this SQL and end
    #[arg(short, long, value_name = "SQL", allow_hyphen_values = true)]
    command: Option<String>,
    /// Run the SQL of this file and end
    #[arg(short, long, value_name = "FILE", conflicts_with = "command")]
    file: Option<PathBuf>,
}

/// Opens psql. A file is opened here and becomes psql's standard input: no path
/// goes to the other side.
pub fn psql(context: &Context, arguments: &Psql) -> Result {
    let app = context.app()?;
    let input = match &arguments.file {
        None => None,
        Some(path) => Some(
            File::open(path)
                .map_err(|error| Failure::new(Kind::Usage, "pg.file", format!("{} cannot be read", path.display())).caused_by(&error))?,
        ),
    };
    let terminal = input.is_none() && arguments.command.is_none();
    session::run(context, input, terminal, |terminal, term| pg::Psql { app, command: arguments.command.clone(), terminal, term })
}
