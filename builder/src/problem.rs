//! What goes wrong in a build, as its author reads it: what, why, how to fix.

use serde::{Deserialize, Serialize};

/// A failure that the author can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable code for scripts: `build.unknown_language`.
    pub code: Box<str>,
    /// What happened, one sentence without a full stop.
    pub what: String,
    /// Why, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How to fix it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The file that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Box<str>>,
    /// The line in it, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column in it, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl Problem {
    /// How to fix a full disk.
    pub const MAKE_ROOM: &str = "make room: `paas builds:cache purge`, `paas apps:destroy` of old apps; `paas status` shows what is free";

    /// A problem with what happened alone.
    pub fn new(code: &str, what: impl Into<String>) -> Self {
        Self { code: code.into(), what: what.into(), why: None, fix: None, file: None, line: None, column: None }
    }

    /// Adds why.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Adds how to fix it.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Adds the file that it is about.
    #[must_use]
    pub fn file(mut self, file: impl Into<Box<str>>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Adds the place in the file, both counted from 1; 0 leaves it out.
    #[must_use]
    pub fn at(mut self, line: usize, column: usize) -> Self {
        self.line = u32::try_from(line).ok().filter(|n| *n > 0);
        self.column = u32::try_from(column).ok().filter(|n| *n > 0);
        self
    }

    /// A failure of the machine or of paas, with the chain of errors as its reason.
    pub fn system(code: &str, what: impl Into<String>, error: &dyn std::error::Error) -> Self {
        let mut chain = error.to_string();
        let mut next = error.source();
        while let Some(source) = next {
            chain = format!("{chain}: {source}");
            next = source.source();
        }
        Self::new(code, what).why(chain)
    }
}

impl From<&model::author::ProcfileError> for Problem {
    fn from(error: &model::author::ProcfileError) -> Self {
        let place = if error.line == 0 { "Procfile".to_owned() } else { format!("Procfile:{}:{}", error.line, error.column) };
        let mut problem = Self::new("procfile.invalid", format!("{place}: {}", error.what))
            .fix(error.fix.clone())
            .file("Procfile")
            .at(error.line, error.column);
        if error.line > 0 {
            let caret = " ".repeat(error.column.saturating_sub(1));
            problem = problem.why(format!("{}\n{caret}^", error.source_line));
        }
        problem
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Problem {}
