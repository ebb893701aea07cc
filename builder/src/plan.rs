//! What a buildpack decides: a plan, before anything is run.
//!
//! A buildpack is a pure function from a source tree and the toolchains of the host
//! to a plan; one executor runs any plan. So `git push -o dry-run` shows it, and
//! tests cover many trees in a second.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use crate::toolchains::Toolchains;
use crate::{Problem, SourceTree};

/// One language.
pub trait Buildpack: Sync {
    /// Its name in commands and caches: `python`.
    fn name(&self) -> &'static str;

    /// What it looks for, for the message about an unknown language.
    fn looks_for(&self) -> &'static str;

    /// Whether it takes anything that no language took.
    fn is_fallback(&self) -> bool {
        false
    }

    /// The plan, or `None` if this is not its language. An error means that it is its
    /// language and that it cannot be built.
    fn detect(&self, tree: &dyn SourceTree, context: &PlanContext<'_>) -> Result<Option<BuildPlan>, PlanError>;
}

/// What a plan may depend on besides the source.
#[derive(Clone, Copy)]
pub struct PlanContext<'a> {
    /// Interpreters of the host.
    pub toolchains: &'a dyn Toolchains,
    /// The app's config vars; some are switches of buildpacks.
    pub config: &'a BTreeMap<String, String>,
}

/// A tree that a buildpack knows and cannot build.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The author can fix it.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// A file cannot be read.
    #[error("the source cannot be read")]
    Read(#[from] io::Error),
}

impl From<Problem> for PlanError {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl PlanError {
    /// As its author reads it.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Problem(problem) => (**problem).clone(),
            Self::Read(error) => Problem::system("plan.unreadable", "the source cannot be read", error)
                .fix("keep Procfile, requirements.txt and package.json below 1 MB and lockfiles below 64 MB"),
        }
    }
}

/// Everything that a build will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildPlan {
    /// Name of the buildpack.
    pub buildpack: String,
    /// For people: `Python`.
    pub language: String,
    /// Why it matched: `requirements.txt`.
    pub reason: String,
    /// Lines about what was resolved: `Using Python 3.11.7 (.python-version)`.
    pub steps: Vec<String>,
    /// Lines about what is odd.
    pub warnings: Vec<String>,
    /// Interpreter and version: `Python 3.11.7`.
    pub interpreter: Option<String>,
    /// What is run, in order.
    pub stages: Vec<Stage>,
    /// What is kept from build to build.
    pub caches: Vec<CachePlan>,
    /// Environment defaults while building and running, below config vars.
    pub env: BTreeMap<String, String>,
    /// Folders put before `PATH`; relative ones are below the app.
    pub path: Vec<String>,
    /// Commands of process types where there is no Procfile.
    pub default_commands: BTreeMap<String, String>,
    /// What to do where neither a Procfile nor a default command says what to start.
    pub start_hint: String,
    /// Folders of the host outside `/usr` that it needs when it runs.
    pub host_paths: Vec<String>,
    /// The app has a PostgreSQL driver among its dependencies.
    pub needs_postgresql: bool,
}

impl BuildPlan {
    /// An empty plan.
    pub fn new(buildpack: &str, language: &str, reason: impl Into<String>) -> Self {
        Self {
            buildpack: buildpack.to_owned(),
            language: language.to_owned(),
            reason: reason.into(),
            steps: Vec::new(),
            warnings: Vec::new(),
            interpreter: None,
            stages: Vec::new(),
            caches: Vec::new(),
            env: BTreeMap::new(),
            path: Vec::new(),
            default_commands: BTreeMap::new(),
            start_hint: "add a Procfile with a line such as `web: COMMAND`".to_owned(),
            host_paths: Vec::new(),
            needs_postgresql: false,
        }
    }
}

/// A part of a build with a title of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// `Installing dependencies (pip install -r requirements.txt)`.
    pub title: String,
    /// The same as an activity, for the heartbeat: `installing dependencies`.
    pub doing: String,
    /// Commands, in order.
    pub commands: Vec<BuildCommand>,
    /// Name of the cache whose hit makes this stage unnecessary.
    pub cache: Option<String>,
}

impl Stage {
    /// A stage that always runs.
    pub fn new(title: impl Into<String>, doing: &str, commands: Vec<BuildCommand>) -> Self {
        Self { title: title.into(), doing: doing.to_owned(), commands, cache: None }
    }
}

/// One command of a stage. It runs in the app's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildCommand {
    /// Program and arguments; a relative program with a slash is below the app.
    pub argv: Vec<String>,
    /// More environment; it wins over the plan's.
    pub env: BTreeMap<String, EnvValue>,
    /// Going on although it failed is right.
    pub may_fail: bool,
    /// What known failures mean.
    pub hints: Vec<Hint>,
}

impl BuildCommand {
    /// A command that must succeed.
    pub fn new<A: Into<String>>(argv: impl IntoIterator<Item = A>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), env: BTreeMap::new(), may_fail: false, hints: Vec::new() }
    }

    /// Adds one environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: EnvValue) -> Self {
        self.env.insert(name.to_owned(), value);
        self
    }

    /// Adds what known failures mean.
    #[must_use]
    pub fn hints(mut self, hints: Vec<Hint>) -> Self {
        self.hints = hints;
        self
    }
}

/// A value that may depend on where the build runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// As it is.
    Text(String),
    /// A folder of this name below the app's cache.
    CacheFolder(String),
}

/// A text in a failed command's output, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// What the output holds.
    pub contains: String,
    /// Why it failed.
    pub why: String,
    /// How to fix it.
    pub fix: String,
}

impl Hint {
    /// A hint.
    pub fn new(contains: &str, why: &str, fix: &str) -> Self {
        Self { contains: contains.to_owned(), why: why.to_owned(), fix: fix.to_owned() }
    }
}

/// Something that is kept from build to build as long as its key stays the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePlan {
    /// Its name, also that of its file: `python`.
    pub name: String,
    /// What it holds, for people: `dependencies`.
    pub what: String,
    /// Everything that its content depends on.
    pub key: Vec<KeyPart>,
    /// Folders below the app that it holds.
    pub paths: Vec<String>,
    /// How a hit is used.
    pub restore: Restore,
}

/// How a cache comes into the slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restore {
    /// Nothing after its stage needs or changes its folders: on a hit the packed
    /// bytes become part of the slug without being unpacked.
    Packed,
    /// Later stages only read its folders: they are unpacked for them on a hit, and the
    /// packed bytes still become part of the slug.
    Read,
    /// Later stages change its folders: they are unpacked on a hit and packed anew.
    Unpacked,
}

/// One thing that a cache depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPart {
    /// For people: `requirements.txt`, `Python`.
    pub name: String,
    /// A hash or a version.
    pub value: String,
    /// Whether people can read the value.
    pub readable: bool,
}

impl KeyPart {
    /// A part whose value is a hash of this content.
    pub fn content(name: &str, content: &[u8]) -> Self {
        Self { name: name.to_owned(), value: crate::hash::hex(content), readable: false }
    }

    /// A part that people can read: a version.
    pub fn version(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.into(), readable: true }
    }
}
