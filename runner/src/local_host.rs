//! This machine: run folders, launch, slugs, probes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use launch::Users;
use model::author::HealthCheck;
use model::engine::{KeptEnd, LastEnd, OneOffCommand, ReleaseTarget};
use model::{AppNumber, Hostname, Leavings, RunId};

use crate::checks::tries::{self, Tried, Try};
use crate::checks::{self, Probe, ProbeOutcome};
use crate::environment::{self, Machine, Process};
use crate::executions::{LocalRun, UnclearRun, judge};
use crate::flight_recorder::kept;
use crate::host::{BoxFuture, CheckRun, Found, FoundState, Host, Live, Notified, StartFailure, StartOrder, TrafficSource};
use crate::instance_task;
use crate::last_lines::last_lines;
use crate::limits::{CHECK_OUTPUT_BYTES_MAX, CHECK_OUTPUT_LINES_MAX, TRAFFIC_ANSWER_TIMEOUT, UNCLEAR_RETRY};
use crate::listener;
use crate::machine;
use crate::port_doctor;
use crate::record::RunRecord;
use crate::run_look::{self, RunLook};
use crate::runs::{Adopted, Captured, JoinEnd, LiveRun, Output, Over, RunRequest, Runs, StartError};
use crate::slug_store::SlugStore;

/// This machine; cheap to clone.
#[derive(Clone)]
pub(crate) struct LocalHost(Arc<Inner>);

struct Inner {
    root: PathBuf,
    runs: Runs,
    slugs: SlugStore,
    machine: Machine,
    /// `Some`: each app has users of its own from here on.
    uid_base: Option<u32>,
    traffic: Arc<dyn TrafficSource>,
    run_numbers: Mutex<BTreeMap<AppNumber, u64>>,
    prepared: Mutex<BTreeSet<AppNumber>>,
    /// Held while an end is added to those of its instance.
    ends: Mutex<()>,
}

impl LocalHost {
    pub(crate) fn new(root: PathBuf, runs: Runs, uid_base: Option<u32>, traffic: Arc<dyn TrafficSource>) -> Self {
        Self(Arc::new(Inner {
            slugs: SlugStore::new(root.clone(), runs.clone()),
            root,
            runs,
            machine: machine::read(),
            uid_base,
            traffic,
            run_numbers: Mutex::default(),
            prepared: Mutex::default(),
            ends: Mutex::default(),
        }))
    }

    pub(crate) fn runs(&self) -> &Runs {
        &self.0.runs
    }

    pub(crate) fn slugs(&self) -> &SlugStore {
        &self.0.slugs
    }

    /// Makes the folders and users of an app, once per life of the server.
    pub(crate) async fn prepare(&self, number: AppNumber) -> Result<(), StartError> {
        if self.0.prepared.lock().unwrap_or_else(PoisonError::into_inner).contains(&number) {
            return Ok(());
        }
        self.0.runs.prepare_app(number).await?;
        self.0.prepared.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
        Ok(())
    }

