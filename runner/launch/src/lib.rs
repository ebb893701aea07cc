//! The only part of paas that may run as root: it starts runs in sandboxes that it
//! computes itself from a profile's name.

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
    /// A command beside a live run, in its namespaces.
    Exec,
    /// The managed PostgreSQL cluster.
    Postgres,
    /// The router.
    Router,
}
