//! The format of the database: numbered files, each applied once in a transaction of
//! its own together with `PRAGMA user_version`.

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// Says that a SQLite file is ours ("paas" in ASCII).
pub(super) const APPLICATION_ID: i32 = 0x7061_6173;

/// Every step, oldest first. A step that was shipped is never changed again: what
/// comes later is a new file.
pub(super) const STEPS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_process_settings.sql"),
    include_str!("migrations/0003_kept_paths.sql"),
];

/// The format that this binary writes.
pub(super) fn newest() -> u32 {
    u32::try_from(STEPS.len()).unwrap_or(u32::MAX)
}

/// The format of a database; 0 for an empty one.
pub(super) fn version(db: &Connection) -> Result<u32, StoreError> {
    Ok(db.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// Applies what is missing.
pub(super) fn migrate(db: &mut Connection) -> Result<(), StoreError> {
    up_to(db, newest())
}

/// Applies what is missing up to format `target`.
pub(super) fn up_to(db: &mut Connection, target: u32) -> Result<(), StoreError> {
    for (version, step) in (1..=target).zip(STEPS) {
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if self::version(&transaction)? >= version {
            continue;
        }
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}
