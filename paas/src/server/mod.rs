//! The server: control with everything it needs from this machine.
//!
//! ```text
//! guardian ── launch socket ──▶ Runs ─┬─ Runner (apps) ─── Engine ──┐
//!                                     ├─ RouterKeeper ─ FrontDoor ──┤
//!                                     ├─ builds, git, PostgreSQL ───┤── Control ── doors
//!                                     └─ store ─────────────────────┘
//! ```
//! In order: what an earlier server left running is adopted before anything is started,
//! and the router hears of routes only once all of it is known.

mod app_logs;
mod builds;
mod databases;
mod doors;
mod engine;
mod follow;
mod front_door;
mod git_runs;
mod git_session;
mod host;
mod internal_run;
mod keeper;
mod leftovers;
mod login_keys;
mod memory_peak;
mod pack_trace;
mod postgres_run;
mod push_session;
mod repositories;
mod router_run;
mod socket;
mod start;
mod wanted_lines;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use addons::Superuser;
use api::{Failure, Kind};
use control::services::{Services, spawn_critical};
use control::store::Store;
use control::{Control, ControlSettings};
use model::{AppNumber, Secret};
use router::RouterClient;
use runner::runs::Runs;
use runner::{Runner, RunnerConfig};
use tokio::signal::unix::{SignalKind, signal};

use crate::settings::Settings;
use builds::LocalBuilders;
use databases::{DatabaseSettings, LocalDatabases};
use doors::Door;
use engine::{LocalEngine, host_environment};
use front_door::{Doorman, LocalFrontDoor, Traffic};
use host::LocalHost;
use leftovers::Orphans;
use repositories::LocalRepositories;

pub use start::{serve, server};

/// The routes of what runs already are waited for this long.
const SETTLE_MAX: Duration = Duration::from_secs(3);
/// Between looks whether they are there.
const SETTLE_STEP: Duration = Duration::from_millis(20);
/// Under which name the store keeps the superuser password of the cluster.
const SUPERUSER_KEY: &str = "postgres.superuser";

/// With what a server starts.
#[derive(Debug)]
pub struct ServerStart {
    /// The root folder.
    pub root: PathBuf,
    /// Where the router listens.
    pub http: SocketAddr,
    /// The settings of the root folder.
    pub settings: Settings,
    /// Whether launch is root, so that every app has users of its own.
    pub is_root: bool,
    /// The user id of sshd's login user, if it exists.
    pub login_uid: Option<u32>,
    /// The copy of this binary below the root folder.
    pub paas: PathBuf,
    /// Toolchains outside `/usr` that builds see.
    pub toolchain_roots: Vec<String>,
}

/// Runs until SIGTERM, SIGINT or SIGHUP. Nothing that it started ends with it.
pub async fn run(start: ServerStart, runs: Runs) -> Result<(), Failure> {
    let born_unix_ms = unix_ms();
    let store = open_store(&start.root)?;
    runs.prepare_app(AppNumber::PLATFORM).await.map_err(|error| internal_run::not_started("the platform's folders", &error))?;
    let lent = Arc::new(OnceLock::new());
    let keeper = router_run::keep(runs.clone(), &start.root, start.http, born_unix_ms, lent.clone()).await?;
    let (client, events) = RouterClient::connect(router_run::socket(&start.root));
    let client = lent.get_or_init(|| client).clone();
    let runner = Runner::start(RunnerConfig {
        root: start.root.clone(),
        runs: runs.clone(),
        lease_ports: start.settings.lease_ports.clone(),
        uid_base: start.is_root.then_some(start.settings.uid_base),
        traffic: Arc::new(Traffic(client.clone())),
    });
    let adopted = runner.adopt().await.map_err(|error| {
        Failure::new(Kind::Host, "runs.unreadable", "what an earlier server left running cannot be read").caused_by(&error)
    })?;
    // Builds and git sessions of an earlier server have nobody to answer to.
    let with_git = leftovers::end_runs(&runs).await;
    let orphans = Orphans::find(&start.root, &store).await;
    let door = LocalFrontDoor::new(client, runs.clone(), start.http.ip());
    let host = Arc::new(LocalHost::new(keeper, start.settings.memory_reserve_bytes));
    let services = services(&start, store, &runs, &runner, &door, &host, born_unix_ms).await?;
    let control = Control::start(Arc::new(services), control_settings(&start)).await?;
    if adopted.live > 0 {
        settle(&door).await;
    }
    door.open();
    services_task(&control, "router events", door.listen(events, runner.clone()));
    let unclaimed = runner.clone();
    services_task(&control, "unclaimed runs", async move { unclaimed.stop_unclaimed().await });
    for number in with_git.into_iter().filter(|number| start.root.join("repositories").join(number.to_string()).exists()) {
        // A lock of a dead push would have the next one refused.
        control.services.repositories.clean(number).await;
    }
    services_task(&control, "leftovers", orphans.remove(runs.clone(), runner.clone(), control.services.store.clone()));
    open_doors(&start, &control)?;
    tracing::info!(root = %start.root.display(), http = %start.http, adopted = adopted.live, "the server is up");
    if until_end(&host, &runner).await? == End::Everything {
        // What was being built or pushed when everything was stopped.
        leftovers::end_runs(&runs).await;
    }
    tracing::info!("the server ends");
    Ok(())
}

