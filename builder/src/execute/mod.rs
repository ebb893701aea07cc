//! Running a plan's commands: their lines as events, nothing silent for long, nothing
//! for ever.

mod command;
mod lines;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::environment::Mask;
use crate::plan::{EnvValue, Stage};
use crate::protocol::BuildEvent;
use crate::{Problem, limits};

/// Where events go.
pub type Emit<'a> = &'a mut dyn FnMut(BuildEvent);

/// How long a build may take and be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// Without a byte of output.
    pub silence: Duration,
    /// In all.
    pub total: Duration,
    /// Until the author is told that a step still goes on.
    pub heartbeat: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self { silence: limits::SILENCE_MAX, total: limits::BUILD_MAX, heartbeat: limits::HEARTBEAT }
    }
}

/// A stage that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// A program cannot be started.
    #[error("`{program}` cannot be started")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A command failed.
    #[error("{doing} failed: `{command}` {how}")]
    Failed {
        /// What the stage was doing.
        doing: String,
        /// The command as typed.
        command: String,
        /// `exited 1`.
        how: String,
        /// Why and how to fix it, if its output told.
        hint: Option<Box<crate::plan::Hint>>,
        /// The last line that it printed.
        last_line: Option<String>,
    },
    /// Nothing was printed for too long.
    #[error("{doing} was ended: it printed nothing for {}", model::text::milliseconds(*silent_ms))]
    Silent {
        /// What the stage was doing.
        doing: String,
        /// How long it was silent, in milliseconds.
        silent_ms: u64,
    },
    /// It took too long in all.
    #[error("{doing} was ended: it took longer than {}", model::text::milliseconds(*limit_ms))]
    TooLong {
        /// What the stage was doing.
        doing: String,
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
}

impl ExecuteError {
    /// As its author reads it.
    pub fn problem(&self) -> Problem {
        let what = self.to_string();
        match self {
            Self::Start { .. } => Problem::system("build.cannot_start", what, self),
            Self::Failed { hint: Some(hint), .. } => Problem::new("build.command_failed", what).why(hint.why.clone()).fix(hint.fix.clone()),
            Self::Failed { last_line, .. } => {
                let problem = Problem::new("build.command_failed", what).fix("read the lines above; nothing was deployed");
                Problem { why: last_line.clone(), ..problem }
            }
            Self::Silent { .. } => Problem::new("build.silent", what)
                .why("a command that waits for an answer or for the network prints nothing")
                .fix("let it print what it does, or make it give up sooner"),
            Self::TooLong { .. } => Problem::new("build.too_long", what).fix("do less while building"),
        }
    }
}

/// Runs stages one after the other.
pub struct Executor<'a> {
    app: &'a Path,
    cache: &'a Path,
    environment: BTreeMap<String, String>,
    mask: Mask,
    limits: TimeLimits,
    deadline: Instant,
    lines_left: u64,
}

impl<'a> Executor<'a> {
    /// Commands run in `app`; cache folders are made below `cache`.
    pub(crate) fn new(app: &'a Path, cache: &'a Path, environment: BTreeMap<String, String>, mask: Mask, limits: TimeLimits) -> Self {
        let lines_left = limits::OUTPUT_LINES_MAX;
        Self { app, cache, environment, mask, limits, deadline: Instant::now() + limits.total, lines_left }
    }

    /// The same without secrets to hide.
    pub fn unmasked(app: &'a Path, cache: &'a Path, environment: BTreeMap<String, String>, limits: TimeLimits) -> Self {
        Self::new(app, cache, environment, Mask::default(), limits)
    }

    /// Runs one stage.
    pub fn stage(&mut self, stage: &Stage, emit: Emit<'_>) -> Result<(), ExecuteError> {
        for command in &stage.commands {
            let mut environment = self.environment.clone();
            for (name, value) in &command.env {
                environment.insert(name.clone(), self.value(value)?);
            }
            let started = command::Started::start(command, &environment, self.app)?;
            let watch = command::Watch { doing: &stage.doing, deadline: self.deadline, times: self.limits, mask: &self.mask };
            started.watch(&watch, command, &mut self.lines_left, emit)?;
        }
        Ok(())
    }

    fn value(&self, value: &EnvValue) -> Result<String, ExecuteError> {
        match value {
            EnvValue::Text(text) => Ok(text.clone()),
            EnvValue::CacheFolder(name) => {
                let folder = self.cache.join(name);
                let made = std::fs::create_dir_all(&folder);
                made.map_err(|source| ExecuteError::Start { program: folder.display().to_string(), source })?;
                Ok(folder.display().to_string())
            }
        }
    }
}
