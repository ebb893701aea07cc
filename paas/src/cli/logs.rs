//! `logs`: `2026-01-02T15:04:05.123456+00:00 app[web.1]: text`.

use api::logs::{self, Line};
use api::{Effect, Failure, Kind};
use clap::Args;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use serde_json::Value;

use super::Result;
use super::client::Listener;
use super::context::Context;
use super::moment;
use super::output::Output;
use super::text::{self, Color, paint};
use crate::limits;

/// `logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// Go on with new lines
    #[arg(short, long)]
    tail: bool,
    /// How many of the newest lines; 100, or up to 10,000 of those that are searched for
    #[arg(short = 'n', long = "num", value_name = "COUNT")]
    lines: Option<usize>,
    /// A process type (web) or an instance (web.1)
    #[arg(short, long)]
    process: Option<String>,
    /// Who wrote them
    #[arg(short, long, value_parser = ["app", "paas", "router"])]
    source: Option<String>,
    /// No line before: 2h, 'tue 22:00', 2026-01-02, 2026-01-02T15:04:05Z
    #[arg(long, value_name = "MOMENT")]
    since: Option<String>,
    /// No line after
    #[arg(long, value_name = "MOMENT", conflicts_with = "tail")]
    until: Option<String>,
    /// What processes of this release said
    #[arg(long, value_name = "RELEASE")]
    release: Option<String>,
    /// Lines that a regular expression matches
    #[arg(long, value_name = "RE")]
    grep: Option<String>,
}

/// Shows log lines as they come.
pub fn logs(context: &Context, arguments: Logs) -> Result {
    let now = ZonedDateTime::now();
    let (since_unix_us, until_unix_us) = (moment("--since", arguments.since, &now)?, moment("--until", arguments.until, &now)?);
    let searches = since_unix_us.is_some() || until_unix_us.is_some() || arguments.release.is_some() || arguments.grep.is_some();
    let default = if searches { limits::LOG_LINES_SEARCHED } else { limits::LOG_LINES_DEFAULT };
    let operation = logs::Logs {
        app: context.app()?,
        lines: arguments.lines.unwrap_or(default),
        tail: arguments.tail,
        process: arguments.process,
        source: arguments.source,
        since_unix_us,
        until_unix_us,
        release: arguments.release,
        grep: arguments.grep,
    };
    let mut printer = Printer { output: &context.output, color: context.output.view().color };
    context.connect(&operation, &[])?.listen(Effect::Reads, &mut printer).map(drop)
}

/// A moment in the reader's time zone, in microseconds since 1970 UTC.
fn moment(option: &str, text: Option<String>, now: &ZonedDateTime) -> Result<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    let Some(moment) = moment::parse(&text, now) else {
        let what = format!("{option} {}: that is no moment", text::plain(&text));
        return Err(Failure::new(Kind::Usage, "logs.moment", what).fix(format!("write it as {}", moment::FORMS)).into());
    };
    Ok(Some(moment.as_microsecond()))
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
            release: None,
            text: "\u{1b}[2Jhello\r\n2026 app[web.2]: forged".to_owned(),
        };
        assert_eq!(render(&line, false), "2026-01-02T15:04:05.123456+00:00 app[web.1]: hello2026 app[web.2]: forged\n");
        let colored = render(&line, true);
        assert!(colored.starts_with("\u{1b}[") && colored.ends_with("hello2026 app[web.2]: forged\n"));
    }
}
