//! The server's end: says what should be served and hears what became of it. It finds
//! a router again after that was replaced, and then says everything anew.
//!
//! ```text
//! put, delete, listen ─▶ Desired ─(what changed since)─▶ session ─▶ router
//! idle ◀── View ◀── Applied, Idle ◀───────────────────── session ◀─
//! ```

mod desired;
mod session;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::{AppName, AppRoutes, RunId, Traffic};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::limits;
use crate::protocol::TroubleKind;
use desired::{Answer, Desired, Question};

/// What a router tells on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouterEvent {
    /// A router is there. Whoever needs lasting ports that are not in `listens` hands
    /// them over now.
    Connected {
        /// Its process id, as it sees itself.
        pid: u32,
        /// Apps whose lasting port it has, or gets from this client now: those that were
        /// handed over before, to a router that is gone.
        listens: BTreeSet<AppName>,
    },
    /// The router is gone; what it served counts as drained.
    Disconnected,
    /// A request had trouble with a run.
    Trouble {
        /// The run.
        run: RunId,
        /// What happened.
        kind: TroubleKind,
    },
    /// A whole table was refused: the old one serves on.
    Refused {
        /// Why, for people.
        why: String,
    },
}

/// Speaks to the router, whichever process that is now. Cheap to clone.
///
/// Nothing is sent before the first [`RouterClient::replace`]: a router that outlived
/// the last server must not lose its routes to a server that does not know them yet.
#[derive(Debug, Clone)]
pub struct RouterClient {
    inner: Arc<Inner>,
    _manager: Arc<Manager>,
}

/// Ends the conversation with the last clone.
#[derive(Debug)]
struct Manager(AbortHandle);

impl Drop for Manager {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    epoch: u64,
    desired: Mutex<Desired>,
    /// Copies of the sockets where host names decide, as routers handed them back.
    fronts: Mutex<BTreeMap<SocketAddr, TcpListener>>,
    /// Told when `desired` changed.
    changed: watch::Sender<()>,
    view: watch::Sender<View>,
    events: mpsc::Sender<RouterEvent>,
}

/// What is known of the routers.
#[derive(Debug, Default)]
struct View {
    /// The one that is connected, and those that drain.
    sessions: BTreeMap<u64, Seen>,
    /// The one that is connected.
    current: Option<u64>,
    /// Since when none is connected.
    without: Option<Instant>,
}

/// What is known of one router.
#[derive(Debug, Default)]
struct Seen {
    applied: u64,
    busy: HashSet<RunId>,
    listens: BTreeSet<AppName>,
}

impl RouterClient {
    /// Connects to the control socket at `path` and stays connected. Must be called
    /// within a tokio runtime.
    pub fn connect(path: impl Into<PathBuf>) -> (Self, mpsc::Receiver<RouterEvent>) {
        let (events, receiver) = mpsc::channel(limits::EVENTS_WAITING_MAX);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let inner = Arc::new(Inner {
            path: path.into(),
            epoch: u64::try_from(since.as_micros()).unwrap_or(0),
            desired: Mutex::default(),
            fronts: Mutex::default(),
            changed: watch::Sender::new(()),
            view: watch::Sender::new(View { without: Some(Instant::now()), ..View::default() }),
            events,
        });
        let manager = tokio::spawn(session::stay_connected(inner.clone())).abort_handle();
        (Self { inner, _manager: Arc::new(Manager(manager)) }, receiver)
    }

    /// Says what all apps are, and that from now on this server knows them.
    pub fn replace(&self, apps: Vec<AppRoutes>) {
        self.inner.change(|desired| desired.replace(apps));
    }

    /// Says the routes of one app.
    pub fn put(&self, routes: AppRoutes) {
        self.inner.change(|desired| desired.put(routes));
    }

    /// Says that an app is gone.
    pub fn delete(&self, app: &AppName) {
        self.inner.change(|desired| desired.delete(app));
    }

    /// Hands over an app's lasting port: a listening TCP socket. A router that comes
    /// later gets it too.
    pub fn listen(&self, app: &AppName, listener: OwnedFd) {
        self.inner.change(|desired| desired.listen(app, Some(Arc::new(listener))));
    }

