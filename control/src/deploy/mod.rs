//! From a commit to a release that serves: build, candidate, switch. Whatever fails on
//! the way leaves a record and changes nothing else.
//!
//! ```text
//! deploy ─▶ begin_build ─▶ [ build ─▶ insert_slug ─▶ candidate ─▶ switch ] ─▶ finish_build
//!    │                        └ a task of its own, ended by cancel alone ┘
//!    └ dropped: cancels, and the record is closed all the same
//! ```

mod job;
mod recorder;
mod switch;

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use api::{Failure, Kind};
use model::ReleaseVersion;
use model::text::bytes;

use crate::app::AppHandle;
use crate::control::Control;
use crate::limits::BUILD_FREE_BYTES_MIN;
use crate::seams::{Cancel, Lines, failure_lines};
use crate::store::{BuildEnd, BuildFailure, BuildState, EventCode, NewEvent};
use crate::turns::{RaiseOnDrop, Turn, Underway, joined};
use job::Job;
use recorder::Recorder;
pub(crate) use switch::{Switch, refused_change};

/// What to deploy.
#[derive(Debug)]
pub struct DeployRequest {
    /// Who wants it.
    pub actor: String,
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
    /// `builds:rebuild`: without caches, and said so in the release.
    pub rebuild: bool,
    /// Stop after the plan.
    pub dry_run: bool,
    /// `git push -o accept-5xx`: it may answer 5xx where the release before did not.
    pub accept_5xx: bool,
    /// Where progress goes.
    pub lines: Lines,
    /// Raised when nobody wants it any more.
    pub cancel: Cancel,
    /// Why it was cancelled, if the reason is another than "somebody asked".
    pub reason: Arc<OnceLock<Failure>>,
    /// The app's turn, from [`Control::turn`].
    pub turn: Turn,
}

/// What was deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// The new release.
    pub version: ReleaseVersion,
    /// Its commit.
    pub commit: String,
}

impl Control {
    /// Builds `source` and switches to it. `Ok(None)` is a dry run. Dropping the future
    /// cancels the deploy; its record is closed in any case.
    pub async fn deploy(self: &Arc<Self>, app: &AppHandle, request: DeployRequest, source: OwnedFd) -> Result<Option<Deployed>, Failure> {
        let underway = self.begin_work(app.identity.number, request.turn.clone());
        let _dropped = RaiseOnDrop(underway.raiser());
        let (control, app) = (self.clone(), app.clone());
        let task = tokio::spawn(async move {
            let caller = request.cancel.clone();
            let recorded = control.deploy_recorded(&app, &request, source, &underway);
            underway.while_wanted(caller, recorded).await
        });
        joined(task.await)
    }

    async fn deploy_recorded(
        self: &Arc<Self>,
        app: &AppHandle,
        request: &DeployRequest,
        source: OwnedFd,
        underway: &Underway,
    ) -> Result<Option<Deployed>, Failure> {
        let number = app.identity.number;
        let short = request.commit.get(..7).unwrap_or_default();
        let event = self.event_of(&request.actor, EventCode::BuildStarted, format!("build of {short} started"));
        let build = self.services.store.begin_build(number, request.commit.clone(), event).await?;
        underway.is_build(build);
        let recorder = Recorder::start(self.services.store.clone(), number, build, request.lines.clone());
        let (result, refused) = match self.check_space() {
            Ok(()) => {
                let job = Job::new(self.clone(), app.clone(), request, build, recorder.lines(), recorder.stage(), underway.cancel());
                // A task of its own: a panic in it still closes the record.
                (joined(tokio::spawn(job.run(source)).await), false)
            }
            Err(failure) => (Err(failure), true),
        };
        let result = result.map_err(|failure| request.reason.get().cloned().unwrap_or(failure));
        recorder.end(result.as_ref().err().map(failure_lines).unwrap_or_default()).await;
        let cancelled = underway.is_raised() && request.reason.get().is_none();
        let (end, code, text) = outcome(build, &result, cancelled, refused);
        let event = self.event_of(&request.actor, code, text);
        // What serves is decided: a record that cannot be written must not turn it around.
        if let Err(error) = self.services.store.finish_build(number, build, end, event).await {
            tracing::error!(%error, build, "the end of a build is not stored");
        }
        self.collect_garbage().await;
        result
    }

    /// A push that is refused before anything was built leaves a record too.
    pub async fn refuse_push(&self, app: &AppHandle, actor: &str, commit: &str, failure: &Failure) {
        let number = app.identity.number;
        let store = &self.services.store;
        let short = commit.get(..7).unwrap_or_default();
        let written = async {
            let event = self.event_of(actor, EventCode::BuildStarted, format!("push of {short} arrived"));
            let build = store.begin_build(number, commit.to_owned(), event).await?;
            store.append_build_lines(number, build, failure_lines(failure)).await?;
            let (end, code, text) = outcome(build, &Err(failure.clone()), false, true);
            store.finish_build(number, build, end, self.event_of(actor, code, text)).await
        };
        if let Err(error) = written.await {
            tracing::error!(%error, "the record of a refused push is not stored");
        }
    }

    fn check_space(&self) -> Result<(), Failure> {
        let (free, total) = self.services.builders.disk_bytes()?;
        if free >= BUILD_FREE_BYTES_MIN {
            return Ok(());
        }
        let what = format!("the disk is too full to build: {} free of {}", bytes(free), bytes(total));
        Err(Failure::new(Kind::Host, "disk.full", what)
            .why(format!("a build needs at least {}", bytes(BUILD_FREE_BYTES_MIN)))
            .fix("remove what is not needed any more: `paas builds:cache purge`, `paas apps:destroy` of old apps; then push again"))
    }

    pub(crate) fn event_of(&self, actor: &str, code: EventCode, text: String) -> NewEvent {
        NewEvent::new(self.services.now_unix_ms(), actor, code, text)
    }
}

/// How a build ended, and the event that says so.
fn outcome(build: u32, result: &Result<Option<Deployed>, Failure>, cancelled: bool, refused: bool) -> (BuildEnd, EventCode, String) {
    let (state, code, text) = match result {
        Ok(Some(deployed)) => (BuildState::Succeeded, EventCode::BuildSucceeded, format!("build {build} is {}", deployed.version)),
        // git shows it as rejected, and so does the list of builds.
        Ok(None) => (BuildState::Refused, EventCode::BuildRefused, format!("build {build} was a dry run")),
        Err(failure) if refused => (BuildState::Refused, EventCode::BuildRefused, format!("build {build} was refused: {}", failure.what)),
        Err(_) if cancelled => (BuildState::Cancelled, EventCode::BuildCancelled, format!("build {build} was cancelled")),
        Err(failure) => (BuildState::Failed, EventCode::BuildFailed, format!("build {build} failed: {}", failure.what)),
    };
    let failure = match result {
        Ok(Some(_)) => None,
        Ok(None) => Some(BuildFailure { code: "push.dry_run".to_owned(), what: "a dry run: nothing was built".to_owned() }),
        Err(failure) => Some(BuildFailure { code: failure.code.clone(), what: failure.what.clone() }),
    };
    let version = result.as_ref().ok().and_then(|deployed| deployed.as_ref().map(|d| d.version));
    (BuildEnd { state, failure, version }, code, text)
}
