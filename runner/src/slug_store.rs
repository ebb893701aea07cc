//! Slugs unpacked: `releases/N/SHA256/`, made once per app and slug as the app's own
//! user, and trusted only once `releases/N/SHA256.ready` says that it is whole. The mark
//! lies beside the folder, out of the app's reach.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use model::{AppNumber, ExitStatus, SlugId};

use crate::limits::UNPACK_TIMEOUT;
use crate::runs::{Helper, HelperError, Runs, StartError};

/// Why a slug could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum SlugError {
    /// The file is not there or cannot be read.
    #[error("the slug {slug} cannot be opened")]
    Missing {
        /// Which.
        slug: SlugId,
        /// Why.
        source: io::Error,
    },
    /// The mark, a pipe or `/dev/null`.
    #[error("unpacking slug {slug}")]
    Io {
        /// Which.
        slug: SlugId,
        /// Why.
        source: io::Error,
    },
    /// The process that unpacks could not be started.
    #[error("unpacking slug {slug} could not be started")]
    Start {
        /// Which.
        slug: SlugId,
        /// Why.
        source: StartError,
    },
    /// It said no.
    #[error("unpacking slug {slug} {status}: {complaint}")]
    Refused {
        /// Which.
        slug: SlugId,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        complaint: String,
    },
    /// It took too long and was killed.
    #[error("unpacking slug {slug} took longer than {} s", UNPACK_TIMEOUT.as_secs())]
    TimedOut {
        /// Which.
        slug: SlugId,
    },
}

type Gate = Arc<tokio::sync::Mutex<()>>;

/// The unpacked slugs of a root folder; cheap to clone.
#[derive(Debug, Clone)]
pub struct SlugStore {
    root: PathBuf,
    runs: Runs,
    gates: Arc<Mutex<BTreeMap<(AppNumber, SlugId), Gate>>>,
}

impl SlugStore {
    /// A store below a root folder.
    pub fn new(root: PathBuf, runs: Runs) -> Self {
        Self { root, runs, gates: Arc::default() }
    }

    /// Where slugs lie packed: `slugs/SHA256.tar.gz`.
    pub fn packed(&self, slug: SlugId) -> PathBuf {
        self.root.join("slugs").join(format!("{slug}.tar.gz"))
    }

    /// Makes sure that a slug is there for an app. `folder` names the run that unpacks it,
    /// if that is needed; two calls for the same slug unpack it once.
    pub async fn ensure(&self, app: AppNumber, slug: SlugId, folder: impl FnOnce() -> String) -> Result<(), SlugError> {
        let gate = self.gate(app, slug);
        let opened = gate.lock().await;
        let result = self.ensure_alone(app, slug, folder).await;
        drop(opened);
        self.close_gate(app, slug, &gate);
        result
    }

    /// Removes an unpacked slug that no release of the app needs.
    pub async fn remove(&self, app: AppNumber, slug: SlugId) -> Result<(), SlugError> {
        let gate = self.gate(app, slug);
        let opened = gate.lock().await;
        let result = self.remove_alone(app, slug).await;
        drop(opened);
        self.close_gate(app, slug, &gate);
        result
    }

    async fn ensure_alone(&self, app: AppNumber, slug: SlugId, folder: impl FnOnce() -> String) -> Result<(), SlugError> {
        let io_error = |source| SlugError::Io { slug, source };
        let mark = self.mark(app, slug);
        if mark.exists() {
            return Ok(());
        }
        let packed = std::fs::File::open(self.packed(slug)).map_err(|source| SlugError::Missing { slug, source })?;
        // What an interrupted server left behind may be anything.
        self.remove_alone(app, slug).await?;
        let helper = Helper {
            profile: launch::Profile::Unpack,
            word: "unpack",
            words: Vec::new(),
            answers: false,
            app,
            folder: folder(),
            subject: slug.to_string(),
            descriptors: vec![packed.into()],
            time: UNPACK_TIMEOUT,
        };
        helper.run(&self.runs).await.map(drop).map_err(|error| match error {
            HelperError::Io(source) => SlugError::Io { slug, source },
            HelperError::Start(source) => SlugError::Start { slug, source },
            HelperError::TimedOut => SlugError::TimedOut { slug },
            HelperError::Refused(status, complaint) => SlugError::Refused { slug, status, complaint },
        })?;
        on_disk(mark, mark_ready).await.map_err(io_error)
    }

    async fn remove_alone(&self, app: AppNumber, slug: SlugId) -> Result<(), SlugError> {
        let mark = self.mark(app, slug);
        on_disk(mark.clone(), unmark).await.map_err(|source| SlugError::Io { slug, source })?;
        if std::fs::symlink_metadata(mark.with_extension("")).is_ok() {
            let subject = format!("releases/{slug}");
            self.runs.wipe(app, &subject).await.map_err(|source| SlugError::Start { slug, source })?;
        }
        Ok(())
    }

    fn mark(&self, app: AppNumber, slug: SlugId) -> PathBuf {
        self.root.join("releases").join(app.to_string()).join(format!("{slug}.ready"))
    }

    fn gate(&self, app: AppNumber, slug: SlugId) -> Gate {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner).entry((app, slug)).or_default().clone()
    }

    fn close_gate(&self, app: AppNumber, slug: SlugId, gate: &Gate) {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and this one: nobody waits.
        if Arc::strong_count(gate) <= 2 {
            gates.remove(&(app, slug));
        }
    }
}

/// Marks a tree that another process wrote. The mark itself need not be durable: a tree
/// without one is unpacked again. But after a power cut none may stand beside half a tree,
/// so the tree goes to the disk first, by way of the file system that both lie on: what is
/// in it is the app's, and not opened here.
fn mark_ready(mark: &Path) -> io::Result<()> {
    let parent = mark.parent().ok_or(io::ErrorKind::InvalidFilename)?;
    rustix::fs::syncfs(std::fs::File::open(parent)?)?;
    std::fs::File::create(mark).map(drop)
}

/// Takes the mark away, durably: what happens to the tree next may reach the disk first.
fn unmark(mark: &Path) -> io::Result<()> {
    match std::fs::remove_file(mark) {
        Ok(()) => std::fs::File::open(mark.parent().ok_or(io::ErrorKind::InvalidFilename)?)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Off the runtime: the disk may be busy for seconds.
async fn on_disk(mark: PathBuf, act: fn(&Path) -> io::Result<()>) -> io::Result<()> {
    tokio::task::spawn_blocking(move || act(&mark)).await.map_err(io::Error::other)?
}
