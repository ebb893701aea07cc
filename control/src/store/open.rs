//! Opening the file: look before touching, then lock, migrate and set the rules.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{StoreError, limits, migrate};

/// An open database file.
pub(super) struct Opened {
    pub(super) writer: Connection,
    pub(super) reader: Connection,
    /// Held as long as the store lives; the kernel lets go of it when the server is killed.
    pub(super) lock: Lock,
}

/// The lock of one server on one database.
pub(super) struct Lock(File);

impl Drop for Lock {
    /// Closing the file is not enough: a child that was just forked, and has not called
    /// exec yet, holds a copy.
    fn drop(&mut self) {
        // The kernel lets go of it at the end of the process in any case.
        drop(self.0.unlock());
    }
}

/// Opens or makes the database. A file that is damaged, foreign or too new is refused
/// before anything is written to it.
pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    let folder = make_folder_of(path)?;
    let lock = lock(path)?;
    let is_new = fs::metadata(path).map_or(true, |about| about.len() == 0);
    if is_new {
        make_file(path, &folder)?;
    } else {
        verify(path).map_err(|error| error.in_context("check", path))?;
    }
    let connect = |flags| -> Result<Connection, StoreError> {
        let db = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        set_rules(&db)?;
        Ok(db)
    };
    let open = || -> Result<(Connection, Connection), StoreError> {
        let mut writer = connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        set_durability(&writer)?;
        migrate::migrate(&mut writer)?;
        Ok((writer, connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?))
    };
    let (writer, reader) = open().map_err(|error| error.in_context("open", path))?;
    Ok(Opened { writer, reader, lock })
}

/// A database in memory, with the same rules.
pub(super) fn in_memory() -> Result<Connection, StoreError> {
    let mut db = Connection::open_in_memory()?;
    set_rules(&db)?;
    migrate::migrate(&mut db)?;
    Ok(db)
}

/// Makes the folder of a file, readable for its owner alone, and names it.
pub(super) fn make_folder_of(path: &Path) -> Result<PathBuf, StoreError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| StoreError::file("make the folder", &folder, error))?;
    Ok(folder)
}

/// Two servers on one file would each believe to be the only writer.
fn lock(path: &Path) -> Result<Lock, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&name)
        .map_err(|error| StoreError::file("open", &name, error))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StoreError::file("lock", &name, error)),
    }
}

/// SQLite gives its `-wal` and `-shm` files the mode of the database.
fn make_file(path: &Path, folder: &Path) -> Result<(), StoreError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| StoreError::file("make", path, error))?;
    let sync = File::open(folder).and_then(|folder| folder.sync_all());
    sync.map_err(|error| StoreError::file("write", folder, error))
}

/// Looks at a file through a connection that cannot change it, not even by folding
/// its write-ahead log in.
fn verify(path: &Path) -> Result<(), StoreError> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    set_rules(&db)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let found = migrate::version(&db)?;
    let application: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: Vec<String> = db
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?
        .query_and_then([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if application != migrate::APPLICATION_ID && (found > 0 || !tables.is_empty()) {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    if found > migrate::newest() {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: migrate::newest() });
    }
    // Output of builds is most of the file and may be lost: reading all of it would delay the start.
    for table in tables.iter().filter(|table| *table != "build_lines") {
        let verdict: String = db.query_row("SELECT quick_check FROM pragma_quick_check(?1)", [table], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(StoreError::Corrupt { path: path.to_owned(), detail: verdict, source: None });
        }
    }
    Ok(())
}

/// What every connection has.
fn set_rules(db: &Connection) -> Result<(), StoreError> {
    db.busy_timeout(Duration::from_millis(limits::FOREIGN_LOCK_WAIT_MS))?;
    db.set_prepared_statement_cache_capacity(limits::PREPARED_STATEMENTS_MAX);
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}

/// A commit that was answered survives a power cut.
fn set_durability(db: &Connection) -> Result<(), StoreError> {
    db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update_and_check(None, "journal_size_limit", limits::WRITE_AHEAD_LOG_BYTES_KEPT, |row| row.get::<_, i64>(0))?;
    Ok(())
}
