//! `events`: what happened, oldest first.

use api::events::{self, EventsReply};
use clap::Args;

use super::Result;
use super::context::Context;
use super::text::{self, View};
use crate::limits;

/// `events`.
#[derive(Debug, Args)]
pub struct Events {
    /// How many of the newest
    #[arg(short = 'n', long = "num", default_value_t = limits::EVENT_LINES_DEFAULT, value_name = "COUNT")]
    lines: usize,
}

/// Shows what happened on the box, or to the app of `-a`.
pub fn events(context: &Context, arguments: &Events) -> Result {
    context.show(&events::Events { app: context.named_app()?, lines: arguments.lines }, render)
}

fn render(reply: &EventsReply, view: &View) -> String {
    let rows: Vec<Vec<String>> = reply
        .events
        .iter()
        .map(|row| {
            vec![text::date(row.at_unix_ms, view), row.app.clone().unwrap_or_else(|| "-".to_owned()), row.code.clone(), row.text.clone()]
        })
        .collect();
    if rows.is_empty() { "Nothing has happened yet.\n".to_owned() } else { text::table(&rows) }
}

#[cfg(test)]
mod tests {
    use api::events::EventRow;

    use super::super::text::tests::{hour_ago, view};
    use super::*;

    #[test]
    fn events_are_a_table_and_the_box_is_a_dash() {
        let event = |app: Option<&str>, code: &str, text: &str| EventRow {
            number: 1,
            at_unix_ms: hour_ago(),
            actor: "paas".to_owned(),
            app: app.map(str::to_owned),
            code: code.to_owned(),
            text: text.to_owned(),
        };
        let reply = EventsReply {
            events: vec![
                event(None, "server.started", "the server started"),
                event(Some("hello"), "release.switched", "v7 serves, v6 stopped"),
            ],
        };
        insta::assert_snapshot!(render(&reply, &view()), @r"
        2026/01/02 15:04:05 +0000  -      server.started    the server started
        2026/01/02 15:04:05 +0000  hello  release.switched  v7 serves, v6 stopped
        ");
    }
}
