//! Databases, repositories, logs, keys and the machine, as control sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use api::git::Verb;
use api::logs::{Line, Logs};
use api::{Failure, Kind};
use control::seams::{AppLogs, BoxFuture, Database, Databases, Host, Lines, LoginKeys, PushDescriptors, Repositories, Session, Stdio};
use model::{AppNumber, Secret};
use tokio::sync::{mpsc, watch};

use super::lock;
use super::pushes::source;

/// What was stopped, in order.
pub(crate) type Stops = Arc<Mutex<Vec<&'static str>>>;

#[derive(Default)]
pub(crate) struct FakeDatabases {
    pub stops: Stops,
    /// While true, no database can be made.
    pub broken: AtomicBool,
    /// Apps of which not even the address of their database can be told.
    pub lost: Mutex<BTreeSet<AppNumber>>,
    pub removed: Mutex<Vec<AppNumber>>,
}

impl Databases for FakeDatabases {
    fn kind(&self) -> &'static str {
        "postgresql"
    }

    fn ensure(&self, number: AppNumber, kind: &str, password: Option<Secret>) -> BoxFuture<'_, Result<Database, Failure>> {
        let none = kind == "none";
        Box::pin(async move {
            if none {
                return Ok(Database { kind: "none", url: None, password: None, note: None });
            }
            if lock(&self.lost).contains(&number) || self.broken.load(Ordering::SeqCst) && password.is_none() {
                return Err(Failure::new(Kind::Host, "database.unavailable", "the database cluster cannot be used"));
            }
            let password = password.unwrap_or_else(|| Secret::new("s3cr3t"));
            let url = format!("postgresql://r{number}:{}@127.0.0.1:25432/d{number}", password.reveal());
            Ok(Database { kind: "postgresql", url: Some(Secret::new(url)), password: Some(password), note: None })
        })
    }

    fn remove(&self, number: AppNumber) -> BoxFuture<'_, Result<(), Failure>> {
        lock(&self.removed).push(number);
        Box::pin(async { Ok(()) })
    }

    fn info(&self, _: AppNumber) -> BoxFuture<'_, Result<api::pg::InfoReply, Failure>> {
        Box::pin(async {
            Ok(api::pg::InfoReply { kind: "postgresql".to_owned(), version: None, database: None, bytes: None, connections: None })
        })
    }

    fn psql(&self) -> Result<String, Failure> {
        Ok("/usr/lib/postgresql/15/bin/psql".to_owned())
    }

    fn summary(&self) -> String {
        "PostgreSQL 15 up".to_owned()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { lock(&self.stops).push("database") })
    }
}

#[derive(Default)]
pub(crate) struct FakeRepositories {
    /// Where refs are.
    pub refs: Mutex<BTreeMap<String, String>>,
    /// Whose were made, each time.
    pub created: Mutex<Vec<AppNumber>>,
    /// Whose leftovers were removed, each time.
    pub cleaned: Mutex<Vec<AppNumber>>,
    /// Cleaning takes as long as this is true.
    pub cleaning_held: watch::Sender<bool>,
}

impl Repositories for FakeRepositories {
    fn create(&self, number: AppNumber) -> BoxFuture<'_, Result<(), Failure>> {
        lock(&self.created).push(number);
        Box::pin(async { Ok(()) })
    }

    fn resolve(&self, _: AppNumber, reference: &str) -> BoxFuture<'_, Result<Option<String>, Failure>> {
        let found = match reference.len() {
            40 => Some(reference.to_owned()),
            _ => lock(&self.refs).get(reference).cloned(),
        };
        Box::pin(async { Ok(found) })
    }

    fn export(
        &self,
        _: AppNumber,
        _: &str,
        _: Option<String>,
        _: Lines,
        _: Arc<OnceLock<Failure>>,
    ) -> BoxFuture<'_, Result<OwnedFd, Failure>> {
        Box::pin(async { Ok(source()) })
    }

    fn serve(
        &self,
        _: AppNumber,
        _: Verb,
        _: Option<String>,
        _: Stdio,
        _: Option<PushDescriptors>,
    ) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
        Box::pin(async { Err(Failure::new(Kind::Internal, "internal", "no story pushes through git")) })
    }

    fn clean(&self, number: AppNumber) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut held = self.cleaning_held.subscribe();
            lock(&self.cleaned).push(number);
            let _ = held.wait_for(|held| !held).await;
        })
    }
}

#[derive(Default)]
pub(crate) struct FakeLogs {
    /// `web.1: text`.
    pub written: Mutex<Vec<String>>,
}

impl AppLogs for FakeLogs {
    fn write(&self, _: AppNumber, process: &str, text: &str) {
        lock(&self.written).push(format!("{process}: {text}"));
    }

    fn reaches_past(&self, _: AppNumber, query: &Logs) -> BoxFuture<'_, Option<String>> {
        let told = query.since_unix_us.map(|_| "the oldest line that is kept is of 2026-01-02".to_owned());
        Box::pin(async move { told })
    }

    fn read(&self, _: AppNumber, _: Logs, sink: mpsc::Sender<Line>) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            for number in 0..3 {
                let line = Line {
                    at_unix_us: number,
                    source: "app".to_owned(),
                    process: "web.1".to_owned(),
                    release: None,
                    text: format!("line {number}"),
                };
                let _ = sink.send(line).await;
            }
            Ok(())
        })
    }
}

#[derive(Default)]
pub(crate) struct FakeKeys {
    pub keys: Mutex<Vec<String>>,
    /// While true, the list cannot be written.
    pub broken: AtomicBool,
}

impl LoginKeys for FakeKeys {
    fn write(&self, keys: Vec<(String, String, String)>) -> BoxFuture<'_, Result<(), Failure>> {
        if self.broken.load(Ordering::SeqCst) {
            return Box::pin(async { Err(Failure::new(Kind::Host, "internal", "no space left on device")) });
        }
        *lock(&self.keys) = keys.into_iter().map(|(fingerprint, _, _)| fingerprint).collect();
        Box::pin(async { Ok(()) })
    }
}

#[derive(Default)]
pub(crate) struct FakeHost {
    pub stops: Stops,
    /// What switches may take; none: nobody can tell.
    pub spare_bytes: Mutex<Option<u64>>,
    /// The peak of every run.
    pub peak_bytes: Mutex<u64>,
}

impl Host for FakeHost {
    fn memory_bytes(&self) -> (u64, u64) {
        (1_000_000_000, 4_000_000_000)
    }

    fn memory_for_switches(&self) -> Option<u64> {
        *lock(&self.spare_bytes)
    }

    fn memory_peak(&self, _: u32) -> Option<u64> {
        Some(*lock(&self.peak_bytes))
    }

    fn ports_in_use(&self) -> BTreeSet<u16> {
        // A stranger listens there.
        BTreeSet::from([8_102])
    }

    fn router_shim_pid(&self) -> Option<u32> {
        None
    }

    fn stop_router(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { lock(&self.stops).push("router") })
    }

    fn stop_server(&self) {
        lock(&self.stops).push("server");
    }
}
