//! One task per app: it alone decides what runs of it, so nothing has to be locked.
//!
//! ```text
//! perform, deploy ──AppCommand──▶ task ──AppTarget──▶ engine
//!                                   ▲  └──AppRoutes──▶ front door
//!                                   └──── AppObserved ──┘
//! ```

mod overlap;
pub(crate) mod phases;
mod restarts;
mod routing;
mod switching;
mod target;
mod task;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Failure, Kind};
use model::engine::{AppObserved, ReleaseMode};
use model::{AppName, AppNumber, ConfigVars, Formation, Hostname, KeptPath, ProcessType, Release, ReleaseVersion, SlugManifest};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::limits::APP_MAILBOX_COMMANDS_MAX;
use crate::seams::Lines;
use crate::services::Services;
use crate::store::{TypeSettings, Undone};

/// What stays the same while an app lives under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppIdentity {
    /// Its name.
    pub name: AppName,
    /// Its number.
    pub number: AppNumber,
    /// Its lasting port.
    pub port: u16,
    /// Host names that lead to it; the first is its default name.
    pub hosts: Vec<Hostname>,
}

/// A release with everything it needs to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnableRelease {
    /// The release.
    pub release: Release,
    /// What its slug says of itself.
    pub manifest: SlugManifest,
    /// Its config vars.
    pub config: ConfigVars,
}

/// A switch that is asked for.
#[derive(Debug)]
pub struct SwitchRequest {
    /// Where to.
    pub runnable: RunnableRelease,
    /// How many of each it should run.
    pub formation: Formation,
    /// Values of add-ons, looked up just now.
    pub addon_env: ConfigVars,
    /// Whether the `release:` line and `predeploy` run first.
    pub release_phase: bool,
    /// Whether it may answer 5xx where the release before did not.
    pub accept_5xx: bool,
    /// The release that it undoes.
    pub undo: Option<Undone>,
    /// Where progress goes.
    pub lines: Lines,
    /// Holds why, once nobody wants it any more.
    pub cancel: watch::Receiver<Option<String>>,
    /// What came of it.
    pub reply: oneshot::Sender<Result<(), Failure>>,
}

/// What the task is asked.
#[derive(Debug)]
pub enum AppCommand {
    /// Switch to a candidate.
    Switch(Box<SwitchRequest>),
    /// Restart these instances; answers with their names.
    Restart(Option<String>, oneshot::Sender<Result<Vec<String>, Failure>>),
    /// Stop everything, take the routes away, answer when nothing is left, and end.
    Close(oneshot::Sender<()>),
    /// Something about a release that people should see as long as it serves.
    Note(ReleaseVersion, String),
    /// From the task's own helper: a phase ended.
    PhaseEnded(ReleaseVersion, Result<(), String>),
}

/// What others may look at.
#[derive(Debug, Clone, Default)]
pub struct AppView {
    /// The release that serves.
    pub current: Option<ReleaseVersion>,
    /// Commands of the current release.
    pub commands: BTreeMap<ProcessType, String>,
    /// The scale.
    pub formation: Formation,
    /// `ps:stop` was asked.
    pub stopped: bool,
    /// Modes of the releases in play.
    pub modes: BTreeMap<ReleaseVersion, ReleaseMode>,
    /// The instances.
    pub observed: AppObserved,
    /// Why nothing of it runs though it should.
    pub trouble: Option<String>,
    /// What people should know of its last releases.
    pub note: Option<String>,
}

/// How others reach the task.
#[derive(Debug, Clone)]
pub struct AppHandle {
    /// Who it is about.
    pub identity: AppIdentity,
    commands: mpsc::Sender<AppCommand>,
    reload: Arc<Notify>,
    /// What it looks like now.
    pub view: watch::Receiver<AppView>,
    /// Held from the start of a build to the end of its switch: one at a time per app.
    pub deploying: Arc<tokio::sync::Mutex<()>>,
    /// Read while git runs for a push, written by whoever removes something of its repository.
    pub(crate) pushing: Arc<tokio::sync::RwLock<()>>,
}

