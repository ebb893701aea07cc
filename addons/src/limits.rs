//! Every limit of this crate.

use std::time::Duration;

/// Connections of one app's role at a time.
pub const TENANT_CONNECTIONS_MAX: u32 = 20;
/// Connections to the cluster at a time.
pub const CLUSTER_CONNECTIONS_MAX: u32 = 100;
/// Of these, kept for the platform.
pub const RESERVED_CONNECTIONS: u32 = 5;
/// Longest statement of an app, in milliseconds, unless its role sets another limit.
pub const TENANT_STATEMENT_MS_MAX: u32 = 15 * 60 * 1000;
/// Longest idle time inside a transaction, in milliseconds, unless the role sets another.
pub const TENANT_IDLE_TRANSACTION_MS_MAX: u32 = 15 * 60 * 1000;
/// Temporary files of one connection, in MiB; an app cannot raise it.
pub const TEMP_FILE_MIB_MAX: u32 = 1024;
/// Time for a stranger on the port to name itself, in seconds.
pub const AUTHENTICATION_SECONDS_MAX: u32 = 10;
/// Write-ahead log kept between checkpoints, in MiB.
pub const WAL_MIB_MAX: u32 = 256;
/// Shared buffers at least and at most, in MiB.
pub const SHARED_BUFFERS_MIB: (u64, u64) = (32, 256);
/// Part of the machine's memory that becomes shared buffers.
pub const SHARED_BUFFERS_DIVISOR: u64 = 16;
/// Parallel worker processes of the whole cluster.
pub const WORKERS_MAX: u32 = 4;

/// From the start of the cluster to its first answer; replaying a long log takes time.
pub const READY_TIMEOUT: Duration = Duration::from_mins(1);
/// Pause between two tries to reach a cluster that is starting.
pub const READY_PAUSE: Duration = Duration::from_millis(20);
/// Longest pause between two such tries.
pub const READY_PAUSE_MAX: Duration = Duration::from_millis(500);
/// One connection, from the socket to the first answer.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One task of the superuser, such as making or dropping a database.
pub const TASK_TIMEOUT: Duration = Duration::from_mins(1);

/// Random bytes of a generated password.
pub const PASSWORD_BYTES: usize = 32;
/// Versions of PostgreSQL that are looked at.
pub const VERSIONS_MAX: usize = 32;
/// Oldest major version that works: `DROP DATABASE … WITH (FORCE)`.
pub const MAJOR_VERSION_MIN: u32 = 13;
/// Bytes of a command's output that an error shows.
pub const SHOWN_OUTPUT_BYTES_MAX: usize = 2_000;
