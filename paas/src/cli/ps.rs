//! `ps` and its like.

use api::ps::{self, InstanceRow, ListReply, ScaleReply, WhyReply};
use clap::Args;

use super::Result;
use super::context::{Context, typed};
use super::text::{self, Color, View, paint};

/// `ps`.
pub fn list(context: &Context) -> Result {
    context.show(&ps::List { app: context.app()? }, render_list)
}

fn render_list(reply: &ListReply, view: &View) -> String {
    if reply.types.is_empty() {
        return format!("No processes on {} yet: git push paas main\n", text::plain(&reply.app));
    }
    let mut shown = String::new();
    if reply.stopped {
        shown.push_str(&format!(" !     {} is stopped: paas ps:start\n\n", text::plain(&reply.app)));
    }
    for group in &reply.types {
        let heading = format!("=== {}: {} ({})", text::plain(&group.process_type), text::plain(&group.command), group.count);
        shown.push_str(&format!("{}\n\n", paint(&heading, Color::Bold, view.color)));
        for instance in &group.instances {
            shown.push_str(&format!("{}\n", instance_line(instance, reply.release.as_deref(), view)));
        }
        if !group.instances.is_empty() {
            shown.push('\n');
        }
    }
    shown
}

/// `web.1: up 2026/01/02 15:04:05 +0000 (~ 1h ago)`, and what is worth knowing besides.
fn instance_line(row: &InstanceRow, serving: Option<&str>, view: &View) -> String {
    let state = paint(&text::plain(&row.state), state_color(&row.state), view.color);
    let mut line = format!("{}: {state} {}", text::plain(&row.name), text::when(row.since_unix_ms, view));
    if serving.is_some_and(|serving| serving != row.release) {
        line.push_str(&format!(", {}", text::plain(&row.release)));
    }
    if let Some(port) = row.port {
        line.push_str(&format!(", port {port}"));
    }
    match row.restarts {
        0 => {}
        1 => line.push_str(", 1 restart"),
        count => line.push_str(&format!(", {count} restarts")),
    }
    let is_well = matches!(row.state.as_str(), "up" | "starting");
    if let Some(end) = row.last_end.as_ref().filter(|_| !is_well) {
        line.push_str(&format!(": {}", text::plain(end)));
    }
    if let Some(start) = row.next_start_unix_ms {
        let seconds = (start - view.now.as_millisecond()).max(0) / 1_000;
        line.push_str(&format!(", starts again in {}", text::duration_short(seconds)));
    }
    if row.restarts > 0 || !is_well {
        line.push_str(&format!(" -> paas ps:why {}", text::plain(&row.name)));
    }
    line
}

fn state_color(state: &str) -> Color {
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
    let now: Vec<String> = reply
        .formation
        .iter()
        .filter(|(name, _)| reply.changed.contains(name))
        .map(|(name, count)| format!("{name} at {count}"))
        .collect();
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

/// `ps:why`.
#[derive(Debug, Args)]
pub struct Why {
    /// The instance; none tells of the one that ended last
    instance: Option<String>,
}

/// Tells the story of an instance.
pub fn why(context: &Context, arguments: Why) -> Result {
    let value = context.call(&ps::Why { app: context.app()?, instance: arguments.instance })?;
    if context.output.json {
        return context.output.json(&value);
    }
    context.output.data(&render_why(&typed::<ps::Why>(value)?, &context.output.view()))
}

fn render_why(reply: &WhyReply, view: &View) -> String {
    let now = &reply.now;
    let state = paint(&text::plain(&now.state), state_color(&now.state), view.color);
    let mut story = format!("{} is {state} since {}, release {}", text::plain(&now.name), text::when(now.since_unix_ms, view), text::plain(&now.release));
    match now.restarts {
        0 => story.push_str(".\n"),
        1 => story.push_str(", restarted once.\n"),
        count => story.push_str(&format!(", restarted {count} times.\n")),
    }
    if let Some(check) = &now.check {
        story.push_str(&format!("The last check that passed: {}.\n", text::plain(check)));
    }
    if let Some(start) = now.next_start_unix_ms {
        let seconds = (start - view.now.as_millisecond()).max(0) / 1_000;
        story.push_str(&format!("It starts again in {}.\n", text::duration_short(seconds)));
    }
    let Some(end) = &reply.end else {
        story.push_str("None of its runs has ended yet.\n");
        return story;
    };
    let code = end.code.as_ref().map(|code| format!(" ({})", text::plain(code))).unwrap_or_default();
    let heading = format!("\nIts last run ended {}", text::when(end.at_unix_ms, view));
    story.push_str(&format!("{heading}:\n"));
    story.push_str(&text::pairs(&[
        ("  Why", format!("{}{code}", end.reason)),
        ("  How", end.status.clone()),
        ("  Release", end.release.clone()),
        ("  Ran for", text::duration(end.ran_ms)),
    ]));
    if end.last_lines.is_empty() {
        story.push_str("It had written nothing.\n");
    } else {
        story.push_str("Its last lines:\n");
        end.last_lines.iter().for_each(|line| story.push_str(&format!("  | {}\n", text::plain(line))));
    }
    story
}

#[cfg(test)]
#[path = "ps_tests.rs"]
mod tests;
