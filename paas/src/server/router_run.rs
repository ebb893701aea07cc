//! The router as a run of the platform: its sandbox, and what it listens on.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use api::{Failure, Kind};
use control::seams::BoxFuture;
use model::AppNumber;
use router::RouterClient;
use runner::runs::{Output, RunRequest, Runs};

use super::internal_run::{plumbing, spec};
use super::keeper::{Keeper, Platform};

/// A router that is stopped finishes its requests within this.
const STOP_GRACE: Duration = Duration::from_secs(35);

struct RouterRun {
    runs: Runs,
    socket: PathBuf,
    http: SocketAddr,
    /// Copies of what the router listens on, so that its queue outlives it.
    listeners: Mutex<Option<(OwnedFd, OwnedFd)>>,
    /// Has what a router of an earlier server handed back.
    client: Arc<OnceLock<RouterClient>>,
}

/// Adopts the router of an earlier server, or starts one; from then on there is one.
/// `client` is to be set once it can speak to that.
pub async fn keep(
    runs: Runs,
    root: &Path,
    http: SocketAddr,
    born_unix_ms: i64,
    client: Arc<OnceLock<RouterClient>>,
) -> Result<Arc<Keeper>, Failure> {
    let router = RouterRun { runs: runs.clone(), socket: socket(root), http, listeners: Mutex::new(None), client };
    let keeper = Keeper::new(Box::new(router), runs, root.to_owned(), born_unix_ms);
    keeper.begin();
    keeper.first().await?;
    Ok(keeper)
}

/// The router's control socket.
pub fn socket(root: &Path) -> PathBuf {
    root.join("sockets").join("router.sock")
}

impl RouterRun {
    /// What a router listens on: the copies from before, what the last one handed back, or
    /// opened now.
    async fn listening(&self) -> Result<(OwnedFd, OwnedFd), Failure> {
        if let Some(copies) = self.copies().map_err(|error| plumbing(&error))? {
            return Ok(copies);
        }
        if let Some(http) = self.client.get().and_then(|client| client.front(self.http)) {
            return self.open_control(http).map_err(|error| plumbing(&error));
        }
        let http = self.runs.bind(self.http).await.map_err(|error| {
            Failure::new(Kind::Host, "http.not_bound", format!("cannot listen on {}", self.http))
                .why("another program may have this port, or it needs root")
                .fix("choose another with `paas server --http ADDRESS:PORT`, or see who has it with `ss -ltnp`")
                .caused_by(&error)
        })?;
        self.open_control(http).map_err(|error| plumbing(&error))
    }

    fn copies(&self) -> io::Result<Option<(OwnedFd, OwnedFd)>> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = |(control, http): &(OwnedFd, OwnedFd)| Ok((control.as_fd().try_clone_to_owned()?, http.as_fd().try_clone_to_owned()?));
        listeners.as_ref().map(copy).transpose()
    }

    fn open_control(&self, http: OwnedFd) -> io::Result<(OwnedFd, OwnedFd)> {
        match std::fs::remove_file(&self.socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let control = OwnedFd::from(std::os::unix::net::UnixListener::bind(&self.socket)?);
        let copies = (control.try_clone()?, http.try_clone()?);
        *self.listeners.lock().unwrap_or_else(PoisonError::into_inner) = Some(copies);
        Ok((control, http))
    }
}

impl Platform for RouterRun {
    fn kind(&self) -> &'static str {
        "router"
    }

    fn name(&self) -> &'static str {
        "the router"
    }

    fn setting(&self) -> String {
        self.http.to_string()
    }

    fn grace(&self) -> Duration {
        STOP_GRACE
    }

    fn order(&self, folder: String) -> BoxFuture<'_, Result<RunRequest, Failure>> {
        Box::pin(async move {
            let (control, http) = self.listening().await?;
            Ok(RunRequest {
                profile: launch::Profile::Router,
                app: AppNumber::PLATFORM,
                folder,
                subject: None,
                output: Output::Log("router-output".to_owned()),
                descriptors: vec![control, http],
                spec: spec(&["/paas", "internal", "router"], "/", &[]),
            })
        })
    }
}
