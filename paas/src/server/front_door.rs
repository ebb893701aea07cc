//! The router, told routes and asked for traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use control::seams::{BoxFuture, FrontDoor};
use model::{AppName, AppRoutes, Pool, RunId};
use router::{RouterClient, RouterEvent};
use runner::runs::Runs;
use runner::{Runner, TrafficSource, TroubleKind};
use tokio::sync::mpsc;

/// A lasting port that is taken is tried again after this, then after twice as long.
const BIND_AGAIN_FIRST: Duration = Duration::from_millis(50);
/// The longest wait between two tries.
const BIND_AGAIN_MAX: Duration = Duration::from_mins(1);

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
    /// Lasting ports that are being opened, and whose.
    opening: BTreeSet<(AppName, u16)>,
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
            missing.into_iter().filter(|new| state.opening.insert(new.clone())).collect()
        };
        for (app, port) in wanted {
            let door = self.clone();
            tokio::spawn(async move {
                door.open_port(&app, port).await;
                lock(&door.state).opening.remove(&(app, port));
            });
        }
    }

    /// Opens a lasting port, however often it takes: after a rename the router still has to
    /// close it under the old name, and a stranger on it may go away.
    async fn open_port(&self, app: &AppName, port: u16) {
        let mut wait = BIND_AGAIN_FIRST;
        // Destroyed meanwhile: nobody would close it again.
        let is_wanted = || lock(&self.state).routes.get(app).is_some_and(|routes| routes.port == port);
        while is_wanted() {
            match self.runs.bind(SocketAddr::new(self.address, port)).await {
                Ok(listener) if is_wanted() => return self.client.listen(app, listener),
                Ok(_) => return,
                Err(error) if wait < BIND_AGAIN_MAX => {
                    tracing::warn!(%error, %app, port, "the lasting port of an app cannot be opened yet");
                }
                Err(error) => tracing::error!(%error, %app, port, "the lasting port of an app cannot be opened"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(BIND_AGAIN_MAX);
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

    fn applied(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if !self.0.client.applied().await {
                tracing::warn!("the router has not taken the last routes yet");
            }
        })
    }

    fn idle(&self, run: &RunId) -> BoxFuture<'_, ()> {
        Box::pin(self.0.client.idle(run.clone()))
    }

    fn traffic(&self, app: &AppName) -> BoxFuture<'_, Option<BTreeMap<RunId, model::Traffic>>> {
        let app = app.clone();
        Box::pin(async move { self.0.client.traffic(&app).await })
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
