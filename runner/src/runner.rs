//! The way in: targets down, observations up.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::engine::{AppObserved, AppTarget, CheckTried, KeptEnd, OneOff};
use model::{AppName, AppNumber, KeptPath, RunId, SlugId};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::app_task::{AppTask, Inbox, Message, Shared};
use crate::host::{Found, FoundState, Host, TrafficSource};
use crate::instance_task;
use crate::limits::{APP_MESSAGES_MAX, LIVENESS_RESTARTS_PER_BOX, STARTS_PER_CORE, STOP_GRACE};
use crate::local_host::LocalHost;
use crate::one_off::{ExecRun, ExecStdio, OneOffOutput, OneOffRun, OneOffs, RunOnceError};
use crate::port_leases::PortLeases;
use crate::runs::{DataSize, Runs, StartError};
use crate::slug_store::{SlugError, SlugStore};
use crate::tasks::Tasks;

/// What a runner needs to know.
pub struct RunnerConfig {
    /// The root folder.
    pub root: PathBuf,
    /// Starts and adopts runs.
    pub runs: Runs,
    /// Ports on 127.0.0.1 for web instances.
    pub lease_ports: RangeInclusive<u16>,
    /// `Some`: root mode, each app has users of its own from here on (ARCHITECTURE.md).
    pub uid_base: Option<u32>,
    /// When the router last saw a byte.
    pub traffic: Arc<dyn TrafficSource>,
}

/// What the router saw go wrong with an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// No first byte in time.
    Timeout,
    /// The connection was refused.
    Refused,
    /// The connection was reset.
    Reset,
    /// A visitor left after a second or more without a byte.
    VisitorLeft,
}

/// The local runner; cheap to clone.
#[derive(Clone)]
pub struct Runner(Arc<Inner>);

struct Inner {
    host: LocalHost,
    shared: Arc<Shared>,
    one_offs: OneOffs,
    tasks: Tasks,
    apps: Mutex<Apps>,
}

/// Who can be told what; decides nothing.
#[derive(Default)]
struct Apps {
    handles: BTreeMap<AppNumber, Handle>,
    numbers: BTreeMap<AppName, AppNumber>,
    /// Asked for before the first target came.
    awaited: BTreeMap<AppName, watch::Sender<AppObserved>>,
    /// Runs that no target has claimed yet.
    found: BTreeMap<AppNumber, Vec<Found>>,
}

struct Handle {
    target: watch::Sender<Arc<AppTarget>>,
    messages: mpsc::Sender<Message>,
    observed: watch::Sender<AppObserved>,
}

/// What a server found when it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AdoptReport {
    /// Runs that live.
    pub live: u32,
    /// Runs that ended while nobody looked.
    pub ended: u32,
}