    /// Has an app's lasting port closed.
    pub fn unlisten(&self, app: &AppName) {
        self.inner.change(|desired| desired.listen(app, None));
    }

    /// A copy of the socket that listens on this address where host names decide, for the
    /// next router, if one has handed it back; then the lasting ports have come too.
    pub fn front(&self, address: SocketAddr) -> Option<OwnedFd> {
        let fronts = self.inner.fronts.lock().unwrap_or_else(PoisonError::into_inner);
        Some(fronts.get(&address)?.try_clone().ok()?.into())
    }

    /// Apps whose lasting port the connected router has or gets from this client;
    /// `None` while none is connected.
    pub fn listens(&self) -> Option<BTreeSet<AppName>> {
        let mut listens = {
            let view = self.inner.view.borrow();
            view.sessions.get(&view.current?)?.listens.clone()
        };
        listens.extend(self.inner.lock().handed_over());
        Some(listens)
    }

    /// Waits until every router has applied what was said so far and has no request of
    /// `run` in flight. Call it after the `put` that takes the run out; bound it with a
    /// deadline of your own. A router that is gone counts as drained.
    pub async fn idle(&self, run: RunId) {
        let seq = self.inner.lock().seq();
        let mut view = self.inner.view.subscribe();
        loop {
            let (drained, without) = {
                let view = view.borrow_and_update();
                (view.sessions.values().all(|seen| seen.applied >= seq && !seen.busy.contains(&run)), view.without)
            };
            let changed = view.changed();
            match (drained, without) {
                (true, None) => return,
                // One may be there that has not said hello yet.
                (true, Some(since)) => {
                    let until = since + Duration::from_millis(limits::ROUTER_HELLO_MS);
                    if timeout_at(until, changed).await.is_err() {
                        return;
                    }
                }
                (false, _) => {
                    if changed.await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Waits until every router has applied what was said so far; false if none is there.
    pub async fn applied(&self) -> bool {
        let seq = self.inner.lock().seq();
        let mut view = self.inner.view.subscribe();
        let until = Instant::now() + Duration::from_millis(limits::QUESTION_MS);
        let applied = |view: &View| view.current.is_some() && view.sessions.values().all(|seen| seen.applied >= seq);
        matches!(timeout_at(until, view.wait_for(applied)).await, Ok(Ok(_)))
    }

    /// How long ago a byte of this run last went through the connected router.
    pub async fn last_byte(&self, run: &RunId) -> Option<Duration> {
        match self.ask(Question::LastByte(run.clone())).await? {
            Answer::LastByte(age) => age,
            Answer::Traffic(_) => None,
        }
    }

    /// How the requests of each run of an app have ended, as the connected router counts
    /// them; `None` if it does not tell.
    pub async fn traffic(&self, app: &AppName) -> Option<BTreeMap<RunId, Traffic>> {
        match self.ask(Question::Traffic(app.clone())).await? {
            Answer::Traffic(runs) => Some(runs),
            Answer::LastByte(_) => None,
        }
    }

    async fn ask(&self, question: Question) -> Option<Answer> {
        self.inner.view.borrow().current?;
        let (answer, answered) = oneshot::channel();
        let query = self.inner.lock().ask(question, answer)?;
        self.inner.changed.send_replace(());
        let answer = timeout(Duration::from_millis(limits::QUESTION_MS), answered).await;
        self.inner.lock().forget(query);
        answer.ok()?.ok()
    }
}

impl Inner {
    fn change(&self, how: impl FnOnce(&mut Desired)) {
        how(&mut self.lock());
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, Desired> {
        self.desired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_front(&self, listener: TcpListener) {
        match listener.local_addr() {
            Ok(address) => drop(self.fronts.lock().unwrap_or_else(PoisonError::into_inner).insert(address, listener)),
            Err(error) => tracing::warn!(%error, "what a router handed back is no listening socket"),
        }
    }

    fn tell(&self, event: RouterEvent) {
        if let Err(error) = self.events.try_send(event) {
            tracing::warn!(%error, "an event of the router was dropped");
        }
    }
}
