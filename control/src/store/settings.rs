//! Settings of the box that are changed while it runs.

use std::collections::BTreeMap;

use super::{NewEvent, Store, StoreError, events, limits, sql};

impl Store {
    /// One setting.
    pub async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        self.read("read a setting", move |db, _| sql::value_if_any(db, "SELECT value FROM settings WHERE key = ?1", [key])).await
    }

    /// Every setting.
    pub async fn settings(&self) -> Result<BTreeMap<String, String>, StoreError> {
        self.read("read the settings", |db, _| {
            let rows = sql::rows(db, "SELECT key, value FROM settings", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.into_iter().collect())
        })
        .await
    }

    /// Sets one; `None` resets it.
    pub async fn set_setting(&self, key: &str, value: Option<String>, event: NewEvent) -> Result<(), StoreError> {
        if value.as_ref().is_some_and(|value| value.len() > limits::SETTING_BYTES_MAX) {
            let limit = format!("{} bytes", limits::SETTING_BYTES_MAX);
            return Err(StoreError::TooLarge { what: "the value of a setting", limit });
        }
        let key = key.to_owned();
        self.write("change a setting", move |db, _| {
            match value {
                Some(value) => {
                    let sql = "INSERT INTO settings (key, value) VALUES (?1, ?2)
                               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
                    sql::execute(db, sql, [key, value])?;
                }
                None => {
                    sql::execute(db, "DELETE FROM settings WHERE key = ?1", [key])?;
                }
            }
            events::record(db, None, &event)
        })
        .await
    }
}
