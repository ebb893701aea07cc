//! The scale as people last set it, and the numbers of runs.

use std::ops::Range;

use model::{AppNumber, Formation, ScaleChange};
use rusqlite::{Connection, params};

use super::{NewEvent, Store, StoreError, apps, events, limits, sql};

impl Store {
    /// How many of each process type should run.
    pub async fn formation(&self, app: AppNumber) -> Result<Formation, StoreError> {
        self.read("read the scale", move |db, _| current(db, app)).await
    }

    /// `ps:scale`: all of the changes, or none. A type that the app does not have is refused.
    pub async fn scale(&self, app: AppNumber, changes: Vec<ScaleChange>, event: NewEvent) -> Result<Formation, StoreError> {
        self.write("scale an app", move |db, _| {
            apps::living(db, app)?;
            let mut formation = current(db, app)?;
            for change in &changes {
                let Some(count) = formation.0.get_mut(&change.process_type) else {
                    return Err(StoreError::NoSuchProcessType(change.process_type.clone()));
                };
                *count = change.applied_to(*count)?;
                let sql = "UPDATE formation SET count = ?3 WHERE app = ?1 AND process_type = ?2";
                sql::execute(db, sql, params![app.0, change.process_type.as_str(), *count])?;
            }
            events::record(db, Some(app), &event)?;
            Ok(formation)
        })
        .await
    }

    /// Hands out `count` numbers for runs of an app (or of the platform, number 0) that
    /// were never used before and never will be again. Take a block at a time: each
    /// call waits for the disk.
    pub async fn next_run_numbers(&self, app: AppNumber, count: u32) -> Result<Range<u64>, StoreError> {
        if count == 0 || count > limits::RUN_NUMBERS_BLOCK_MAX {
            let limit = format!("1 to {}", limits::RUN_NUMBERS_BLOCK_MAX);
            return Err(StoreError::TooLarge { what: "a block of run numbers", limit });
        }
        self.write("hand out run numbers", move |db, _| {
            let end: i64 = sql::value(
                db,
                "INSERT INTO run_numbers (app, next) VALUES (?1, 1 + ?2)
                 ON CONFLICT (app) DO UPDATE SET next = next + ?2 RETURNING next",
                [app.0, count],
            )?;
            let end = u64::try_from(end).map_err(|_| StoreError::Unreadable { column: "run_numbers.next", value: end.to_string() })?;
            Ok(end - u64::from(count)..end)
        })
        .await
    }
}

pub(super) fn current(db: &Connection, app: AppNumber) -> Result<Formation, StoreError> {
    let counts = sql::rows(db, "SELECT process_type, count FROM formation WHERE app = ?1", [app.0], |row| {
        Ok((sql::word(row, "process_type")?, row.get("count")?))
    })?;
    Ok(Formation(counts.into_iter().collect()))
}

/// The scale after a switch, see [`Formation::taken_over`].
pub(super) fn take_over(db: &Connection, app: AppNumber, released: &Formation) -> Result<(), StoreError> {
    let formation = current(db, app)?.taken_over(released);
    sql::execute(db, "DELETE FROM formation WHERE app = ?1", [app.0])?;
    for (process_type, count) in &formation.0 {
        let sql = "INSERT INTO formation (app, process_type, count) VALUES (?1, ?2, ?3)";
        sql::execute(db, sql, params![app.0, process_type.as_str(), count])?;
    }
    Ok(())
}
