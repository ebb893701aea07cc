//! `ps:overlap`, `ps:limits`, `ps:wait`.

use api::ps::{self, SettingsReply, SettingsRow};
use api::{Failure, Kind};
use clap::{Args, ValueEnum};

use super::Result;
use super::context::Context;
use super::text;

/// `ps:overlap`.
#[derive(Debug, Args)]
pub struct Overlap {
    /// The process type
    #[arg(value_name = "TYPE")]
    process_type: String,
    /// on: it runs in the old and the new release at once; off: the old one stops first
    switch: Switch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Sets whether a type runs twice during a switch.
pub fn overlap(context: &Context, arguments: Overlap) -> Result {
    let Overlap { process_type, switch } = arguments;
    let step = format!("Setting overlap of {}", text::plain(&process_type));
    let operation = ps::Overlap { app: context.app()?, process_type, on: switch == Switch::On };
    context.change(&step, &operation, done).map(drop)
}

/// `ps:limits`.
#[derive(Debug, Args)]
pub struct Limits {
    /// The process type; none shows all
    #[arg(value_name = "TYPE")]
    process_type: Option<String>,
    /// How long web may take to answer after its start, in seconds, or default
    #[arg(long, value_name = "SECONDS")]
    boot_timeout: Option<String>,
    /// From SIGTERM to SIGKILL, in seconds, or default
    #[arg(long, value_name = "SECONDS")]
    stop_timeout: Option<String>,
    /// Not there yet
    #[arg(long, value_name = "SIZE", hide = true)]
    memory: Option<String>,
    /// Not there yet
    #[arg(long, value_name = "CORES", hide = true)]
    cpu: Option<String>,
}

/// Shows or sets timeouts.
pub fn limits(context: &Context, arguments: Limits) -> Result {
    let Limits { process_type, boot_timeout, stop_timeout, memory, cpu } = arguments;
    if memory.is_some() || cpu.is_some() {
        return Err(Failure::new(Kind::Usage, "limits.not_yet", "this version limits neither memory nor CPU of a process")
            .why("a limit that nothing enforces would only look like one")
            .fix("leave --memory and --cpu away")
            .into());
    }
    let is_change = boot_timeout.is_some() || stop_timeout.is_some();
    let step = format!("Setting limits of {}", text::plain(process_type.as_deref().unwrap_or("?")));
    let operation = ps::Limits { app: context.app()?, process_type, boot_timeout, stop_timeout };
    if is_change {
        return context.change(&step, &operation, done).map(drop);
    }
    context.show(&operation, |reply, _| render(reply))
}

fn done(reply: &SettingsReply) -> String {
    let words: Vec<String> = reply.types.iter().map(row).collect();
    format!("done, {}", words.join("; "))
}

fn render(reply: &SettingsReply) -> String {
    if reply.types.is_empty() {
        return "No processes yet: git push paas main\n".to_owned();
    }
    text::lines(reply.types.iter().map(row))
}

/// `web: overlap on, boot timeout 120 s, stop timeout 30 s`.
fn row(row: &SettingsRow) -> String {
    let name = text::plain(&row.process_type);
    let overlap = if row.overlap { "on" } else { "off" };
    let seconds = |set: Option<u32>, default: &str| set.map_or_else(|| default.to_owned(), |s| format!("{s} s"));
    let boot = if row.process_type == "web" {
        format!(", boot timeout {}", seconds(row.boot_timeout_s, "60 s or 3 x its last boot"))
    } else {
        String::new()
    };
    format!("{name}: overlap {overlap}{boot}, stop timeout {}", seconds(row.stop_timeout_s, "30 s"))
}

/// `ps:wait`.
#[derive(Debug, Args)]
pub struct Wait {
    /// How long, in seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// Waits until everything is up.
pub fn wait(context: &Context, arguments: &Wait) -> Result {
    let app = context.app()?;
    let step = format!("Waiting for {app}");
    context
        .change(&step, &ps::Wait { app, timeout_s: arguments.timeout }, |reply| match reply.instances.as_slice() {
            [] => format!("done, nothing of {} is wanted", text::plain(&reply.release)),
            names => format!("done, {} up: {}", text::plain(&reply.release), names.join(", ")),
        })
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_reads_as_a_sentence_per_type() {
        let reply = SettingsReply {
            types: vec![
                SettingsRow { process_type: "bot".to_owned(), overlap: false, boot_timeout_s: None, stop_timeout_s: Some(90) },
                SettingsRow { process_type: "web".to_owned(), overlap: true, boot_timeout_s: Some(120), stop_timeout_s: None },
            ],
        };
        insta::assert_snapshot!(render(&reply), @r"
        bot: overlap off, stop timeout 90 s
        web: overlap on, boot timeout 120 s, stop timeout 30 s
        ");
    }
}
