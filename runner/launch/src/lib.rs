//! The only part of paas that may run as root: it starts runs in sandboxes that it
//! computes itself from a profile's name.
//!
//! ```text
//! server ── Frame + descriptors ──▶ launch ── operations ──▶ stage 0 ──▶ shim ──▶ child
//! server ◀───────────── Report, on the socket that came with the frame ──┴────────┘
//! ```
//! Synchronous and single-threaded; it parses frames and nothing else.

pub mod config;
pub mod folders;
pub mod host;
pub mod limits;
mod look;
pub mod names;
pub mod protocol;
pub mod sandbox;
mod serve;
mod spawn;
mod tasks;
pub mod users;
mod wipe;

pub use config::Config;
pub use look::{Leaving, Look, Size};
pub use serve::main;
pub use users::Users;
pub use wipe::wipe;

/// The sandboxes there are. Control can ask for one by name, never for a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// A process of an app.
    App,
    /// A build.
    Build,
    /// `git receive-pack` or `upload-pack` on one repository.
    Git,
    /// The exporter of a commit's tree, repository read-only.
    Export,
    /// Unpacks a slug.
    Unpack,
    /// Empties a folder as its owner.
    Wipe,
    /// A command inside a live run: enters its namespaces, makes none. Has a frame of its
    /// own, [`protocol::Frame::Join`].
    Exec,
    /// The managed PostgreSQL cluster.
    Postgres,
    /// The router.
    Router,
}

/// What launch could not do.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A frame that is cut, of another version or unknown.
    #[error("a frame cannot be read: {0}")]
    Malformed(#[from] shim::wire::Malformed),
    /// A frame that asks for something that launch never does.
    #[error("refused: {0}")]
    Refused(String),
    /// The system said no.
    #[error("{step}: {source}")]
    System {
        /// What was being done.
        step: String,
        /// The system's word for it.
        source: std::io::Error,
    },
}

impl LaunchError {
    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }

    /// Step and detail, as control hears them.
    pub(crate) fn to_report(&self) -> shim::Report {
        let (step, detail) = match self {
            Self::System { step, source } => (step.clone(), source.to_string()),
            other => ("ask launch".to_owned(), other.to_string()),
        };
        shim::Report::Failed { step, detail }
    }
}

pub(crate) trait Step<T> {
    fn step(self, name: &str) -> Result<T, LaunchError>;
}

impl<T, E: Into<std::io::Error>> Step<T> for Result<T, E> {
    fn step(self, name: &str) -> Result<T, LaunchError> {
        self.map_err(|error| LaunchError::System { step: name.to_owned(), source: error.into() })
    }
}
