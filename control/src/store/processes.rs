//! What people set for a process type beside its count: overlap and timeouts. It belongs
//! to the app and not to a release, as the scale does.

use std::collections::BTreeMap;

use model::{AppNumber, ProcessType};
use rusqlite::{Connection, params};

use super::{NewEvent, Store, StoreError, apps, events, formation, sql};

/// What is set for a process type; none is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TypeSettings {
    /// Whether it runs in two releases at once while they are switched.
    pub overlap: Option<bool>,
    /// How long a start may take, in seconds.
    pub boot_timeout_s: Option<u32>,
    /// From SIGTERM to SIGKILL, in seconds.
    pub stop_timeout_s: Option<u32>,
}

/// A change of them; what is none stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TypeChange {
    /// On, off.
    pub overlap: Option<bool>,
    /// A value, or the default.
    pub boot_timeout_s: Option<Option<u32>>,
    /// A value, or the default.
    pub stop_timeout_s: Option<Option<u32>>,
}

impl Store {
    /// What is set for the process types of an app.
    pub async fn type_settings(&self, app: AppNumber) -> Result<BTreeMap<ProcessType, TypeSettings>, StoreError> {
        self.read("read the settings of process types", move |db, _| all(db, app)).await
    }

    /// Changes what is set for one type, which the app must have.
    pub async fn change_type(
        &self,
        app: AppNumber,
        process_type: ProcessType,
        change: TypeChange,
        event: NewEvent,
    ) -> Result<TypeSettings, StoreError> {
        self.write("change the settings of a process type", move |db, _| {
            apps::living(db, app)?;
            if !formation::current(db, app)?.0.contains_key(&process_type) {
                return Err(StoreError::NoSuchProcessType(process_type));
            }
            let before = all(db, app)?.remove(&process_type).unwrap_or_default();
            let now = TypeSettings {
                overlap: change.overlap.or(before.overlap),
                boot_timeout_s: change.boot_timeout_s.unwrap_or(before.boot_timeout_s),
                stop_timeout_s: change.stop_timeout_s.unwrap_or(before.stop_timeout_s),
            };
            sql::execute(
                db,
                "INSERT OR REPLACE INTO process_settings (app, process_type, overlap, boot_timeout_s, stop_timeout_s)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![app.0, process_type.as_str(), now.overlap, now.boot_timeout_s, now.stop_timeout_s],
            )?;
            events::record(db, Some(app), &event)?;
            Ok(now)
        })
        .await
    }
}

fn all(db: &Connection, app: AppNumber) -> Result<BTreeMap<ProcessType, TypeSettings>, StoreError> {
    let sql = "SELECT process_type, overlap, boot_timeout_s, stop_timeout_s FROM process_settings WHERE app = ?1";
    let rows = sql::rows(db, sql, [app.0], |row| {
        let settings = TypeSettings {
            overlap: row.get("overlap")?,
            boot_timeout_s: row.get("boot_timeout_s")?,
            stop_timeout_s: row.get("stop_timeout_s")?,
        };
        Ok((sql::word(row, "process_type")?, settings))
    })?;
    Ok(rows.into_iter().collect())
}
