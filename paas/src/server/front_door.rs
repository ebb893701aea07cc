//! The router: kept running as a run of its own, told routes, asked for traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{Failure, Kind};
use control::seams::{BoxFuture, FrontDoor};
use model::{AppName, AppNumber, AppRoutes, Pool, RunId};
use router::{RouterClient, RouterEvent};
use runner::runs::{Adopted, LiveRun, Output, RunRequest, Runs};
use runner::{Runner, TrafficSource, TroubleKind};
use tokio::sync::mpsc;

use super::internal_run::{not_started, spec};

/// A router that is stopped finishes its requests within this.
const STOP_GRACE: Duration = Duration::from_secs(35);
/// Pauses between starts of a router that keeps ending.
const RESTART_PAUSES: [Duration; 4] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
/// A router that lived this long starts its pauses anew.
const HEALTHY_AFTER: Duration = Duration::from_mins(1);

/// Keeps one router alive.
pub struct RouterKeeper {
    runs: Runs,
    socket: PathBuf,
    http: SocketAddr,
    born_unix_ms: i64,
    next: AtomicU64,
    stopping: AtomicBool,
    live: Mutex<Option<LiveRun>>,
    /// Copies of what the router listens on, so that its queue outlives it.
    listeners: Mutex<Option<(OwnedFd, OwnedFd)>>,
}

impl RouterKeeper {
    /// Adopts the router of an earlier server, or starts one; from then on there is one.
    pub async fn start(runs: Runs, root: &Path, http: SocketAddr, born_unix_ms: i64) -> Result<Arc<Self>, Failure> {
        let keeper = Arc::new(Self {
            runs,
            socket: root.join("sockets").join("router.sock"),
            http,
            born_unix_ms,
            next: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            live: Mutex::new(None),
            listeners: Mutex::new(None),
        });
        let (run, folder) = match keeper.adopt().await {
            Some(adopted) => adopted,
            None => keeper.start_router().await?,
        };
        keeper.hold(&run);
        tokio::spawn(keeper.clone().keep(run, folder));
        Ok(keeper)
    }

    /// The router's control socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The process id of the router's shim.
    pub fn shim_pid(&self) -> Option<u32> {
        lock(&self.live).as_ref().map(LiveRun::shim_pid)
    }

