//! Add-ons: what an app gets beside its processes. PostgreSQL: one cluster that `paas`
//! runs itself, a database and a role for each app.
//!
//! How processes are run is the caller's: see [`ClusterHost`].

pub mod limits;
pub mod postgres;

pub use postgres::{
    Binaries, BoxFuture, Cluster, ClusterError, ClusterHost, CommandOutput, Info, Layout, PgIdent, Settings, Superuser, Tenant,
    find_binaries, generate_password,
};
