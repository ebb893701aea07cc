//! A run of the platform that is always there: the router, PostgreSQL. The one of an
//! earlier server is adopted; whichever ends is replaced.
//!
//! ```text
//! look for one that lives ─▶ adopt | start ─▶ Up ─▶ it ends ─▶ Down ─▶ pause ─▶ look …
//! ```
//! Looking comes before every start, since launch can die between starting a run and
//! saying so, and two of a kind would work on the same files.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use api::{Failure, Kind};
use control::seams::BoxFuture;
use model::AppNumber;
use runner::runs::{Adopted, LiveRun, RunRequest, Runs};
use tokio::sync::watch;

use super::internal_run::{end_within, not_started};
use super::{end_server, spawn_critical};

/// Pauses between starts of something that keeps ending.
const RESTART_PAUSES: [Duration; 4] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
/// What lived this long starts its pauses anew.
const HEALTHY_AFTER: Duration = Duration::from_mins(1);
/// The file in a run's folder that says with which setting it was started.
const SETTING_FILE: &str = "setting";

/// What is kept.
pub trait Platform: Send + Sync + 'static {
    /// How its run folders begin: `router`.
    fn kind(&self) -> &'static str;
    /// Its name for people.
    fn name(&self) -> &'static str;
    /// One that was started with another setting is replaced, not adopted.
    fn setting(&self) -> String;
    /// How long it may take to stop.
    fn grace(&self) -> Duration;
    /// How it is started in this run folder.
    fn order(&self, folder: String) -> BoxFuture<'_, Result<RunRequest, Failure>>;
}

/// How it is.
#[derive(Debug, Clone)]
pub enum State {
    /// Being looked for or started for the first time.
    Starting,
    /// It runs.
    Up(LiveRun),
    /// It ended or cannot be started, and will be tried again.
    Down(Failure),
    /// It was stopped for good.
    Stopped,
}

/// Keeps one thing running.
pub struct Keeper {
    platform: Box<dyn Platform>,
    runs: Runs,
    root: PathBuf,
    born_unix_ms: i64,
    next: AtomicU64,
    begun: AtomicBool,
    stop: watch::Sender<bool>,
    state: watch::Sender<State>,
}

impl Keeper {
    /// Keeps nothing yet. `born_unix_ms` tells this server's runs from those of earlier ones.
    pub fn new(platform: Box<dyn Platform>, runs: Runs, root: PathBuf, born_unix_ms: i64) -> Arc<Self> {
        Arc::new(Self {
            platform,
            runs,
            root,
            born_unix_ms,
            next: AtomicU64::new(0),
            begun: AtomicBool::new(false),
            stop: watch::Sender::new(false),
            state: watch::Sender::new(State::Starting),
        })
    }

    /// From now on there is one. Can be called again.
    pub fn begin(self: &Arc<Self>) {
        if !self.begun.swap(true, Ordering::SeqCst) {
            spawn_critical(self.platform.kind(), self.clone().keep(), end_server);
        }
    }

