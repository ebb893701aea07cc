//! What an app's author says in `app.json`: checks, first formation, deploy scripts. The
//! format is Heroku's and, for `healthchecks`, Dokku's.

use std::collections::BTreeMap;
use std::fmt;

use crate::ProcessType;

mod check;
mod wire;

/// The parts of an `app.json` that matter once the app is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppJson {
    /// Checks by process type, in the author's order.
    pub checks: BTreeMap<ProcessType, Vec<HealthCheck>>,
    /// How many of each to start with, while nobody has scaled them.
    pub formation: BTreeMap<ProcessType, u32>,
    /// Runs before the new release takes traffic, after the release phase.
    pub predeploy: Option<String>,
    /// Runs each time a new release serves (Dokku's); its failure is only told.
    pub postdeploy: Option<String>,
    /// Runs when the app's first release serves, and never again (Heroku's, where it
    /// often fills an empty database); its failure is only told.
    pub first_postdeploy: Option<String>,
}

/// What a failing check leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckKind {
    /// The instance is not up before it passed; it ends the start when it failed.
    Startup,
    /// No traffic while it fails.
    Readiness,
    /// A restart when it failed.
    Liveness,
}

impl CheckKind {
    /// Its word in `app.json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
        }
    }
}

/// How a check is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckAction {
    /// A request; `path`.
    Http {
        /// Begins with `/`.
        path: String,
        /// Status codes that pass; empty: 200 to 399.
        statuses: Vec<u16>,
        /// Must be found in the first 64 KiB of the body.
        content: Option<String>,
        /// More header lines; a `Host` among them replaces the app's own.
        headers: Vec<(String, String)>,
    },
    /// A connection is accepted; `listening`.
    Tcp,
    /// Words, run inside the instance's sandbox; passes if they end with 0.
    Command(Vec<String>),
    /// The instance has been running for so many seconds.
    Uptime(u32),
}

/// One check of one process type, exactly as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The author's name for it, if there is one.
    pub name: Option<String>,
    /// What its failure leads to.
    pub kind: CheckKind,
    /// How it is made.
    pub action: CheckAction,
    /// The port, if it is another than `$PORT`.
    pub port: Option<u16>,
    /// Failures in a row that count as failed.
    pub attempts: u32,
    /// Time for one try, in seconds.
    pub timeout_s: u32,
    /// From the end of one try to the next, in seconds.
    pub wait_s: u32,
    /// From the start of the instance to the first try, in seconds.
    pub initial_delay_s: u32,
    /// Its failure is only told.
    pub warn: bool,
}

impl fmt::Display for HealthCheck {
    /// For people: its name, else what it does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.action) {
            (Some(name), _) => f.write_str(name),
            (None, CheckAction::Http { path, .. }) => write!(f, "GET {path}"),
            (None, CheckAction::Tcp) => f.write_str("listening"),
            (None, CheckAction::Command(words)) => write!(f, "`{}`", words.join(" ")),
            (None, CheckAction::Uptime(seconds)) => write!(f, "up for {seconds} s"),
        }
    }
}

/// An `app.json` that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppJsonError {
    /// Line, counted from 1; 0 when the place is named or the whole file is meant.
    pub line: usize,
    /// Column, counted from 1.
    pub column: usize,
    /// The key that it is about: `healthchecks.web[0].path`; empty for the whole file.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// How to fix it.
    pub fix: String,
}

impl fmt::Display for AppJsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.place.as_str()) {
            (0, "") => write!(f, "app.json: {}", self.what),
            (0, place) => write!(f, "app.json: {place}: {}", self.what),
            (line, _) => write!(f, "app.json:{line}:{}: {}", self.column, self.what),
        }
    }
}

impl std::error::Error for AppJsonError {}

impl AppJsonError {
    fn whole(what: &str, fix: &str) -> Self {
        Self::at(String::new(), what, fix)
    }

    fn at(place: String, what: &str, fix: &str) -> Self {
        Self { line: 0, column: 0, place, what: crate::text::clean(what, 200), fix: fix.to_owned() }
    }

    fn syntax(error: &serde_json::Error) -> Self {
        let what = error.to_string();
        // The place is told by itself.
        let what = what.split(" at line ").next().unwrap_or_default();
        let fix = "it is no JSON: mind commas and quotes (`python3 -m json.tool app.json` finds them too)";
        Self { line: error.line(), column: error.column(), ..Self::whole(what, fix) }
    }
}

impl AppJson {
    /// Reads the bytes of an `app.json`; returns with it what is odd and was understood.
    ///
    /// ```
    /// let text = br#"{"healthchecks": {"web": [{"type": "liveness", "path": "/healthz"}]}}"#;
    /// let (app, warnings) = model::author::AppJson::parse(text).unwrap();
    /// assert_eq!((app.checks.len(), warnings.len()), (1, 0));
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<(Self, Vec<String>), AppJsonError> {
        wire::parse(bytes)
    }

    /// The same as text, in a form that depends on the values alone.
    pub fn to_json(&self) -> String {
        wire::write(self)
    }

    /// The checks of a process type that lead to `kind`.
    pub fn checks_of(&self, process_type: &ProcessType, kind: CheckKind) -> impl Iterator<Item = &HealthCheck> {
        self.checks.get(process_type).into_iter().flatten().filter(move |check| check.kind == kind)
    }
}

#[cfg(test)]
#[path = "app_json_tests.rs"]
mod tests;
