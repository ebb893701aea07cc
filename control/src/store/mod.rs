//! The store: everything a user can see, in one SQLite file that only this module opens.
//!
//! ```text
//! async caller ── closure ──▶ writer thread ── one transaction, its event in it ── fsync ──▶ answer
//!              ── closure ──▶ reader thread ── one snapshot ─────────────────────────────▶ answer
//! ```
//!
//! A deploy in the happy case: `begin_build` → `append_build_lines` → `insert_slug` →
//! `insert_candidate_release` → `switch_release` (the flip: what serves, its config, its
//! formation, its outcome and its event move together) → `finish_build`. Whatever is
//! left without an outcome when the server starts is settled by `settle_interrupted`.
//!
//! What leaves the store are plain values: no row, no connection, no lock. Times are
//! arguments ([`NewEvent::at_unix_ms`]); nothing in a transaction waits for anything.

mod access;
mod addons;
mod apps;
mod build_output;
mod builds;
mod cipher;
mod config;
mod error;
mod events;
mod failure;
mod formation;
mod kept;
mod lane;
pub mod limits;
mod migrate;
mod open;
mod processes;
mod pushes;
mod releases;
mod slugs;
mod sql;
mod stored;
mod switch;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use access::{AccessRow, KeyRow, NewAccess, PersonAccess, PublicKey};
pub use apps::{App, AppSetting, DatabaseKind, NewApp};
pub use build_output::BuildOutput;
pub use builds::{Build, BuildEnd, BuildFailure, BuildState};
pub use error::StoreError;
pub use events::{EventCode, EventRecord, NewEvent};
pub use processes::{TypeChange, TypeSettings};
pub use pushes::{NewPush, Push, PushNumber};
pub use releases::{NewRelease, ReleaseRecord, ReleaseState};
pub use slugs::{NewSlug, SlugRecord};
pub use switch::{Interrupted, Undone};

use cipher::Cipher;
use lane::Lane;

/// The store. Cheap to clone; the file is closed when the last clone is gone. Its
/// methods never block the async runtime. A caller that stops waiting for an answer
/// does not undo what it asked for.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

/// Fields are dropped in this order: the writer closes last, so that it can fold the
/// write-ahead log into the file, and only then is the lock given up.
struct Shared {
    /// None in memory, where a second connection would see another database.
    reader: Option<Lane>,
    writer: Lane,
    cipher: Arc<Cipher>,
    path: PathBuf,
    _lock: Option<open::Lock>,
    /// Makes every transaction give up just before its commit.
    #[cfg(test)]
    gives_up: Arc<std::sync::atomic::AtomicBool>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database, makes it if there is none, and brings it to this version's
    /// format. Blocks on the disk: call it before the runtime has anything else to do.
    ///
    /// The key file is made only while nothing is encrypted yet.
    pub fn open(path: &Path, key_file: &Path) -> Result<Self, StoreError> {
        let opened = open::open(path)?;
        let cipher = (|| {
            let cipher = cipher::load_or_make(key_file, !holds_secrets(&opened.writer)?)?;
            check_key(&opened.writer, &cipher, key_file)?;
            Ok(cipher)
        })()
        .map_err(|error: StoreError| error.in_context("look for secrets", path))?;
        let start = |name, connection| Lane::start(name, connection).map_err(|error| StoreError::file("start a thread for", path, error));
        let (reader, writer) = (start("store-reader", opened.reader)?, start("store-writer", opened.writer)?);
        Ok(Self::new(Some(reader), writer, cipher, path.to_owned(), Some(opened.lock)))
    }

    /// A store in memory with a key of its own, for tests.
    pub fn in_memory() -> Result<Self, StoreError> {
        let writer =
            Lane::start("store", open::in_memory()?).map_err(|error| StoreError::file("start a thread for", Path::new(""), error))?;
        Ok(Self::new(None, writer, Cipher::ephemeral()?, PathBuf::new(), None))
    }

    fn new(reader: Option<Lane>, writer: Lane, cipher: Cipher, path: PathBuf, lock: Option<open::Lock>) -> Self {
        let shared = Shared {
            reader,
            writer,
            cipher: Arc::new(cipher),
            path,
            _lock: lock,
            #[cfg(test)]
            gives_up: Arc::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Does `work` in one transaction of the writer: all of it is kept, or nothing.
    async fn write<T, W>(&self, doing: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>, &Cipher) -> Result<T, StoreError> + Send + 'static,
    {
        let cipher = Arc::clone(&self.shared.cipher);
        #[cfg(test)]
        let gives_up = Arc::clone(&self.shared.gives_up);
        let answer = self.shared.writer.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction, &cipher)?;
            #[cfg(test)]
            if gives_up.load(std::sync::atomic::Ordering::SeqCst) {
                return Err(StoreError::Closed);
            }
            transaction.commit()?;
            Ok(value)
        });
        answer.await.map_err(|error| error.in_context(doing, &self.shared.path))
    }

    /// Does `work` on one snapshot of the database.
    async fn read<T, W>(&self, doing: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>, &Cipher) -> Result<T, StoreError> + Send + 'static,
    {
        let cipher = Arc::clone(&self.shared.cipher);
        let lane = self.shared.reader.as_ref().unwrap_or(&self.shared.writer);
        let answer = lane.run(move |connection| {
            let snapshot = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
            work(&snapshot, &cipher)
        });
        answer.await.map_err(|error| error.in_context(doing, &self.shared.path))
    }
}

const TABLES_OF_SECRETS: [&str; 3] = ["config_values", "addon_values", "platform_secrets"];

fn holds_secrets(db: &Connection) -> Result<bool, StoreError> {
    for table in TABLES_OF_SECRETS {
        if sql::value(db, &format!("SELECT EXISTS (SELECT 1 FROM {table})"), [])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Better now than at the first start of an app.
fn check_key(db: &Connection, cipher: &Cipher, key_file: &Path) -> Result<(), StoreError> {
    for table in TABLES_OF_SECRETS {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE key_id <> ?1)");
        if sql::value(db, &sql, [cipher.id()])? {
            return Err(StoreError::KeyMismatch { path: key_file.to_owned() });
        }
    }
    Ok(())
}