    /// The app is gone; its number never returns.
    pub(crate) fn forget_app(&self, number: AppNumber) {
        self.0.prepared.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        self.0.run_numbers.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    /// Looks at every run folder of an app that is of this crate's making, adopting what
    /// lives. Builds and git have theirs beside them.
    pub(crate) async fn found(&self, number: AppNumber) -> std::io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for folder in self.0.runs.folders(number)?.into_iter().filter(|folder| is_helper(folder) || is_process(folder)) {
            let record = RunRecord::read(&self.folder(number, &folder));
            let state = match self.0.runs.adopt(number, &folder).await {
                Ok(Adopted::Live(run)) => FoundState::Live(Arc::new(LocalRun(run))),
                Ok(Adopted::Ended(end)) => FoundState::Ended(end),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    tracing::error!(%error, app = %number, folder, "a run cannot be judged: it counts as alive, and is not started again");
                    let record = record.as_ref();
                    let started_unix_ms = record.and_then(|record| record.ready_unix_ms).unwrap_or_else(machine::unix_ms);
                    let runs = self.0.runs.clone();
                    FoundState::Live(Arc::new(UnclearRun { runs, number, folder: folder.clone(), started_unix_ms }))
                }
            };
            if is_helper(&folder) {
                self.end_helper(number, &folder, state).await;
            } else {
                found.push(Found { folder, record, state });
            }
        }
        Ok(found)
    }

    /// Unpacking and emptying are done again by whoever needs them.
    async fn end_helper(&self, number: AppNumber, folder: &str, state: FoundState) {
        if let FoundState::Live(live) = state
            && !instance_task::end(&live, Duration::ZERO).await
        {
            return tracing::error!(app = %number, folder, "a helper of an earlier server does not end");
        }
        self.tidy_now(number, folder).await;
    }

    /// The shim's order for a process.
    pub(crate) fn spec(&self, process: &Process<'_>) -> shim::Spec {
        environment::spec(process, &self.0.machine)
    }

    /// Starts a run of profile App on an unpacked slug.
    pub(crate) async fn start_app(
        &self,
        number: AppNumber,
        run: &RunId,
        release: &ReleaseTarget,
        output: Output,
        spec: shim::Spec,
    ) -> Result<LiveRun, StartFailure> {
        let slug = release.slug;
        self.prepare(number).await.map_err(|error| start_failure(&error))?;
        let unpack = || format!("unpack-{}", self.next_run_number(number));
        self.0.slugs.ensure(number, slug, unpack).await.map_err(|error| match error {
            crate::slug_store::SlugError::Start { source: StartError::LaunchGone, .. } => StartFailure::Later,
            error => StartFailure::Failed(with_sources(&error)),
        })?;
        let folder = run.folder();
        let request = RunRequest {
            profile: launch::Profile::App,
            app: number,
            folder: folder.clone(),
            subject: Some(slug.to_string()),
            output,
            descriptors: Vec::new(),
            spec: shim::Spec { kept: release.kept.iter().map(|path| path.to_string().into_bytes()).collect(), ..spec },
        };
        match self.0.runs.start(request).await {
            Ok(live) => Ok(live),
            // It may be there all the same: launch or we may have gone wrong in the middle.
            Err(error) => {
                if let Some(Adopted::Live(live)) = judge(&self.0.runs, number, &folder).await {
                    return Ok(live);
                }
                self.tidy_now(number, &folder).await;
                Err(start_failure(&error))
            }
        }
    }

    /// Removes what a run that is gone left behind: its layer, then its folder. While the
    /// layer is there the folder stays, so that the next server tries again.
    pub(crate) async fn tidy_now(&self, number: AppNumber, folder: &str) {
        self.tidy_over(number, folder, None).await;
    }

    /// The same once what has to last of the layer was saved.
    async fn tidy_over(&self, number: AppNumber, folder: &str, over: Option<Over>) -> Leavings {
        let leavings = match self.0.runs.end_layer(number, folder, over).await {
            Ok(leavings) => leavings,
            Err(error) => {
                tracing::warn!(%error, app = %number, folder, "the writable layer of a run could not be removed");
                return Leavings::default();
            }
        };
        if let Err(error) = self.0.runs.forget(number, folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, app = %number, folder, "the folder of a run could not be removed");
        }
        leavings
    }

    /// What is kept of the ends of an app's runs.
    pub(crate) async fn ends(&self, number: AppNumber, instance: Option<String>) -> Vec<KeptEnd> {
        let folder = self.runs_of(number);
        blocking(move || kept::all(&folder, instance.as_deref())).await.unwrap_or_default()
    }

    fn runs_of(&self, number: AppNumber) -> PathBuf {
        self.0.root.join("runs").join(number.to_string())
    }

    fn folder(&self, number: AppNumber, folder: &str) -> PathBuf {
        self.runs_of(number).join(folder)
    }

    /// The file that keeps run numbers from returning: the highest one, in decimal.
    fn number_file(&self, number: AppNumber) -> PathBuf {
        self.runs_of(number).join("last-run")
    }

    fn last_used(&self, number: AppNumber) -> u64 {
        let noted = std::fs::read_to_string(self.number_file(number)).ok().and_then(|text| text.trim().parse().ok());
        let folders = self.0.runs.folders(number).unwrap_or_default();
        let seen = folders.iter().filter_map(|folder| folder.rsplit_once('-')?.1.parse().ok()).max();
        noted.max(seen).unwrap_or(0)
    }

    fn uid(&self, number: AppNumber) -> u32 {
        self.app_uid(number).unwrap_or_else(|| rustix::process::getuid().as_raw())
    }

    /// The user that runs this app's processes and no others.
    fn app_uid(&self, number: AppNumber) -> Option<u32> {
        self.0.uid_base.map(|base| Users { base }.run(number.0))
    }
}

