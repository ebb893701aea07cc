//! The managed PostgreSQL.
//!
//! Walls between apps: an app's role reaches its own database only (`samerole` in
//! pg_hba.conf, CONNECT granted to its group alone); an administrator role that nobody can
//! log in as owns the databases; the superuser comes by the Unix socket only and is let
//! into two databases that no app ever writes to. Locks, disk and connection slots stay
//! shared.

mod binaries;
mod cluster;
mod files;
mod host;
mod ident;
mod password;
mod session;
mod tenant;

pub use binaries::{Binaries, find_binaries};
pub use cluster::{Cluster, ClusterError, Layout, Settings, Superuser};
pub use host::{BoxFuture, ClusterHost, CommandOutput};
pub use ident::PgIdent;
pub use password::generate_password;
pub use tenant::{Info, Tenant};
