//! A failure as people read it: what, why and how to fix, with a stable code.

use serde::{Deserialize, Serialize};

/// Kinds of failure; each has its exit code. docs/errors.md lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What was asked for was tried and did not work: a build, a deploy, a check.
    Failed,
    /// The words make no sense: a bad name, a missing argument.
    Usage,
    /// There is no such app, release, instance (or it may not be seen).
    NotFound,
    /// Not allowed, or not in this state: a taken name, a missing confirmation.
    Refused,
    /// The server cannot be reached or is busy: try again.
    Unavailable,
    /// This machine lacks something: space, a tool, a permission.
    Host,
    /// A bug of paas.
    Internal,
}

impl Kind {
    /// The exit code of the command line. Stable.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Refused => 4,
            Self::Unavailable => 5,
            Self::Host => 6,
            Self::Internal => 70,
        }
    }
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its kind.
    pub kind: Kind,
    /// A stable code for scripts: `app.not_found`.
    pub code: String,
    /// What happened, one sentence without a full stop.
    pub what: String,
    /// Why, if that is known and not plain from `what`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How to fix it: a command or an instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The chain of errors below it, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
}

impl Failure {
    /// A failure with what happened alone.
    pub fn new(kind: Kind, code: &str, what: impl Into<String>) -> Self {
        Self { kind, code: code.to_owned(), what: what.into(), why: None, fix: None, causes: Vec::new() }
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

    /// Adds an error and everything below it.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// A bug of paas, told as such.
    pub fn internal(what: impl Into<String>, error: &dyn std::error::Error) -> Self {
        Self::new(Kind::Internal, "internal", what).fix("this is a bug of paas: please report it with the lines above").caused_by(error)
    }

    /// No such app, said in the same words to whoever may not see it.
    pub fn no_such_app(name: &str) -> Self {
        Self::new(Kind::NotFound, "app.not_found", format!("no such app: {name}"))
            .fix("list the apps with `paas apps`, make one with `paas apps:create NAME`")
    }
}

impl From<model::Invalid> for Failure {
    fn from(invalid: model::Invalid) -> Self {
        let code = format!("invalid.{}", invalid.noun.replace(' ', "_"));
        Self::new(Kind::Usage, &code, format!("`{}` is not a valid {}", invalid.given, invalid.noun)).why(invalid.rule)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}
