//! `deploy`, `builds` and their like.

use api::builds::{self, BuildRow, BuildsReply};
use clap::{Args, ValueEnum};

use super::Result;
use super::context::{Context, typed};
use super::text::{self, View};

/// `deploy`.
#[derive(Debug, Args)]
pub struct Deploy {
    /// A branch, tag or commit of the app's repository; none is its deploy branch
    reference: Option<String>,
}

/// Builds and releases what was pushed before.
pub fn deploy(context: &Context, arguments: Deploy) -> Result {
    let app = context.app()?;
    let step = format!("Deploying {} of {app}", arguments.reference.as_deref().unwrap_or("the deploy branch"));
    let operation = builds::Deploy { app, reference: arguments.reference };
    context.change(&step, &operation, |reply| format!("done, {} ({})", reply.release, text::commit(&reply.commit))).map(drop)
}

/// `builds:rebuild`.
pub fn rebuild(context: &Context) -> Result {
    let app = context.app()?;
    let step = format!("Rebuilding {app} without its cache");
    context.change(&step, &builds::Rebuild { app }, |reply| format!("done, {} ({})", reply.release, text::commit(&reply.commit))).map(drop)
}

/// `builds`.
pub fn list(context: &Context) -> Result {
    let app = context.app()?;
    context.show(&builds::Builds { app: app.clone() }, |reply, view| render_list(&app, reply, view))
}

fn render_list(app: &str, reply: &BuildsReply, view: &View) -> String {
    if reply.builds.is_empty() {
        return format!("No builds of {app} yet: git push paas main\n");
    }
    text::table(&reply.builds.iter().map(|build| columns(build, view)).collect::<Vec<_>>())
}

fn columns(build: &BuildRow, view: &View) -> Vec<String> {
    let outcome = match (&build.release, &build.failure) {
        (Some(release), _) => release.clone(),
        (None, Some(failure)) => failure.clone(),
        (None, None) => String::new(),
    };
    vec![
        build.number.to_string(),
        build.state.clone(),
        text::commit(&build.commit),
        build.actor.clone(),
        text::when(build.started_unix_ms, view),
        build.took_ms.map_or_else(|| "-".to_owned(), text::duration),
        outcome,
    ]
}

/// `builds:output`.
#[derive(Debug, Args)]
pub struct Output {
    /// The build's number; none is the newest
    number: Option<u32>,
}

/// Prints the log of a build.
pub fn output(context: &Context, arguments: &Output) -> Result {
    let value = context.call(&builds::Output { app: context.app()?, number: arguments.number })?;
    if context.output.json {
        return context.output.json(&value);
    }
    let reply = typed::<builds::Output>(value)?;
    let view = context.output.view();
    context.output.line(&format!("Build {}", columns(&reply.build, &view).join("  ").trim_end()));
    context.output.data(&text::lines(reply.lines.iter().map(|line| text::plain(line))))
}

/// Ends the build that runs.
pub fn cancel(context: &Context) -> Result {
    let app = context.app()?;
    let step = format!("Cancelling the build of {app}");
    context
        .change(&step, &builds::Cancel { app }, |reply| match reply.number {
            Some(number) => format!("done, build {number}"),
            None => "no build is running".to_owned(),
        })
        .map(drop)
}

/// `builds:cache`.
#[derive(Debug, Args)]
pub struct Cache {
    /// What to do with it
    #[arg(value_enum)]
    _action: CacheAction,
}

/// What can be done with the cache.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum CacheAction {
    /// Forget it.
    Purge,
}

/// Forgets the build cache.
pub fn purge_cache(context: &Context) -> Result {
    let app = context.app()?;
    context.change(&format!("Purging the build cache of {app}"), &builds::PurgeCache { app }, |_| "done".to_owned()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::{hour_ago, view};
    use super::*;

    #[test]
    fn builds_are_a_table_with_what_came_of_each() {
        let build = |number, state: &str, failure: Option<&str>, took_ms, release: Option<&str>| BuildRow {
            number,
            commit: "1a2b3c4d".repeat(5),
            state: state.to_owned(),
            failure: failure.map(str::to_owned),
            actor: "anna".to_owned(),
            started_unix_ms: hour_ago(),
            took_ms,
            release: release.map(str::to_owned),
        };
        let reply = BuildsReply {
            builds: vec![
                build(12, "running", None, None, None),
                build(9, "failed", Some("uv.lock is out of date"), Some(6_200), None),
                build(8, "succeeded", None, Some(125_000), Some("v7")),
            ],
        };
        insta::assert_snapshot!(render_list("hello", &reply, &view()), @r"
        12  running    1a2b3c4  anna  2026/01/02 15:04:05 +0000 (~ 1h ago)  -
        9   failed     1a2b3c4  anna  2026/01/02 15:04:05 +0000 (~ 1h ago)  6.2 s      uv.lock is out of date
        8   succeeded  1a2b3c4  anna  2026/01/02 15:04:05 +0000 (~ 1h ago)  2 min 5 s  v7
        ");
    }
}