impl Runner {
    /// A runner that runs nothing yet. Call [`Runner::adopt`] before the first target.
    pub fn start(config: RunnerConfig) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let host = LocalHost::new(config.root, config.runs, config.uid_base, config.traffic);
        let tasks = Tasks::new();
        Self(Arc::new(Inner {
            one_offs: OneOffs::new(host.clone(), tasks.clone()),
            host,
            shared: Arc::new(Shared {
                starts: Arc::new(Semaphore::new(cores * STARTS_PER_CORE)),
                liveness_restarts: Arc::new(Semaphore::new(LIVENESS_RESTARTS_PER_BOX)),
                leases: Mutex::new(PortLeases::new(config.lease_ports)),
            }),
            tasks,
            apps: Mutex::default(),
        }))
    }

    /// Looks at every run folder of every app that an earlier server left. Targets that
    /// follow claim their runs; then call [`Runner::stop_unclaimed`].
    pub async fn adopt(&self) -> std::io::Result<AdoptReport> {
        let mut report = AdoptReport::default();
        let apps = self.0.host.runs().apps()?;
        for number in apps.into_iter().filter(|number| *number != AppNumber::PLATFORM) {
            for found in self.0.host.found(number).await? {
                match found.state {
                    FoundState::Live(_) => report.live += 1,
                    FoundState::Ended(..) => report.ended += 1,
                }
                if found.record.as_ref().is_some_and(|record| record.one_off) {
                    self.0.one_offs.adopt(number, found);
                } else {
                    self.apps().found.entry(number).or_default().push(found);
                }
            }
        }
        Ok(report)
    }

    /// Stops what was adopted and no target has claimed, and waits until it is gone.
    pub async fn stop_unclaimed(&self) {
        let unclaimed = std::mem::take(&mut self.apps().found);
        for (number, found) in unclaimed {
            // What does not end stays known, so that a later target does not start it twice.
            self.discard(number, found).await;
        }
    }

    /// What should be true of an app from now on; the last wish wins.
    pub fn set_target(&self, target: AppTarget) {
        let number = target.number;
        let mut apps = self.apps();
        apps.numbers.insert(target.app.clone(), number);
        if let Some(handle) = apps.handles.get(&number) {
            handle.target.send_replace(Arc::new(target));
            return;
        }
        let observed = apps.awaited.remove(&target.app).unwrap_or_default();
        let found = apps.found.remove(&number).unwrap_or_default();
        let target = Arc::new(target);
        let (targets, target_inbox) = watch::channel(Arc::clone(&target));
        let (messages, message_inbox) = mpsc::channel(APP_MESSAGES_MAX);
        let inbox = Inbox { target: target_inbox, messages: message_inbox, observed: observed.clone(), found };
        let host: Arc<dyn Host> = Arc::new(self.0.host.clone());
        let task = AppTask::new(number, host, Arc::clone(&self.0.shared), target);
        self.0.tasks.spawn(task.run(inbox));
        apps.handles.insert(number, Handle { target: targets, messages, observed });
    }

    /// What is true of an app, sent whole at each change.
    pub fn observed(&self, app: &AppName) -> watch::Receiver<AppObserved> {
        let mut apps = self.apps();
        let handle = apps.numbers.get(app).and_then(|number| apps.handles.get(number));
        match handle {
            Some(handle) => handle.observed.subscribe(),
            None => apps.awaited.entry(app.clone()).or_default().subscribe(),
        }
    }

    /// A draining run is out of every route and idle.
    pub fn released(&self, run: &RunId) {
        self.tell(run, Message::Released(run.number));
    }

    /// The router had trouble with a run: it is looked at at once.
    pub fn trouble(&self, run: &RunId, kind: TroubleKind) {
        tracing::debug!(run = %run.folder(), ?kind, "trouble at the router");
        self.tell(run, Message::Trouble(run.number));
    }

    /// Tries every check of every live instance of an app once, for a person; it does not
    /// count.
    pub async fn try_checks(&self, app: &AppName) -> Vec<CheckTried> {
        let messages = {
            let apps = self.apps();
            apps.numbers.get(app).and_then(|number| apps.handles.get(number)).map(|handle| handle.messages.clone())
        };
        let (done, tried) = oneshot::channel();
        match messages {
            Some(messages) if messages.send(Message::TryChecks(done)).await.is_ok() => tried.await.unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// The last ends of an app's runs, of one instance or of all, oldest first.
    pub async fn ends(&self, number: AppNumber, instance: Option<String>) -> Vec<KeptEnd> {
        self.0.host.ends(number, instance).await
    }

    /// Starts a command beside the app.
    pub async fn run_once(&self, one_off: OneOff, output: OneOffOutput) -> Result<OneOffRun, RunOnceError> {
        self.0.one_offs.run(one_off, output).await
    }

    /// Starts a command inside the sandbox of a live run; of `one_off` the release, the
    /// command and the environment count.
    pub async fn exec(&self, run: &RunId, one_off: &OneOff, stdio: ExecStdio) -> Result<ExecRun, RunOnceError> {
        self.0.one_offs.exec(run, one_off, stdio).await
    }

    /// Makes the folders and users of an app. Idempotent.
    pub async fn prepare_app(&self, number: AppNumber) -> Result<(), StartError> {
        self.0.host.prepare(number).await
    }

    /// How much `DATA_DIR` of an app holds, and these paths of it.
    pub async fn measure_data(&self, number: AppNumber, parts: &[KeptPath]) -> Result<DataSize, StartError> {
        self.0.host.prepare(number).await?;
        self.0.host.runs().measure_data(number, parts).await
    }

    /// The unpacked slugs.
    pub fn slugs(&self) -> &SlugStore {
        self.0.host.slugs()
    }

    /// Removes the unpacked tree of a slug that no release of the app needs.
    pub async fn forget_slug(&self, number: AppNumber, slug: SlugId) -> Result<(), SlugError> {
        self.slugs().remove(number, slug).await
    }

    /// Stops everything of an app and removes all its folders.
    pub async fn remove_app(&self, number: AppNumber) -> Result<(), StartError> {
        let (handle, found) = {
            let mut apps = self.apps();
            apps.numbers.retain(|_, other| *other != number);
            (apps.handles.remove(&number), apps.found.remove(&number))
        };
        if let Some(handle) = handle {
            halt(&handle.messages, STOP_GRACE).await;
        }
        if let Some(folder) = self.discard(number, found.unwrap_or_default()).await {
            return Err(StartError::Failed { step: format!("stop {folder}"), detail: "it does not end".to_owned() });
        }
        self.0.one_offs.kill(Some(number)).await;
        self.0.host.runs().wipe(number, "app").await?;
        self.0.host.forget_app(number);
        Ok(())
    }

    /// Stops every run of every app for good, with SIGKILL after `grace`; returns how many
    /// there were once all are gone. Only a new server starts any of them again.
    pub async fn stop_all(&self, grace: Duration) -> u32 {
        let apps: Vec<mpsc::Sender<Message>> = self.apps().handles.values().map(|handle| handle.messages.clone()).collect();
        let mut halts = tokio::task::JoinSet::new();
        for messages in apps {
            halts.spawn(async move { halt(&messages, grace).await });
        }
        let mut runs = self.0.one_offs.kill(None).await;
        while let Some(stopped) = halts.join_next().await {
            runs += stopped.unwrap_or(0);
        }
        self.stop_unclaimed().await;
        runs
    }

    /// Resolves if one of the runner's tasks panicked: the server should end then, since
    /// an app without its task is not supervised. Runs survive that.
    pub async fn panicked(&self) {
        self.0.tasks.panicked().await;
    }

    fn apps(&self) -> MutexGuard<'_, Apps> {
        self.0.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A full inbox loses a hint; `released` has its deadline instead.
    fn tell(&self, run: &RunId, message: Message) {
        let apps = self.apps();
        let handle = apps.numbers.get(&run.instance.app).and_then(|number| apps.handles.get(number));
        if let Some(handle) = handle
            && handle.messages.try_send(message).is_err()
        {
            tracing::debug!(run = %run.folder(), "the app's task has too many messages; one is lost");
        }
    }

    /// Stops and tidies what nobody wants. What does not end stays known; one of them is
    /// the result.
    async fn discard(&self, number: AppNumber, found: Vec<Found>) -> Option<String> {
        let mut stops = tokio::task::JoinSet::new();
        for found in found {
            let host = self.0.host.clone();
            stops.spawn(async move {
                if let FoundState::Live(live) = &found.state {
                    tracing::info!(app = %number, folder = found.folder, "a run that nobody wants is stopped");
                    if !instance_task::end(live, STOP_GRACE).await {
                        tracing::error!(app = %number, folder = found.folder, "a run that nobody wants does not end");
                        return Some(found);
                    }
                }
                host.tidy_now(number, &found.folder).await;
                None
            });
        }
        let mut stuck = None;
        while let Some(stopped) = stops.join_next().await {
            if let Ok(Some(found)) = stopped {
                stuck = Some(found.folder.clone());
                self.apps().found.entry(number).or_default().push(found);
            }
        }
        stuck
    }
}

/// Waits until everything of an app is gone; returns how many runs that were.
async fn halt(messages: &mpsc::Sender<Message>, grace: Duration) -> u32 {
    let (done, stopped) = oneshot::channel();
    if messages.send(Message::Halt { grace, done }).await.is_err() {
        return 0;
    }
    stopped.await.unwrap_or(0)
}