/// With what a task starts.
#[derive(Debug)]
pub struct AppStart {
    /// Who.
    pub identity: AppIdentity,
    /// What serves, if anything does.
    pub current: Option<RunnableRelease>,
    /// The scale.
    pub formation: Formation,
    /// `ps:stop` was asked.
    pub stopped: bool,
    /// Values of add-ons.
    pub addon_env: ConfigVars,
    /// What people set for its process types.
    pub settings: BTreeMap<ProcessType, TypeSettings>,
    /// What of `/app` lasts.
    pub kept: Vec<KeptPath>,
    /// What is found running was started before: do not tell it again.
    pub adopting: bool,
    /// Why nothing of it runs though it should.
    pub trouble: Option<String>,
    /// What people should know of its last releases.
    pub note: Option<String>,
}

impl AppHandle {
    /// Starts the task of an app.
    pub fn start(services: &Arc<Services>, start: AppStart) -> Self {
        let (commands, mailbox) = mpsc::channel(APP_MAILBOX_COMMANDS_MAX);
        let identity = start.identity.clone();
        let reload = Arc::new(Notify::new());
        let task = task::AppTask::new(services.clone(), start, commands.clone());
        let view = task.view();
        services.spawn_critical("app task", task.run(mailbox, reload.clone()));
        Self { identity, commands, reload, view, deploying: Arc::default(), pushing: Arc::default() }
    }

    /// Starts the task of the same app anew, when its own has ended. Git of a push that
    /// came to the old one may still be in the repository.
    pub(crate) fn succeeded_by(&self, services: &Arc<Services>, start: AppStart) -> Self {
        Self { pushing: self.pushing.clone(), ..Self::start(services, start) }
    }

    /// The stored scale, or whether it is stopped, has changed: the task reads both again.
    /// Never lost, however busy it is.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Whether the app still goes by this handle: not destroyed, not renamed.
    pub fn check_open(&self) -> Result<(), Failure> {
        if self.commands.is_closed() { Err(gone(&self.identity.name)) } else { Ok(()) }
    }

    /// Switches to a candidate and waits for what came of it.
    pub async fn switch(&self, request: impl FnOnce(oneshot::Sender<Result<(), Failure>>) -> SwitchRequest) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(AppCommand::Switch(Box::new(request(reply))))?;
        answer.await.unwrap_or_else(|_| Err(gone(&self.identity.name)))
    }

    /// Restarts instances and returns their names.
    pub async fn restart(&self, what: Option<String>) -> Result<Vec<String>, Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(AppCommand::Restart(what, reply))?;
        answer.await.unwrap_or_else(|_| Err(gone(&self.identity.name)))
    }

    /// Shows `text` as long as `version` serves. Lost if the task is busy or gone.
    pub(crate) fn note(&self, version: ReleaseVersion, text: String) {
        if let Err(failure) = self.send(AppCommand::Note(version, text)) {
            tracing::warn!(app = %self.identity.name, %failure, "a note on a release is lost");
        }
    }

    /// Stops everything of it and ends the task.
    pub async fn close(&self) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(AppCommand::Close(reply))?;
        answer.await.map_err(|_| gone(&self.identity.name))
    }

    /// Sends a command; a full mailbox is an answer, not a wait.
    fn send(&self, command: AppCommand) -> Result<(), Failure> {
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Closed(_) => gone(&self.identity.name),
            mpsc::error::TrySendError::Full(_) => {
                Failure::new(Kind::Unavailable, "app.busy", format!("{} is busy", self.identity.name)).fix("try again in a moment")
            }
        })
    }
}

fn gone(name: &AppName) -> Failure {
    Failure::new(Kind::Unavailable, "app.gone", format!("{name} went away meanwhile")).fix("look with `paas apps`")
}
