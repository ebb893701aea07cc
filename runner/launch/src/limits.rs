//! Every limit of launch, with its unit.

/// Highest number of an app: bounds the range of user ids.
pub const APPS_MAX: u32 = 10_000;
/// Largest frame.
pub const FRAME_BYTES_MAX: usize = 4 * 1024;
/// Longest name of a run's folder, a build or a host.
pub const NAME_CHARS_MAX: usize = 128;
/// Longest host name inside (Linux: 64 with its end).
pub const HOSTNAME_CHARS_MAX: usize = 63;
/// Largest `authorized_keys`.
pub const AUTHORIZED_KEYS_BYTES_MAX: u64 = 1024 * 1024;
/// Largest `resolv.conf` that is copied.
pub const RESOLV_CONF_BYTES_MAX: u64 = 64 * 1024;
/// Entries of `/etc` that are looked at.
pub const ETC_ENTRIES_MAX: usize = 5_000;
/// How long stage 0 may take to make a sandbox, in milliseconds.
pub const STAGE_MS_MAX: u64 = 20_000;
/// How long the sender of a signal may take, in milliseconds.
pub const SIGNAL_MS_MAX: u64 = 5_000;
/// Connections that wait in a listener.
pub const BACKLOG: i32 = 1_024;
/// Size of the tmpfs that holds the root's folders and small files, in bytes.
pub const ROOT_BYTES: u64 = 4 * 1024 * 1024;
/// Size of the tmpfs that holds the device files, in bytes.
pub const DEVICES_BYTES: u64 = 64 * 1024;
/// Files of the tmpfs that holds the device files.
pub const DEVICES_INODES: u64 = 64;
/// Size of `/tmp`, in bytes.
pub const TEMPORARY_BYTES: u64 = 512 * 1024 * 1024;
/// Size of `/tmp` of a build, in bytes.
pub const BUILD_TEMPORARY_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Files in `/tmp`.
pub const TEMPORARY_INODES: u64 = 200_000;
/// Size of `/dev/shm`, in bytes.
pub const SHARED_MEMORY_BYTES: u64 = 64 * 1024 * 1024;
/// Size of `/dev/shm` of PostgreSQL, whose parallel queries live there, in bytes.
pub const POSTGRES_SHARED_MEMORY_BYTES: u64 = 512 * 1024 * 1024;
/// Files in `/dev/shm`.
pub const SHARED_MEMORY_INODES: u64 = 10_000;
/// Most processes and threads of one user of an app: a fork bomb ends here. As root that is
/// the app with all its instances, since they share a user; rootless each run, since each has
/// a user namespace of its own. It does not grow with the formation: a limit is set when a
/// process starts, so the instances that run already would keep the one of a smaller app.
/// Hence so generous: 500 instances of 16 threads, or a few hundred threads of Java each in
/// twenty. A process that only waits costs the kernel some 50 KiB, so a bomb of small ones
/// 400 MiB.
pub const APP_TASKS_MAX: u64 = 8_192;
/// Of the processes that the machine can have, no user of an app takes more than one in this
/// many: on a small machine the kernel's own limit is below the one above.
pub const MACHINE_TASKS_SHARE: u64 = 4;
/// Process ids begin somewhere below this, so that stale pid files name nobody.
pub const FIRST_PID_MAX: u32 = 30_000;
/// Entries of an app's folder that one look sees.
pub const LOOK_ENTRIES_MAX: usize = 20_000;
/// How deep a look goes; each level costs a descriptor.
pub const LOOK_DEPTH_MAX: usize = 32;