fn services_task(control: &Control, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    control.services.spawn_critical(name, task);
}

fn open_store(root: &Path) -> Result<Store, Failure> {
    Ok(Store::open(&root.join("store").join("paas.db"), &root.join("keys").join("secret.key"))?)
}

async fn services(
    start: &ServerStart,
    store: Store,
    runs: &Runs,
    runner: &Runner,
    door: &Arc<LocalFrontDoor>,
    host: &Arc<LocalHost>,
    born_unix_ms: i64,
) -> Result<Services, Failure> {
    let logs = app_logs::LogFolders::start(&start.root)
        .map_err(|error| Failure::new(Kind::Host, "logs.no_writer", "the log writer cannot be started").caused_by(&error))?;
    let databases = LocalDatabases::start(
        runs,
        DatabaseSettings {
            root: start.root.clone(),
            port: start.settings.postgres_port,
            superuser: superuser(start.is_root, &store).await?,
            memory_bytes: host.total_memory_bytes(),
            born_unix_ms,
        },
    );
    let builders = LocalBuilders {
        root: start.root.clone(),
        runs: runs.clone(),
        runner: runner.clone(),
        host_environment: host_environment(),
        toolchain_roots: start.toolchain_roots.clone(),
    };
    Ok(Services {
        store,
        engine: Arc::new(LocalEngine::new(runner.clone(), &start.root)),
        front_door: Arc::new(Doorman(door.clone())),
        builders: Arc::new(builders),
        databases: Arc::new(databases),
        repositories: Arc::new(LocalRepositories::new(runs.clone(), born_unix_ms)),
        logs: Arc::new(logs),
        login_keys: Arc::new(login_keys::AuthorizedKeys::new(runs.clone(), &start.root, start.paas.clone())),
        host: host.clone(),
        memory: control::memory::Ledger::default(),
        clock: unix_ms,
        fatal: end_server,
    })
}

/// In root mode the kernel vouches for paasd on the Unix socket; rootless every process
/// of the box would pass for it, so a password decides.
async fn superuser(is_root: bool, store: &Store) -> Result<Superuser, Failure> {
    if is_root {
        return Ok(Superuser::Peer { system_user: "paasd".to_owned() });
    }
    if let Some(password) = store.platform_secret(SUPERUSER_KEY).await? {
        return Ok(Superuser::Password(password));
    }
    let password: Secret = addons::generate_password().map_err(|error| Failure::internal("no random bytes", &error))?;
    store.set_platform_secret(SUPERUSER_KEY, password.clone()).await?;
    Ok(Superuser::Password(password))
}

fn control_settings(start: &ServerStart) -> ControlSettings {
    let address = start.settings.public_address.clone().unwrap_or_else(|| host::shown_address(start.http.ip()));
    ControlSettings {
        domain: start.settings.domain.clone(),
        http: start.http,
        public_address: address,
        login_user: start.settings.login_user.clone(),
        app_ports: start.settings.app_ports.clone(),
        mode: if start.is_root { "root" } else { "rootless" },
        version: env!("CARGO_PKG_VERSION"),
    }
}

async fn settle(door: &Arc<LocalFrontDoor>) {
    let deadline = tokio::time::Instant::now() + SETTLE_MAX;
    while !door.is_settled() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(SETTLE_STEP).await;
    }
}

fn open_doors(start: &ServerStart, control: &Arc<Control>) -> Result<(), Failure> {
    let sockets = start.root.join("sockets");
    let listen = |name: &str, mode: u32| {
        doors::listen(&sockets.join(name), mode)
            .map_err(|error| Failure::new(Kind::Host, "socket.not_made", format!("the socket {name} cannot be made")).caused_by(&error))
    };
    let operator = listen("operator.sock", 0o600)?;
    let visitors = listen("door.sock", 0o666)?;
    let login_uid = start.login_uid.unwrap_or(nix::unistd::geteuid().as_raw());
    services_task(control, "operator door", doors::serve(control.clone(), Door::Operator, operator));
    services_task(control, "visitors' door", doors::serve(control.clone(), Door::Visitors { login_uid }, visitors));
    Ok(())
}

/// What ends with the server.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Nothing: apps, router and database go on.
    Server,
    /// All that it runs (`stop --all`).
    Everything,
}

async fn until_end(host: &Arc<LocalHost>, runner: &Runner) -> Result<End, Failure> {
    let no_signals = |error: std::io::Error| Failure::internal("signals cannot be heard", &error);
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(no_signals)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
        () = host.told_to_stop() => return Ok(End::Everything),
        () = runner.panicked() => {
            return Err(Failure::new(Kind::Internal, "internal", "a task that keeps apps running has failed; apps go on, start the server again"));
        }
    }
    tracing::info!("apps, router and database go on");
    Ok(End::Server)
}

/// A critical task has failed: end, so that a new server adopts everything.
fn end_server(task: &str) {
    tracing::error!(task, "a critical task has failed, the server ends");
    std::process::abort();
}

/// Milliseconds since 1970 UTC.
fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
