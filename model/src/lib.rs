//! The words of paas: types and pure rules.
//!
//! Nothing in here reads a clock, a file or the network, and nothing is async or
//! tied to a wire format. Whoever stores or sends one of these types converts it
//! at its own edge with `FromStr` and `Display`.

pub mod author;
pub mod engine;
mod env;
mod exit;
mod flight;
mod formation;
mod instance;
pub mod limits;
mod names;
mod release;
mod routes;
mod secret;
mod slug;
mod storage;
pub mod text;

pub use env::{ConfigVars, EnvKey};
pub use exit::{ExitStatus, StopReason};
pub use flight::{FlightRecord, Memory, PortHint, ProbeSeen, ThreadsAt};
pub use formation::{Formation, ScaleChange};
pub use instance::{InstanceId, Ordinal, RunId};
pub use names::{AppName, AppNumber, Hostname, ProcessType, RefName};
pub use release::{Cause, ConfigVersion, Release, ReleaseVersion};
pub use routes::{AppRoutes, Pool, RoutedInstance, Traffic};
pub use secret::Secret;
pub use slug::{SlugId, SlugManifest};
pub use storage::{KeptPath, Leaving, Leavings};

/// A word that does not follow its grammar: what was given, and the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The kind of word, for people: `app name`.
    pub noun: &'static str,
    /// What was given, cut to a length that a terminal holds.
    pub given: String,
    /// The rule that it breaks, as a sentence without a full stop.
    pub rule: &'static str,
}

impl Invalid {
    /// Makes the error; `given` is cut and stripped of control characters.
    pub fn new(noun: &'static str, given: &str, rule: &'static str) -> Self {
        Self { noun, given: text::clean(given, limits::SHOWN_INVALID_CHARS_MAX), rule }
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` is not a valid {}: {}", self.given, self.noun, self.rule)
    }
}

impl std::error::Error for Invalid {}
