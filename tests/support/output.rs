//! What a command printed and how it ended, with claims about it.

use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use super::processes;

/// The end of a command.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// The command as typed, for messages.
    pub(crate) command: String,
    /// Its exit code; 128 + n for a signal.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error; of a push without git's `remote: ` and its padding.
    pub(crate) stderr: String,
}

impl Output {
    /// Runs a command to its end; a test whose command is still there at the deadline fails.
    #[track_caller]
    pub(crate) fn of(command: &mut Command, name: &str, deadline: Duration) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.unwrap_or_else(|error| panic!("`{name}` cannot be started: {error}"));
        let (pid, (sender, receiver)) = (child.id(), mpsc::channel());
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        let Ok(output) = receiver.recv_timeout(deadline) else {
            processes::kill_hard(pid);
            panic!("`{name}` was still running after {} s", deadline.as_secs());
        };
        Self::new(name.to_owned(), &output.unwrap_or_else(|error| panic!("`{name}`: {error}")))
    }

    /// Takes over what `std::process` returns.
    pub(crate) fn new(command: String, output: &std::process::Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let signal = output.status.signal().map_or(255, |signal| 128 + signal);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let lines = stderr.split(['\n', '\r']).map(|line| line.strip_prefix("remote: ").unwrap_or(line).trim_end());
        Self {
            command,
            code: output.status.code().unwrap_or(signal),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n"),
        }
    }

    /// Everything that was printed.
    pub(crate) fn text(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// Fails the test unless the command ended with 0.
    #[track_caller]
    pub(crate) fn expect_ok(self) -> Self {
        self.expect_code(0)
    }

    /// Fails the test unless the command ended with this code.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "`{}` ended with {}:\n{}", self.command, self.code, self.text());
        self
    }

    /// Fails the test unless this was printed, on either stream.
    #[track_caller]
    pub(crate) fn expect_text(self, wanted: &str) -> Self {
        assert!(self.text().contains(wanted), "`{}` did not say `{wanted}`:\n{}", self.command, self.text());
        self
    }

    /// Fails the test if this was printed, on either stream.
    #[track_caller]
    pub(crate) fn expect_no_text(self, unwanted: &str) -> Self {
        assert!(!self.text().contains(unwanted), "`{}` said `{unwanted}`:\n{}", self.command, self.text());
        self
    }

    /// A push that git saw through.
    #[track_caller]
    pub(crate) fn expect_accepted(self) -> Self {
        self.expect_ok().expect_no_text("[remote rejected]")
    }

    /// A push that the hook refused, with git's own words for it.
    #[track_caller]
    pub(crate) fn expect_refused(self) -> Self {
        assert_ne!(self.code, 0, "`{}` was accepted:\n{}", self.command, self.text());
        self.expect_text("[remote rejected]").expect_text("(pre-receive hook declined)")
    }

    /// Standard output of a `--json` command.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("`{}` printed no JSON ({error}):\n{}", self.command, self.text()))
    }
}
