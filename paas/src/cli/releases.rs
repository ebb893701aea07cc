//! `releases`, `releases:info`, `rollback`.

use std::collections::BTreeMap;

use api::releases::{self, InfoReply, ReleasesReply};
use clap::Args;

use super::Result;
use super::context::Context;
use super::text::{self, Color, View, paint};

/// `releases`.
pub fn list(context: &Context) -> Result {
    let app = context.app()?;
    context.show(&releases::Releases { app: app.clone() }, |reply, view| render_list(&app, reply, view))
}

fn render_list(app: &str, reply: &ReleasesReply, view: &View) -> String {
    if reply.releases.is_empty() {
        return format!("No releases of {app} yet: git push paas main\n");
    }
    let current = reply.releases.iter().find(|row| row.state == "current").map_or("none", |row| row.version.as_str());
    let heading = format!("=== {app} Releases - Current: {}", text::plain(current));
    let rows: Vec<Vec<String>> = reply
        .releases
        .iter()
        .map(|row| {
            let state = match (row.state.as_str(), &row.failure) {
                ("superseded", _) => String::new(),
                (state, Some(failure)) => format!("{state}: {failure}"),
                (state, None) => state.to_owned(),
            };
            vec![row.version.clone(), row.description.clone(), row.actor.clone(), text::when(row.created_unix_ms, view), state]
        })
        .collect();
    format!("{}\n{}", paint(&heading, Color::Bold, view.color), text::table(&rows))
}

/// `releases:info`.
#[derive(Debug, Args)]
pub struct Version {
    /// v7; none is the current one
    version: Option<String>,
}

/// A release in full.
pub fn info(context: &Context, arguments: Version) -> Result {
    context.show(&releases::Info { app: context.app()?, version: arguments.version }, render_info)
}

fn render_info(reply: &InfoReply, view: &View) -> String {
    let row = &reply.row;
    let state = row.failure.as_ref().map_or_else(|| row.state.clone(), |failure| format!("{}: {failure}", row.state));
    let counts = reply.formation.iter().map(|(name, count)| format!("{name}={count}")).collect::<Vec<_>>();
    let heading = paint(&format!("=== {}", text::plain(&row.version)), Color::Bold, view.color);
    let pairs = text::pairs(&[
        ("Change", row.description.clone()),
        ("By", row.actor.clone()),
        ("When", text::when(row.created_unix_ms, view)),
        ("State", state),
        ("Commit", reply.source_version.clone()),
        ("Slug", row.slug.clone()),
        ("Buildpack", reply.buildpack.clone()),
        ("Interpreter", reply.interpreter.clone().unwrap_or_else(|| "none".to_owned())),
        ("Formation", if counts.is_empty() { "none".to_owned() } else { counts.join(" ") }),
    ]);
    format!("{heading}\n{pairs}{}", commands(&reply.commands))
}

fn commands(commands: &BTreeMap<String, String>) -> String {
    if commands.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = commands.iter().map(|(name, command)| vec![format!("  {name}:"), command.clone()]).collect();
    format!("Commands:\n{}", text::table(&rows))
}

/// `rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// Where to; none is the last good release before the current one
    version: Option<String>,
    /// Run the release phase too
    #[arg(long)]
    run_release: bool,
}

/// Makes an older release serve again.
pub fn rollback(context: &Context, arguments: Rollback) -> Result {
    let app = context.app()?;
    let to = arguments.version.as_ref().map(|version| format!(" to {version}"));
    let step = format!("Rolling back {app}{}", to.as_deref().unwrap_or_default());
    let operation = releases::Rollback { app, version: arguments.version, run_release: arguments.run_release };
    context
        .change(&step, &operation, |reply| match to {
            Some(_) => format!("done, {}", reply.release),
            None => format!("done, {} is {} again", reply.release, reply.to),
        })
        .map(drop)?;
    context.output.line("Code and config vars are those of before; the database was not touched.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use api::releases::ReleaseRow;

    use super::super::text::tests::{hour_ago, view};
    use super::*;

    fn row(version: &str, description: &str, state: &str, failure: Option<&str>) -> ReleaseRow {
        ReleaseRow {
            version: version.to_owned(),
            description: description.to_owned(),
            actor: "anna".to_owned(),
            created_unix_ms: hour_ago(),
            state: state.to_owned(),
            failure: failure.map(str::to_owned),
            slug: "ab".repeat(32),
        }
    }

    #[test]
    fn releases_are_a_table_under_the_current_one() {
        let reply = ReleasesReply {
            releases: vec![
                row("v3", "Set KEY config var", "failed", Some("GET / -> 500")),
                row("v2", "Deploy 1a2b3c4", "current", None),
                row("v1", "Deploy 0a1b2c3", "superseded", None),
            ],
        };
        insta::assert_snapshot!(render_list("hello", &reply, &view()), @r"
        === hello Releases - Current: v2
        v3  Set KEY config var  anna  2026/01/02 15:04:05 +0000 (~ 1h ago)  failed: GET / -> 500
        v2  Deploy 1a2b3c4      anna  2026/01/02 15:04:05 +0000 (~ 1h ago)  current
        v1  Deploy 0a1b2c3      anna  2026/01/02 15:04:05 +0000 (~ 1h ago)
        ");
    }

    #[test]
    fn a_release_in_full_shows_its_commands() {
        let reply = InfoReply {
            row: row("v2", "Deploy 1a2b3c4", "current", None),
            commands: [("web".to_owned(), "gunicorn app:app".to_owned()), ("worker".to_owned(), "python worker.py".to_owned())].into(),
            formation: [("web".to_owned(), 2), ("worker".to_owned(), 0)].into(),
            interpreter: Some("Python 3.11.7".to_owned()),
            buildpack: "python".to_owned(),
            source_version: "1a2b3c4d".repeat(5),
        };
        insta::assert_snapshot!(render_info(&reply, &view()), @r"
        === v2
        Change:       Deploy 1a2b3c4
        By:           anna
        When:         2026/01/02 15:04:05 +0000 (~ 1h ago)
        State:        current
        Commit:       1a2b3c4d1a2b3c4d1a2b3c4d1a2b3c4d1a2b3c4d
        Slug:         abababababababababababababababababababababababababababababababab
        Buildpack:    python
        Interpreter:  Python 3.11.7
        Formation:    web=2 worker=0
        Commands:
          web:     gunicorn app:app
          worker:  python worker.py
        ");
    }
}