impl Host for LocalHost {
    fn start(&self, order: StartOrder) -> BoxFuture<'static, Result<Live, StartFailure>> {
        let host = self.clone();
        Box::pin(async move {
            let run = &order.run;
            let Some(line) = order.release.manifest.commands.get(&run.instance.process_type) else {
                return Err(StartFailure::Failed(format!("the Procfile has no {}", run.instance.process_type)));
            };
            let command = OneOffCommand::Shell(line.clone());
            let process = Process { run, release: &order.release, command: &command, port: order.port, one_off_env: &BTreeMap::new() };
            let spec = host.spec(&process);
            let output = Output::Log(run.instance.name());
            let live = host.start_app(order.number, run, &order.release, output, spec).await?;
            Ok(Arc::new(LocalRun(live)) as Live)
        })
    }

    fn probe(&self, number: AppNumber, port: u16, host: Hostname, first_byte_within: Duration) -> BoxFuture<'static, ProbeOutcome> {
        let probe = Probe { port, host, uid: self.uid(number), first_byte_within };
        Box::pin(async move { checks::probe(&probe).await })
    }

    fn try_network(&self, number: AppNumber, port: u16, host: Hostname, check: Arc<HealthCheck>) -> BoxFuture<'static, Tried> {
        let subject = Try { check, port, host, uid: self.uid(number) };
        Box::pin(async move { tries::over_network(&subject).await })
    }

    fn last_byte(&self, run: RunId) -> BoxFuture<'static, Option<Duration>> {
        let traffic = Arc::clone(&self.0.traffic);
        Box::pin(async move { tokio::time::timeout(TRAFFIC_ANSWER_TIMEOUT, traffic.last_byte(&run)).await.ok().flatten() })
    }

    fn last_lines(&self, number: AppNumber, run: RunId, since_unix_ms: i64) -> BoxFuture<'static, Vec<String>> {
        let folder = self.0.root.join("logs").join(number.to_string()).join(run.instance.name());
        let read = move || last_lines(&folder, &run.folder(), since_unix_ms);
        Box::pin(async move { tokio::task::spawn_blocking(read).await.unwrap_or_default() })
    }

    fn exec_check(&self, order: StartOrder, words: Vec<String>, timeout: Duration) -> BoxFuture<'static, CheckRun> {
        let host = self.clone();
        Box::pin(async move {
            let command = OneOffCommand::Words(words);
            let one_off_env = BTreeMap::new();
            let process =
                Process { run: &order.run, release: &order.release, command: &command, port: order.port, one_off_env: &one_off_env };
            let spec = host.spec(&process);
            let folder = order.run.folder();
            check_run(host.0.runs.join_captured(order.number, &folder, spec, CHECK_OUTPUT_BYTES_MAX, timeout).await)
        })
    }

    fn notified(&self, number: AppNumber, run: RunId, seen: u64) -> BoxFuture<'static, Option<Notified>> {
        let runs = self.0.runs.clone();
        Box::pin(async move {
            loop {
                match runs.notified(number, &run.folder(), seen).await {
                    Ok(notified) => return notified.map(|said| Notified::from(&said)),
                    Err(error) => tracing::debug!(%error, app = %number, run = run.folder(), "a run cannot be listened to"),
                }
                tokio::time::sleep(UNCLEAR_RETRY).await;
            }
        })
    }

    fn look(&self, number: AppNumber, shim_pid: u32) -> BoxFuture<'static, RunLook> {
        let uid = self.app_uid(number);
        Box::pin(async move { blocking(move || run_look::of_run(shim_pid, uid)).await.unwrap_or_default() })
    }

    fn holder(&self, number: AppNumber, port: u16, runs: Vec<(RunId, u32)>) -> BoxFuture<'static, Option<String>> {
        let uid = self.app_uid(number);
        Box::pin(async move { blocking(move || holder(port, &runs, uid)).await.flatten() })
    }

    fn oom_kills(&self) -> Option<u64> {
        machine::oom_kills()
    }

    fn keep_end(&self, number: AppNumber, end: LastEnd) -> BoxFuture<'static, ()> {
        let host = self.clone();
        Box::pin(async move {
            let keep = move || {
                // One at a time: two releases of an instance may end together.
                let _turn = host.0.ends.lock().unwrap_or_else(PoisonError::into_inner);
                if let Err(error) = kept::keep(&host.runs_of(number), &end) {
                    tracing::warn!(%error, app = %number, "the end of a run could not be kept");
                }
            };
            blocking(keep).await;
        })
    }

    fn tidy(&self, number: AppNumber, folder: String, over: Option<Over>) -> BoxFuture<'static, Leavings> {
        let host = self.clone();
        Box::pin(async move { host.tidy_over(number, &folder, over).await })
    }

    fn remember(&self, number: AppNumber, folder: &str, record: &RunRecord) {
        if let Err(error) = record.write(&self.folder(number, folder)) {
            tracing::warn!(%error, app = %number, folder, "a run's record could not be written");
        }
    }

    fn next_run_number(&self, number: AppNumber) -> u64 {
        let mut numbers = self.0.run_numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let last = numbers.entry(number).or_insert_with(|| self.last_used(number));
        *last += 1;
        if let Err(error) = std::fs::write(self.number_file(number), last.to_string()) {
            tracing::debug!(%error, app = %number, "the last run number could not be noted");
        }
        *last
    }

    fn port_is_free(&self, port: u16) -> bool {
        std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).is_ok()
    }

    fn unix_ms(&self) -> i64 {
        machine::unix_ms()
    }

    fn random(&self) -> u64 {
        machine::random()
    }
}

