//! Where output goes: progress to standard error, data to standard output.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};

use api::{Failure, Kind};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::text::{self, View};
use super::{End, Result};

/// Standard output and standard error, and what each can show.
#[expect(clippy::struct_excessive_bools, reason = "what the two streams can show, looked up once")]
#[derive(Debug)]
pub struct Output {
    /// `--json`.
    pub json: bool,
    stdout_color: bool,
    stderr_color: bool,
    stdout_terminal: bool,
    /// A step was announced and its line on standard error is not ended yet.
    open_step: Cell<bool>,
}

impl Output {
    /// Looks at the terminals and at `NO_COLOR`.
    pub fn detect(json: bool, no_color: bool) -> Self {
        let colors = |choice: anstream::ColorChoice| !no_color && !matches!(choice, anstream::ColorChoice::Never);
        Self {
            json,
            stdout_color: colors(anstream::AutoStream::choice(&io::stdout())),
            stderr_color: colors(anstream::AutoStream::choice(&io::stderr())),
            stdout_terminal: io::stdout().is_terminal(),
            open_step: Cell::new(false),
        }
    }

    /// What rendering for standard output depends on.
    pub fn view(&self) -> View {
        View { now: Timestamp::now(), zone: TimeZone::system(), color: self.stdout_color, terminal: self.stdout_terminal }
    }

    /// Writes data. A reader that has seen enough (`paas logs | head`) ends us quietly.
    #[expect(clippy::unused_self, reason = "whoever writes has the output in hand")]
    pub fn data(&self, text: &str) -> Result {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => End::Exit(0),
            _ => Failure::new(Kind::Host, "output.failed", "standard output cannot be written").caused_by(&error).into(),
        })
    }

    /// Writes a reply as it is.
    pub fn json(&self, reply: &serde_json::Value) -> Result {
        self.data(&format!("{reply:#}\n"))
    }

    /// A line of progress. Nobody misses one that cannot be written.
    pub fn line(&self, line: &str) {
        let end_of_step = if self.open_step.take() { "\n" } else { "" };
        write_stderr(&format!("{end_of_step}{}\n", text::plain(line)));
    }

    /// Announces a step: `Scaling processes... ` with the line left open.
    pub fn step(&self, step: &str) {
        write_stderr(&format!("{}... ", text::plain(step)));
        self.open_step.set(true);
    }

    /// Ends a step: `done, v10`. If lines came between, the step is named again.
    pub fn step_done(&self, step: &str, outcome: &str) {
        if self.open_step.take() {
            write_stderr(&format!("{}\n", text::plain(outcome)));
        } else {
            write_stderr(&format!("{}... {}\n", text::plain(step), text::plain(outcome)));
        }
    }

    /// A step that failed: its line is ended, the failure follows.
    pub fn step_failed(&self) {
        if self.open_step.take() {
            write_stderr("!\n");
        }
    }

    /// Shows a failure; as JSON if the reader wants that.
    pub fn failure(&self, failure: &Failure) {
        self.step_failed();
        match serde_json::to_string(failure) {
            Ok(text) if self.json => write_stderr(&format!("{text}\n")),
            _ => write_stderr(&super::failure::render(failure, self.stderr_color)),
        }
    }
}

fn write_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
