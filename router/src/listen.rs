//! Accepting connections and carrying each from request to request.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::AppName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::client_side::{ClientSide, NoHead};
use crate::failure;
use crate::limits;
use crate::state::Shared;
use crate::visit::{self, After, Door};

/// The listening sockets that this process accepts from.
#[derive(Debug)]
pub(crate) struct Doors {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// Held by each connection too; once all are dropped, nothing is served any more.
    /// None once the doors are closed.
    alive: Option<mpsc::Sender<()>>,
    hosts: Vec<Accepting>,
    apps: BTreeMap<AppName, Accepting>,
}

/// One socket and who accepts from it; dropping it ends both here.
#[derive(Debug)]
struct Accepting {
    listener: Arc<TcpListener>,
    task: AbortHandle,
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Doors {
    /// `places`: connections of clients at once. The receiver ends once the doors
    /// are closed and every connection is gone.
    pub(crate) fn new(shared: Arc<Shared>, places: usize) -> (Self, mpsc::Receiver<()>) {
        let (alive, gone) = mpsc::channel(1);
        let open = Open { alive: Some(alive), ..Open::default() };
        (Self { shared, places: Arc::new(Semaphore::new(places)), open: Mutex::new(open) }, gone)
    }

    /// Accepts where host names decide.
    pub(crate) fn open_for_hosts(&self, listener: std::net::TcpListener) -> io::Result<()> {
        let mut open = self.lock();
        let Some(alive) = open.alive.clone() else { return Ok(()) };
        let accepting = self.accept_from(listener, None, alive)?;
        open.hosts.push(accepting);
        Ok(())
    }

    /// Accepts at an app's lasting port; replaces an earlier one.
    pub(crate) fn open_for_app(&self, app: AppName, listener: std::net::TcpListener) -> io::Result<()> {
        let mut open = self.lock();
        let Some(alive) = open.alive.clone() else { return Ok(()) };
        let accepting = self.accept_from(listener, Some(app.clone()), alive)?;
        open.apps.insert(app, accepting);
        Ok(())
    }

    /// Closes an app's lasting port.
    pub(crate) fn close_for_app(&self, app: &AppName) {
        self.lock().apps.remove(app);
    }

    /// Apps whose lasting port is open here.
    pub(crate) fn apps(&self) -> Vec<AppName> {
        self.lock().apps.keys().cloned().collect()
    }

    /// Copies of every socket, those where host names decide last: who has them has all.
    pub(crate) fn copies(&self) -> Vec<(Option<AppName>, io::Result<OwnedFd>)> {
        let open = self.lock();
        let copy = |accepting: &Accepting| accepting.listener.as_fd().try_clone_to_owned();
        let apps = open.apps.iter().map(|(app, accepting)| (Some(app.clone()), copy(accepting)));
        apps.chain(open.hosts.iter().map(|accepting| (None, copy(accepting)))).collect()
    }

    /// Accepts nothing any more. Whoever holds copies of the sockets goes on.
    pub(crate) fn close_all(&self) {
        let mut open = self.lock();
        open.alive = None;
        open.hosts.clear();
        open.apps.clear();
    }

    fn accept_from(&self, listener: std::net::TcpListener, app: Option<AppName>, alive: mpsc::Sender<()>) -> io::Result<Accepting> {
        listener.set_nonblocking(true)?;
        let listener = Arc::new(TcpListener::from_std(listener)?);
        let door = Door { app, port: listener.local_addr()?.port() };
        let accepting = accept_loop(listener.clone(), door, self.shared.clone(), self.places.clone(), alive);
        Ok(Accepting { listener, task: tokio::spawn(accepting).abort_handle() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept_loop(listener: Arc<TcpListener>, door: Door, shared: Arc<Shared>, places: Arc<Semaphore>, alive: mpsc::Sender<()>) {
    let mut serving = shared.routes.serving();
    if serving.wait_for(|serving| *serving).await.is_err() {
        return;
    }
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            // Out of descriptors or memory: the connection stays in the queue, so that
            // trying at once would spin.
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(Duration::from_millis(limits::ACCEPT_PAUSE_MS)).await;
                continue;
            }
        };
        let (shared, door, alive) = (shared.clone(), door.clone(), alive.clone());
        tokio::spawn(async move {
            serve(&shared, stream, peer, &door).await;
            drop((place, alive));
        });
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted
    )
}

/// Serves one connection until either side is done with it.
async fn serve(shared: &Shared, stream: TcpStream, peer: SocketAddr, door: &Door) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut client = ClientSide::new(stream);
    let mut draining = shared.draining.clone();
    let mut idle = shared.timeouts.client_head;
    loop {
        let begun = tokio::select! {
            biased;
            begun = client.begin(idle) => begun,
            _ = draining.wait_for(|draining| *draining) => return,
        };
        if begun.is_err() {
            return;
        }
        let head = client.head(shared.timeouts.client_head).await;
        // Boxed, so that a connection without a request stays small.
        let after = match head {
            Ok(head) => Box::pin(visit::answer(shared, &mut client, peer, door, head)).await,
            Err(NoHead::Over) => return,
            Err(NoHead::TooSlow) => Box::pin(visit::refuse(shared, &mut client, peer, &failure::SLOW_HEAD)).await,
            Err(NoHead::Refused(error)) => Box::pin(visit::refuse_head(shared, &mut client, peer, error)).await,
        };
        match after {
            After::Keep => idle = shared.timeouts.client_idle,
            After::Close => return,
            After::Linger => return Box::pin(client.linger()).await,
            After::Reset => {
                if let Err(error) = client.io.set_zero_linger() {
                    tracing::debug!(%error, "a broken answer could not be reset");
                }
                return;
            }
        }
    }
}
