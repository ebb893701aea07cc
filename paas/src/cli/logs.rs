//! `logs`: `2026-01-02T15:04:05.123456+00:00 app[web.1]: text`.

use api::logs::{self, Line};
use api::{Effect, Failure};
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::Result;
use super::client::Listener;
use super::context::Context;
use super::output::Output;
use super::text::{self, Color, paint};
use crate::limits;

/// `logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// Go on with new lines
    #[arg(short, long)]
    tail: bool,
    /// How many of the newest lines
    #[arg(short = 'n', long = "num", default_value_t = limits::LOG_LINES_DEFAULT, value_name = "COUNT")]
    lines: usize,
    /// A process type (web) or an instance (web.1)
    #[arg(short, long)]
    process: Option<String>,
    /// Who wrote them
    #[arg(short, long, value_parser = ["app", "paas", "router"])]
    source: Option<String>,
}

/// Shows log lines as they come.
pub fn logs(context: &Context, arguments: Logs) -> Result {
    let operation = logs::Logs {
        app: context.app()?,
        lines: arguments.lines,
        tail: arguments.tail,
        process: arguments.process,
        source: arguments.source,
    };
    let mut printer = Printer { output: &context.output, color: context.output.view().color };
    context.connect(&operation, &[])?.listen(Effect::Reads, &mut printer).map(drop)
}

struct Printer<'a> {
    output: &'a Output,
    color: bool,
}

impl Listener for Printer<'_> {
    fn line(&mut self, line: &str) {
        self.output.line(line);
    }

    fn item(&mut self, item: Value) -> Result {
        if self.output.json {
            return self.output.data(&format!("{item}\n"));
        }
        let line: Line = serde_json::from_value(item).map_err(|error| Failure::internal("a log line is not understood", &error))?;
        self.output.data(&render(&line, self.color))
    }
}

fn render(line: &Line, color: bool) -> String {
    let at = Timestamp::from_microsecond(line.at_unix_us)
        .map_or_else(|_| "?".to_owned(), |at| at.to_zoned_datetime(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string());
    let head = format!("{at} {}[{}]:", text::plain(&line.source), text::plain(&line.process));
    format!("{} {}\n", paint(&head, Color::Process(color_number(&line.process)), color), text::plain(&line.text))
}

/// The same process has the same colour in every call.
fn color_number(process: &str) -> usize {
    process.bytes().fold(0, |sum, byte| sum + usize::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_looks_as_on_heroku_and_cannot_drive_the_terminal() {
        let line = Line {
            at_unix_us: 1_767_366_245_123_456,
            source: "app".to_owned(),
            process: "web.1".to_owned(),
            text: "\u{1b}[2Jhello\r\n2026 app[web.2]: forged".to_owned(),
        };
        assert_eq!(render(&line, false), "2026-01-02T15:04:05.123456+00:00 app[web.1]: hello2026 app[web.2]: forged\n");
        let colored = render(&line, true);
        assert!(colored.starts_with("\u{1b}[") && colored.ends_with("hello2026 app[web.2]: forged\n"));
    }
}
