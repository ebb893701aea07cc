//! `ps` and its like.

use api::ps::{self, InstanceRow, ListReply, ScaleReply};
use clap::Args;

use super::Result;
use super::context::Context;
use super::text::{self, Color, View, paint};

/// `ps`.
pub fn list(context: &Context) -> Result {
    context.show(&ps::List { app: context.app()? }, render_list)
}

fn render_list(reply: &ListReply, view: &View) -> String {
    if reply.types.is_empty() {
        return format!("No processes on {} yet: git push paas main\n", text::plain(&reply.app));
    }
    let mut lines = Vec::new();
    if reply.stopped {
        lines.extend([format!(" !     {} is stopped: paas ps:start", text::plain(&reply.app)), String::new()]);
    }
    for group in &reply.types {
        // A first release that is still on trial has no command of a release that serves.
        let command = if group.command.is_empty() { String::new() } else { format!(": {}", text::plain(&group.command)) };
        let heading = format!("=== {}{command} ({})", text::plain(&group.process_type), group.count);
        lines.extend([paint(&heading, Color::Bold, view.color), String::new()]);
        lines.extend(group.instances.iter().map(|instance| instance_line(instance, reply.release.as_deref(), view)));
        if !group.instances.is_empty() {
            lines.push(String::new());
        }
    }
    text::lines(lines)
}

/// `web.1: up 2026/01/02 15:04:05 +0000 (~ 1h ago)`, and what is worth knowing besides.
fn instance_line(row: &InstanceRow, serving: Option<&str>, view: &View) -> String {
    let is_well = matches!(row.state.as_str(), "up" | "starting");
    let state = paint(&text::plain(&row.state), state_color(&row.state), view.color);
    let mut parts = vec![format!("{}: {state} {}", text::plain(&row.name), text::when(row.since_unix_ms, view))];
    if serving.is_some_and(|serving| serving != row.release) {
        parts.push(text::plain(&row.release));
    }
    parts.extend(row.port.map(|port| format!("port {port}")));
    match row.restarts {
        0 => {}
        1 => parts.push("1 restart".to_owned()),
        count => parts.push(format!("{count} restarts")),
    }
    let tells_end = !is_well || row.restarts > 0;
    parts.extend(row.last_end.as_ref().filter(|_| tells_end).map(|end| format!("last end: {}", text::plain(end))));
    parts.extend(row.next_start_unix_ms.map(|start| format!("starts again in {}", seconds_until(start, view))));
    let hint = if row.restarts > 0 || !is_well { format!(" -> paas ps:why {}", text::plain(&row.name)) } else { String::new() };
    format!("{}{hint}", parts.join(", "))
}

pub(super) fn seconds_until(unix_ms: i64, view: &View) -> String {
    text::duration_short((unix_ms - view.now.as_millisecond()).max(0) / 1_000)
}

pub(super) fn state_color(state: &str) -> Color {
    match state {
        "up" => Color::Green,
        "crashed" | "failed" | "stuck" => Color::Red,
        _ => Color::Yellow,
    }
}

/// `ps:scale`.
#[derive(Debug, Args)]
pub struct Scale {
    /// web=2, worker+1, worker-1; none shows the scale
    #[arg(value_name = "TYPE=COUNT")]
    changes: Vec<String>,
}

/// Shows or changes how many run.
pub fn scale(context: &Context, arguments: Scale) -> Result {
    let operation = ps::Scale { app: context.app()?, changes: arguments.changes };
    if operation.changes.is_empty() {
        return context.show(&operation, |reply, _| render_scale(reply));
    }
    context.change("Scaling processes", &operation, scaled).map(drop)
}

fn render_scale(reply: &ScaleReply) -> String {
    let words: Vec<String> = reply.formation.iter().map(|(name, count)| format!("{}={count}", text::plain(name))).collect();
    format!("{}\n", words.join(" "))
}

fn scaled(reply: &ScaleReply) -> String {
    let now: Vec<String> =
        reply.formation.iter().filter(|(name, _)| reply.changed.contains(name)).map(|(name, count)| format!("{name} at {count}")).collect();
    if now.is_empty() { "done, nothing was different".to_owned() } else { format!("done, now running {}", now.join(", ")) }
}

/// `ps:restart`.
#[derive(Debug, Args)]
pub struct Restart {
    /// An instance (web.1) or a process type; none means all
    what: Option<String>,
}

/// Restarts.
pub fn restart(context: &Context, arguments: Restart) -> Result {
    let app = context.app()?;
    let step = format!("Restarting {} of {app}", arguments.what.as_deref().unwrap_or("all processes"));
    context.change(&step, &ps::Restart { app, what: arguments.what }, |reply| instances(&reply.instances)).map(drop)
}

/// Stops an app.
pub fn stop(context: &Context) -> Result {
    let app = context.app()?;
    context.change(&format!("Stopping {app}"), &ps::Stop { app }, |reply| instances(&reply.instances)).map(drop)
}

/// Starts an app again.
pub fn start(context: &Context) -> Result {
    let app = context.app()?;
    context.change(&format!("Starting {app}"), &ps::Start { app }, |reply| instances(&reply.instances)).map(drop)
}

fn instances(names: &[String]) -> String {
    if names.is_empty() { "done, there was nothing to do".to_owned() } else { format!("done: {}", names.join(", ")) }
}

#[cfg(test)]
#[path = "ps_tests.rs"]
pub(super) mod tests;
