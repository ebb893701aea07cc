//! The front door: a process of its own that outlives the server.
//!
//! ```text
//! accept ─▶ head ─▶ request ─▶ app (by Host or port) ─▶ admit ─▶ exchange ─▶ access line
//!                                   │                     │          └ 101 ─▶ tunnel
//!                             404, welcome          hold, H10, H14, …
//! ```
//!
//! It knows routes and runs, not releases, users or the store. What it serves comes
//! over the control socket (see [`protocol`]); with nobody there it serves what it had.
//! [`client::RouterClient`] is the server's end of that conversation.

mod access_log;
mod admit;
pub mod client;
mod client_side;
mod control;
mod exchange;
mod failure;
mod frames;
mod http;
mod instance;
pub mod limits;
mod listen;
mod outlet;
mod pages;
mod pending;
pub mod protocol;
mod state;
mod table;
mod tunnel;
mod upstream;
mod visit;

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

pub use client::{RouterClient, RouterEvent};
pub use frames::ConversationError;
pub use protocol::TroubleKind;
pub use state::Timeouts;

use access_log::AccessLog;
use instance::Surroundings;
use listen::Doors;
use protocol::FromRouter;
use state::{Random, Shared};
use table::Routes;

/// What a router is started with.
#[derive(Debug)]
pub struct RouterOptions {
    /// The listening control socket, inherited.
    pub control: UnixListener,
    /// Listening sockets where host names decide, inherited.
    pub listeners: Vec<TcpListener>,
    /// Where access lines go.
    pub log_directory: PathBuf,
}

/// A router that could not start.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// The runtime, its thread or the signal handler could not be made.
    #[error("the router cannot start")]
    Start(#[source] io::Error),
    /// An inherited socket is not what it should be.
    #[error("an inherited socket cannot be used")]
    Socket(#[source] io::Error),
}

/// Runs a router until SIGTERM, and then until its requests are done or 30 s are over.
pub fn run(options: RouterOptions) -> Result<(), RouterError> {
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(RouterError::Start)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(RouterError::Start)?;
        serve(options, Timeouts::default(), async move {
            terminate.recv().await;
        })
        .await
    })
}

/// Runs a router in the caller's runtime until `stop` resolves, and then drains.
pub async fn serve(options: RouterOptions, timeouts: Timeouts, stop: impl Future<Output = ()>) -> Result<(), RouterError> {
    let (drain, draining) = watch::channel(false);
    let surroundings = Arc::new(Surroundings::new());
    let shared = Arc::new(Shared {
        routes: Routes::new(surroundings.clone()),
        surroundings,
        access: AccessLog::start(options.log_directory).map_err(RouterError::Start)?,
        timeouts,
        random: Random::default(),
        held: AtomicUsize::new(0),
        draining,
    });
    let (doors, mut gone) = Doors::new(shared.clone(), client_places());
    let doors = Arc::new(doors);
    for listener in options.listeners {
        doors.open_for_hosts(listener).map_err(RouterError::Socket)?;
    }
    options.control.set_nonblocking(true).map_err(RouterError::Socket)?;
    let control = tokio::net::UnixListener::from_std(options.control).map_err(RouterError::Socket)?;
    let servers = tokio::spawn(control::take_servers(control, shared.clone(), doors.clone()));
    let sweeping = tokio::spawn(sweep(shared.clone()));
    stop.await;
    // The next router takes the next server; this one keeps its own to tell of idle runs.
    servers.abort();
    doors.close_all();
    drain.send_replace(true);
    shared.surroundings.outlet.send(FromRouter::Leaving);
    drop(doors);
    if timeout(timeouts.drain, gone.recv()).await.is_err() {
        tracing::warn!("requests were still in flight when the time to drain was over");
    }
    sweeping.abort();
    shared.access.finish();
    Ok(())
}

/// Closes unused connections to instances after a while; sleeps while there are none.
async fn sweep(shared: Arc<Shared>) {
    loop {
        shared.surroundings.unused.notified().await;
        loop {
            tokio::time::sleep(Duration::from_millis(limits::UPSTREAM_SWEEP_MS)).await;
            if !shared.routes.sweep() {
                break;
            }
        }
    }
}

/// An ordinary login's soft limit is 1,024, too few for a front door. It is low for the
/// sake of `select`, which nothing here calls; who started this router may not have raised it.
fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files stays low");
    }
}

/// Each client may need a connection to an instance as well.
fn client_places() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    (descriptors.saturating_sub(limits::DESCRIPTORS_RESERVED) / 2).clamp(16, limits::CLIENT_CONNECTIONS_MAX)
}