/// Reading `/proc` and writing small files may wait for a busy machine.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Who listens on a port: a run of the same app by its name, anybody else without one,
/// since other apps are none of this author's business.
fn holder(port: u16, runs: &[(RunId, u32)], uid: Option<u32>) -> Option<String> {
    let listens = listener::all();
    let socket = port_doctor::holder_of(port, &listens)?;
    let is_holder = |shim_pid: u32| {
        let look = run_look::of_run(shim_pid, None);
        look.is_exact && look.listens.iter().any(|own| own.inode == socket.inode)
    };
    if let Some((run, _)) = runs.iter().find(|(_, shim_pid)| is_holder(*shim_pid)) {
        return Some(format!("{} ({})", run.instance, run.version));
    }
    let same_user = uid.is_some() && socket.uid == uid;
    Some(match runs {
        [(run, _)] if same_user => format!("{} ({})", run.instance, run.version),
        [(run, _), ..] if same_user => format!("another process of {}", run.instance.app),
        _ => "a process that is not of this app".to_owned(),
    })
}

/// `unpack-7`, `wipe-7`; a process type of that name makes `unpack-x.1-v7-42`.
fn is_helper(folder: &str) -> bool {
    !is_process(folder) && ["unpack-", "wipe-"].iter().any(|prefix| folder.starts_with(prefix))
}

/// `web.1-v7-42`
fn is_process(folder: &str) -> bool {
    let Some((rest, number)) = folder.rsplit_once('-') else { return false };
    let Some((instance, version)) = rest.rsplit_once('-') else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    instance.contains('.') && digits(number) && version.strip_prefix('v').is_some_and(digits)
}

fn check_run(captured: Result<Captured, StartError>) -> CheckRun {
    match captured {
        Ok(Captured::Ended(JoinEnd { status: Some(status), .. }, output)) => CheckRun::Ended { status, output: first_lines(&output) },
        Ok(Captured::Ended(JoinEnd { status: None, .. }, _)) => CheckRun::NotMade("the run ended meanwhile".to_owned()),
        Ok(Captured::TimedOut(output)) => CheckRun::TimedOut { output: first_lines(&output) },
        Err(error) => CheckRun::NotMade(with_sources(&error)),
    }
}

fn first_lines(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.lines().take(CHECK_OUTPUT_LINES_MAX).collect::<Vec<_>>().join("\n")
}

fn start_failure(error: &StartError) -> StartFailure {
    match error {
        StartError::LaunchGone => StartFailure::Later,
        StartError::Failed { .. } => StartFailure::Failed(with_sources(error)),
    }
}

/// An error with all its causes in one line.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_processes_and_helpers_are_touched() {
        for ours in ["web.1-v7-42", "my-bot.12-v1-1", "run.17-v3-9"] {
            assert!(is_process(ours), "{ours}");
        }
        for theirs in ["build-3", "git-12", "wipe-1790000000000-0", "web.1-v7-", "web.1-7-1", "-v1-1"] {
            assert!(!is_process(theirs), "{theirs}");
        }
        assert!(is_helper("unpack-3") && !is_helper("build-3"));
        assert!(is_process("unpack-x.1-v7-42") && !is_helper("unpack-x.1-v7-42"), "a process type of that name");
    }
}