    /// Stops it for good.
    pub async fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let live = lock(&self.live).take();
        if let Some(live) = live {
            if live.stop(STOP_GRACE).await.is_err() {
                let _ = live.kill().await;
            }
            live.gone().await;
        }
    }

    fn hold(&self, run: &LiveRun) {
        *lock(&self.live) = Some(run.clone());
    }

    async fn adopt(&self) -> Option<(LiveRun, String)> {
        let mut found = None;
        for folder in self.runs.folders(AppNumber::PLATFORM).ok()? {
            if !folder.starts_with("router-") {
                continue;
            }
            match self.runs.adopt(AppNumber::PLATFORM, &folder).await {
                Ok(Adopted::Live(run)) if found.is_none() => found = Some((run, folder)),
                Ok(Adopted::Live(run)) => {
                    let _ = run.stop(STOP_GRACE).await;
                }
                Ok(Adopted::Ended(_)) => {
                    let _ = self.runs.forget(AppNumber::PLATFORM, &folder);
                }
                Err(error) => tracing::warn!(%error, folder, "a run folder of the router cannot be read"),
            }
        }
        found
    }

    async fn start_router(&self) -> Result<(LiveRun, String), Failure> {
        let (control, http) = self.listening().await?;
        let folder = format!("router-{}-{}", self.born_unix_ms, self.next.fetch_add(1, Ordering::Relaxed));
        let order = RunRequest {
            profile: launch::Profile::Router,
            app: AppNumber::PLATFORM,
            folder: folder.clone(),
            subject: None,
            output: Output::Log("router-output".to_owned()),
            descriptors: vec![control, http],
            spec: spec(&["/paas", "internal", "router"], "/", &[]),
        };
        let run = self.runs.start(order).await.map_err(|error| not_started("the router", &error))?;
        self.hold(&run);
        Ok((run, folder))
    }

    /// What a router listens on: the copies from before, or opened now.
    async fn listening(&self) -> Result<(OwnedFd, OwnedFd), Failure> {
        if let Some((control, http)) = lock(&self.listeners).as_ref() {
            let copies = (|| Ok::<_, io::Error>((control.as_fd().try_clone_to_owned()?, http.as_fd().try_clone_to_owned()?)))();
            return copies.map_err(|error| super::internal_run::plumbing(&error));
        }
        let http = self.runs.bind(self.http).await.map_err(|error| {
            Failure::new(Kind::Host, "http.not_bound", format!("cannot listen on {}", self.http))
                .why("another program may have this port, or it needs root")
                .fix("choose another with `paas server --http ADDRESS:PORT`, or see who has it with `ss -ltnp`")
                .caused_by(&error)
        })?;
        let control = (|| {
            match std::fs::remove_file(&self.socket) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let control = std::os::unix::net::UnixListener::bind(&self.socket)?;
            let copies = (control.as_fd().try_clone_to_owned()?, http.as_fd().try_clone_to_owned()?);
            *lock(&self.listeners) = Some(copies);
            Ok(OwnedFd::from(control))
        })();
        Ok((control.map_err(|error| super::internal_run::plumbing(&error))?, http))
    }

    async fn keep(self: Arc<Self>, mut run: LiveRun, mut folder: String) {
        let mut attempt = 0;
        loop {
            let began = tokio::time::Instant::now();
            let end = run.gone().await;
            let _ = self.runs.forget(AppNumber::PLATFORM, &folder);
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            tracing::warn!(status = %end.status, "the router ended and is started again");
            if began.elapsed() >= HEALTHY_AFTER {
                attempt = 0;
            }
            loop {
                tokio::time::sleep(RESTART_PAUSES[attempt.min(RESTART_PAUSES.len() - 1)]).await;
                attempt += 1;
                if self.stopping.load(Ordering::SeqCst) {
                    return;
                }
                match self.start_router().await {
                    Ok(started) => {
                        (run, folder) = started;
                        break;
                    }
                    Err(failure) => tracing::error!(%failure, causes = ?failure.causes, "the router cannot be started"),
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The routes that control wants, on their way to the router.
pub struct LocalFrontDoor {
    client: RouterClient,
    runs: Runs,
    address: std::net::IpAddr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    routes: BTreeMap<AppName, AppRoutes>,
    /// Apps whose lasting port is being opened.
    opening: BTreeSet<AppName>,
    /// Routes go out: everything that an earlier server left running is known.
    open: bool,
}

impl LocalFrontDoor {
    /// Lasting ports are opened on `address`.
    pub fn new(client: RouterClient, runs: Runs, address: std::net::IpAddr) -> Arc<Self> {
        Arc::new(Self { client, runs, address, state: Mutex::default() })
    }

    /// From now on the router hears what this server says. Before, a router that outlived
    /// an earlier server keeps the routes that it had.
    pub fn open(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.open = true;
        self.client.replace(state.routes.values().cloned().collect());
        drop(state);
        if let Some(listens) = self.client.listens() {
            self.open_ports(&listens);
        }
    }

    /// Whether every app that should serve has somebody to serve it.
    pub fn is_settled(&self) -> bool {
        lock(&self.state).routes.values().all(|routes| !matches!(routes.pool, Pool::Hold { .. }))
    }

    fn open_ports(self: &Arc<Self>, have: &BTreeSet<AppName>) {
        let wanted: Vec<(AppName, u16)> = {
            let mut state = lock(&self.state);
            let missing: Vec<_> = state.routes.values().filter(|r| !have.contains(&r.app)).map(|r| (r.app.clone(), r.port)).collect();
            missing.into_iter().filter(|(app, _)| state.opening.insert(app.clone())).collect()
        };
        for (app, port) in wanted {
            let door = self.clone();
            tokio::spawn(async move {
                match door.runs.bind(SocketAddr::new(door.address, port)).await {
                    Ok(listener) => door.client.listen(&app, listener),
                    Err(error) => tracing::error!(%error, %app, port, "the lasting port of an app cannot be opened"),
                }
                lock(&door.state).opening.remove(&app);
            });
        }
    }

    /// Passes on what the router tells, until the server ends.
    pub async fn listen(self: Arc<Self>, mut events: mpsc::Receiver<RouterEvent>, runner: Runner) {
        while let Some(event) = events.recv().await {
            match event {
                RouterEvent::Connected { listens, .. } => self.open_ports(&listens),
                RouterEvent::Trouble { run, kind } => runner.trouble(&run, trouble(kind)),
                RouterEvent::Refused { why } => tracing::error!(why, "the router refused the routes"),
                RouterEvent::Disconnected => {}
            }
        }
    }
}

fn trouble(kind: router::TroubleKind) -> TroubleKind {
    match kind {
        router::TroubleKind::Timeout => TroubleKind::Timeout,
        router::TroubleKind::Refused => TroubleKind::Refused,
        router::TroubleKind::Reset => TroubleKind::Reset,
        router::TroubleKind::Left => TroubleKind::VisitorLeft,
    }
}

/// Control's way to the router.
pub struct Doorman(pub Arc<LocalFrontDoor>);

impl FrontDoor for Doorman {
    fn put(&self, routes: AppRoutes) {
        let mut state = lock(&self.0.state);
        if state.routes.get(&routes.app) == Some(&routes) {
            return;
        }
        let is_new = !state.routes.contains_key(&routes.app);
        state.routes.insert(routes.app.clone(), routes.clone());
        if state.open {
            self.0.client.put(routes);
        }
        let open = state.open;
        drop(state);
        if is_new
            && open
            && let Some(listens) = self.0.client.listens()
        {
            self.0.open_ports(&listens);
        }
    }

    fn delete(&self, app: &AppName) {
        let mut state = lock(&self.0.state);
        state.routes.remove(app);
        if state.open {
            self.0.client.delete(app);
            self.0.client.unlisten(app);
        }
    }

    fn idle(&self, run: &RunId) -> BoxFuture<'_, ()> {
        Box::pin(self.0.client.idle(run.clone()))
    }
}

/// The runner's way to ask for traffic.
pub struct Traffic(pub RouterClient);

impl TrafficSource for Traffic {
    fn last_byte(&self, run: &RunId) -> runner::BoxFuture<'_, Option<Duration>> {
        let run = run.clone();
        Box::pin(async move { self.0.last_byte(&run).await })
    }
}
