//! The files and commands of the cluster, as texts.

use super::cluster::{Layout, Superuser};
use super::{Binaries, Settings};
use crate::limits;

/// Makes the cluster beside its place and moves it there when it is whole. The superuser's
/// password comes by stdin: in the words of a command everybody could read it.
/// Words: folder, initdb, local method.
const INITDB_SCRIPT: &str = r#"set -eu
umask 077
cd "$1"
if [ -f cluster/PG_VERSION ]; then exit 0; fi
rm -rf cluster.new password.new
cat > password.new
set -- "$2" -D cluster.new -U postgres -E UTF8 --locale=C.UTF-8 --data-checksums --no-instructions "$3"
if [ -s password.new ]; then set -- "$@" --auth-host=scram-sha-256 --pwfile=password.new; else set -- "$@" --auth-host=reject; fi
"$@" || { code=$?; rm -rf cluster.new password.new; exit "$code"; }
rm -f password.new
# A folder that holds no cluster is nobody's data; `mv -T` refuses one that is not empty.
mv -T cluster.new cluster
"#;

/// Writes the settings afresh, removes the locks of a killed server (its process ids mean
/// nothing in a new PID namespace; the caller made sure that it is dead) and becomes the
/// server. Words: folder, socket folder, the three files, the program.
const START_SCRIPT: &str = r#"set -eu
umask 077
cd "$1/cluster"
printf '%s' "$3" > postgresql.conf
printf '%s' "$4" > pg_hba.conf
printf '%s' "$5" > pg_ident.conf
rm -f postmaster.pid "$2"/.s.PGSQL.*
exec "$6" -D "$1/cluster"
"#;

fn script(text: &str, words: &[&str]) -> Vec<String> {
    ["/bin/sh", "-c", text, "sh"].iter().chain(words).map(|word| (*word).to_owned()).collect()
}

pub(super) fn initdb(layout: &Layout, superuser: &Superuser, binaries: &Binaries) -> Vec<String> {
    let local = match superuser {
        Superuser::Peer { .. } => "--auth-local=peer",
        Superuser::Password(_) => "--auth-local=scram-sha-256",
    };
    script(INITDB_SCRIPT, &[&layout.data, &binaries.program("initdb"), local])
}

/// Prints the version of the cluster, or nothing if there is none.
pub(super) fn cluster_version(layout: &Layout) -> Vec<String> {
    script(r#"if [ -f "$1" ]; then cat "$1"; fi"#, &[&format!("{}/cluster/PG_VERSION", layout.data)])
}

pub(super) fn start(settings: &Settings, binaries: &Binaries) -> Vec<String> {
    let layout = &settings.layout;
    script(
        START_SCRIPT,
        &[
            &layout.data,
            &layout.socket,
            &postgresql_conf(settings),
            &pg_hba_conf(&settings.superuser),
            &pg_ident_conf(&settings.superuser),
            &binaries.program("postgres"),
        ],
    )
}

/// The settings of the server. `ssl` is off: clients come over the loopback interface only.
fn postgresql_conf(settings: &Settings) -> String {
    let (smallest, largest) = limits::SHARED_BUFFERS_MIB;
    let memory_mib = settings.memory_bytes / (1024 * 1024);
    let shared_buffers_mib = (memory_mib / limits::SHARED_BUFFERS_DIVISOR).clamp(smallest, largest);
    let lines = [
        // Who can come.
        "listen_addresses = '127.0.0.1'".to_owned(),
        format!("port = {}", settings.port),
        format!("unix_socket_directories = '{}'", settings.layout.socket.replace('\'', "''")),
        format!("max_connections = {}", limits::CLUSTER_CONNECTIONS_MAX),
        format!("superuser_reserved_connections = {}", limits::RESERVED_CONNECTIONS),
        format!("authentication_timeout = {}s", limits::AUTHENTICATION_SECONDS_MAX),
        "password_encryption = 'scram-sha-256'".to_owned(),
        "ssl = off".to_owned(),
        // What it takes.
        format!("shared_buffers = {shared_buffers_mib}MB"),
        "work_mem = 4MB".to_owned(),
        "maintenance_work_mem = 32MB".to_owned(),
        format!("effective_cache_size = {}MB", shared_buffers_mib * 4),
        "huge_pages = off".to_owned(),
        "jit = off".to_owned(),
        format!("max_worker_processes = {}", limits::WORKERS_MAX),
        "max_parallel_workers_per_gather = 1".to_owned(),
        "autovacuum_max_workers = 2".to_owned(),
        format!("temp_file_limit = {}MB", limits::TEMP_FILE_MIB_MAX),
        // What it keeps.
        "max_wal_senders = 0".to_owned(),
        format!("max_wal_size = {}MB", limits::WAL_MIB_MAX),
        "min_wal_size = 32MB".to_owned(),
        "wal_compression = on".to_owned(),
        "checkpoint_timeout = 15min".to_owned(),
        // What it says: its own troubles, not the statements of apps, which hold their data.
        "log_destination = 'stderr'".to_owned(),
        "logging_collector = off".to_owned(),
        "log_min_error_statement = panic".to_owned(),
        "log_line_prefix = '%q%u@%d '".to_owned(),
        "lc_messages = 'C'".to_owned(),
        "timezone = 'UTC'".to_owned(),
        "log_timezone = 'UTC'".to_owned(),
        "default_text_search_config = 'pg_catalog.english'".to_owned(),
    ];
    format!("# Written by paas at each start; changes are lost.\n{}\n", lines.join("\n"))
}

/// Who can come in: the first line that fits decides. `postgres` counts as a member of
/// itself, so that it must be refused before `samerole` is asked.
fn pg_hba_conf(superuser: &Superuser) -> String {
    let method = match superuser {
        Superuser::Peer { .. } => "peer map=paas",
        Superuser::Password(_) => "scram-sha-256",
    };
    format!(
        "# Written by paas at each start; changes are lost.\n\
         # type  database              user      address       method\n\
         local   postgres,paas_tenant  postgres                {method}\n\
         local   all                   all                     reject\n\
         host    all                   postgres  all           reject\n\
         host    samerole              all       127.0.0.1/32  scram-sha-256\n\
         host    all                   all       all           reject\n"
    )
}

fn pg_ident_conf(superuser: &Superuser) -> String {
    match superuser {
        Superuser::Peer { system_user } => format!("paas \"{}\" postgres\n", system_user.replace('"', "")),
        Superuser::Password(_) => String::new(),
    }
}