    /// Whether it was ever asked for.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// How it is, at each change.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Waits for the first start to have worked or not.
    pub async fn first(&self) -> Result<(), Failure> {
        let mut state = self.state();
        let settled = state.wait_for(|state| !matches!(state, State::Starting)).await;
        match settled.as_deref() {
            Ok(State::Down(failure)) => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    /// The run, if it lives.
    pub fn live(&self) -> Option<LiveRun> {
        match &*self.state.borrow() {
            State::Up(run) => Some(run.clone()),
            _ => None,
        }
    }

    /// Stops it for good; returns once it is gone, or cannot be killed.
    pub async fn stop(self: &Arc<Self>) {
        self.stop.send_replace(true);
        // Its loop ends what an earlier server left too.
        self.begin();
        let mut state = self.state();
        // The sender lives as long as this value.
        let _ = state.wait_for(|state| matches!(state, State::Stopped)).await;
    }

    async fn keep(self: Arc<Self>) {
        let mut attempt = 0;
        while !*self.stop.borrow() {
            let began = tokio::time::Instant::now();
            match self.raise().await {
                Ok((run, folder)) => self.watch_over(&run, &folder).await,
                Err(failure) => {
                    tracing::error!(%failure, causes = ?failure.causes, "{} cannot be started", self.platform.name());
                    self.state.send_replace(State::Down(failure));
                }
            }
            if began.elapsed() >= HEALTHY_AFTER {
                attempt = 0;
            }
            let pause = RESTART_PAUSES[attempt.min(RESTART_PAUSES.len() - 1)];
            attempt += 1;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.told_to_stop() => {}
            }
        }
        self.end_leftovers().await;
        self.state.send_replace(State::Stopped);
    }

    /// Until it has ended, by itself or because it is to stop.
    async fn watch_over(&self, run: &LiveRun, folder: &str) {
        self.state.send_replace(State::Up(run.clone()));
        let end = tokio::select! {
            end = run.gone() => Some(end),
            () = self.told_to_stop() => end_within(run, self.platform.grace()).await,
        };
        let name = self.platform.name();
        let Some(end) = end else {
            let failure = Failure::new(Kind::Host, "platform.stuck", format!("{name} cannot be stopped"));
            tracing::error!("{name} cannot be stopped");
            self.state.send_replace(State::Down(failure));
            return;
        };
        if let Err(error) = self.runs.forget(AppNumber::PLATFORM, folder) {
            tracing::warn!(%error, folder, "the run folder of {name} stays");
        }
        if !*self.stop.borrow() {
            tracing::warn!(status = %end.status, "{name} ended and is started again");
            self.state.send_replace(State::Down(Failure::new(Kind::Host, "platform.ended", format!("{name} {}", end.status))));
        }
    }

    async fn told_to_stop(&self) {
        // The sender lives as long as this value.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// The one that lives, or a new one.
    async fn raise(&self) -> Result<(LiveRun, String), Failure> {
        if let Some(found) = self.adopt().await? {
            return Ok(found);
        }
        let folder = format!("{}-{}-{}", self.platform.kind(), self.born_unix_ms, self.next.fetch_add(1, Ordering::Relaxed));
        let order = self.platform.order(folder.clone()).await?;
        let run = self.runs.start(order).await.map_err(|error| not_started(self.platform.name(), &error))?;
        if let Err(error) = std::fs::write(self.setting_file(&folder), self.platform.setting()) {
            tracing::warn!(%error, folder, "with which setting {} was started is not noted", self.platform.name());
        }
        Ok((run, folder))
    }

    /// Looks at every run folder of its kind. One that cannot be judged may be alive: then
    /// nothing is started beside it.
    async fn adopt(&self) -> Result<Option<(LiveRun, String)>, Failure> {
        let mut found = None;
        for folder in self.folders()? {
            let run = match self.runs.adopt(AppNumber::PLATFORM, &folder).await {
                Ok(Adopted::Live(run)) => run,
                Ok(Adopted::Ended(_)) => {
                    self.forget_ended(&folder);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(self.unclear(&folder).caused_by(&error)),
            };
            if found.is_none() && self.is_as_set(&folder) {
                found = Some((run, folder));
            } else if end_within(&run, self.platform.grace()).await.is_some() {
                self.forget_ended(&folder);
            } else {
                return Err(self.unclear(&folder));
            }
        }
        Ok(found)
    }

    async fn end_leftovers(&self) {
        match self.adopt().await {
            Ok(Some((run, folder))) => {
                if end_within(&run, self.platform.grace()).await.is_some() {
                    self.forget_ended(&folder);
                }
            }
            Ok(None) => {}
            Err(failure) => tracing::error!(%failure, causes = ?failure.causes, "{} may go on", self.platform.name()),
        }
    }

    fn forget_ended(&self, folder: &str) {
        if let Err(error) = self.runs.forget(AppNumber::PLATFORM, folder) {
            tracing::warn!(%error, folder, "the run folder of {} stays", self.platform.name());
        }
    }

    /// Its run folders, the newest first.
    fn folders(&self) -> Result<Vec<String>, Failure> {
        let all = self.runs.folders(AppNumber::PLATFORM).map_err(|error| {
            Failure::new(Kind::Host, "runs.unreadable", "what an earlier server left running cannot be read").caused_by(&error)
        })?;
        let prefix = format!("{}-", self.platform.kind());
        Ok(all.into_iter().rev().filter(|folder| folder.strip_prefix(&prefix).is_some_and(is_stamp)).collect())
    }

    fn is_as_set(&self, folder: &str) -> bool {
        // Earlier versions noted nothing.
        std::fs::read_to_string(self.setting_file(folder)).map_or(true, |setting| setting == self.platform.setting())
    }

    fn setting_file(&self, folder: &str) -> PathBuf {
        self.root.join("runs").join(AppNumber::PLATFORM.to_string()).join(folder).join(SETTING_FILE)
    }

    fn unclear(&self, folder: &str) -> Failure {
        let name = self.platform.name();
        Failure::new(Kind::Host, "platform.unclear", format!("whether {name} of an earlier server still runs cannot be told"))
            .why(format!("its run folder {folder} is held by something that does not answer"))
            .fix("it is looked at again in a moment; a restart of the machine ends it for certain")
    }
}

/// `1790000000000-3`: when a server was born, and a number.
fn is_stamp(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('-').is_some_and(|(born, number)| digits(born) && digits(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_begins_like_another_is_not_taken_for_it() {
        assert!(is_stamp("1790000000000-3"));
        for other in ["output-1", "1-2-3", "", "-", "1790000000000"] {
            assert!(!is_stamp(other), "{other}");
        }
    }
}
