//! A box that outlives its servers, and one server of it.

pub(crate) mod asks;
pub(crate) mod builders;
pub(crate) mod door;
pub(crate) mod engine;
pub(crate) mod instances;
pub(crate) mod others;
pub(crate) mod pushes;
pub(crate) mod server;
pub(crate) mod words;

use std::cell::Cell;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use control::store::Store;

pub(crate) use server::Server;
pub(crate) use words::{COMMIT_A, COMMIT_B, COMMIT_C, app, version};

use builders::FakeBuilders;
use instances::Machine;
use others::{FakeDatabases, FakeHost, FakeKeys, FakeLogs, FakeRepositories, Stops};

/// A story that takes longer has lost its way.
const STORY_MAX: Duration = Duration::from_mins(1);

thread_local! {
    /// Whether a critical task of this story's server has panicked.
    pub(crate) static FATAL: Cell<bool> = const { Cell::new(false) };
}

/// What a mutex holds, whoever panicked with it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is on the box whether a server runs or not.
pub(crate) struct Site {
    pub store: Store,
    folder: Option<tempfile::TempDir>,
    pub machine: Arc<Machine>,
    pub builders: Arc<FakeBuilders>,
    pub databases: Arc<FakeDatabases>,
    pub repositories: Arc<FakeRepositories>,
    pub logs: Arc<FakeLogs>,
    pub keys: Arc<FakeKeys>,
    pub host: Arc<FakeHost>,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with(Store::in_memory().expect("a store in memory"), None)
    }

    /// A store that [`Site::sabotage`] reaches.
    pub(crate) fn on_disk() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("paas.db"), &folder.path().join("secret.key")).expect("a store");
        Self::with(store, Some(folder))
    }

    /// Lets every change of this kind fail, such as `UPDATE OF name ON apps`; ends with what is returned.
    pub(crate) fn sabotage(&self, change: &str) -> impl Drop + use<> {
        let db = self.second_connection();
        let sql = format!("CREATE TRIGGER sabotage BEFORE {change} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END");
        db.execute_batch(&sql).expect("sabotaged");
        Sabotage(db)
    }

    /// Nothing can be stored until what is returned is dropped; what is asked for waits.
    pub(crate) fn hold_disk(&self) -> rusqlite::Connection {
        let db = self.second_connection();
        db.execute_batch("BEGIN IMMEDIATE").expect("held");
        db
    }

    fn second_connection(&self) -> rusqlite::Connection {
        let path = self.folder.as_ref().expect("a site on disk").path().join("paas.db");
        rusqlite::Connection::open(path).expect("the file")
    }

    fn with(store: Store, folder: Option<tempfile::TempDir>) -> Self {
        let (machine, stops) = (Arc::new(Machine::default()), Stops::default());
        Self {
            store,
            folder,
            builders: Arc::new(FakeBuilders::new(machine.clone())),
            machine,
            databases: Arc::new(FakeDatabases { stops: stops.clone(), ..FakeDatabases::default() }),
            repositories: Arc::default(),
            logs: Arc::default(),
            keys: Arc::default(),
            host: Arc::new(FakeHost { stops, ..FakeHost::default() }),
        }
    }

    /// Runs a server until `story` ends, then kills it like SIGKILL does: none of its
    /// tasks takes another step.
    pub(crate) fn while_up<T>(&self, story: impl AsyncFnOnce(Server) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        let (over, watch) = mpsc::channel::<()>();
        let result = runtime.block_on(async {
            // While this blocks, the paused clock stands still: the store's thread is no
            // timer, and time must not jump while only that works.
            let watchdog = tokio::task::spawn_blocking(move || watch.recv_timeout(STORY_MAX) == Err(mpsc::RecvTimeoutError::Timeout));
            let server = Server::start(self).await;
            tokio::select! {
                result = story(server) => result,
                late = watchdog => panic!("the story did not end within {STORY_MAX:?}: {late:?}"),
            }
        });
        drop(over);
        drop(runtime);
        self.machine.lose_server();
        assert!(!FATAL.get(), "a critical task has panicked");
        result
    }
}

struct Sabotage(rusqlite::Connection);

impl Drop for Sabotage {
    fn drop(&mut self) {
        let _ = self.0.execute_batch("DROP TRIGGER sabotage");
    }
}

/// Lets every task take its steps until `found` finds something.
pub(crate) async fn until<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "waited in vain until {what}");
        tokio::task::yield_now().await;
    }
}
