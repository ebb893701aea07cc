//! What of an app's `/app` lasts. It belongs to the app and not to a release.

use model::{AppNumber, KeptPath};
use rusqlite::{Connection, params};

use super::{NewEvent, Store, StoreError, apps, events, sql};

impl Store {
    /// The paths of `/app` that last, in order.
    pub async fn kept_paths(&self, app: AppNumber) -> Result<Vec<KeptPath>, StoreError> {
        self.read("read what lasts", move |db, _| all(db, app)).await
    }

    /// Adds and removes paths. One that is there already, with or without its slash, is
    /// replaced; one that lies in another, and one too many, is refused.
    pub async fn change_kept_paths(
        &self,
        app: AppNumber,
        added: Vec<KeptPath>,
        removed: Vec<KeptPath>,
        event: NewEvent,
    ) -> Result<Vec<KeptPath>, StoreError> {
        self.write("change what lasts", move |db, _| {
            apps::living(db, app)?;
            let mut kept = all(db, app)?;
            for path in &removed {
                let before = kept.len();
                kept.retain(|other| other.path() != path.path());
                if kept.len() == before {
                    return Err(StoreError::NotKept(path.clone()));
                }
            }
            for path in added {
                kept.retain(|other| other.path() != path.path());
                if let Some(other) = kept.iter().find(|other| other.meets(&path)) {
                    return Err(StoreError::KeptInside { path, other: other.clone() });
                }
                kept.push(path);
            }
            if kept.len() > model::limits::KEPT_PATHS_MAX {
                return Err(StoreError::TooManyKept);
            }
            sql::execute(db, "DELETE FROM kept_paths WHERE app = ?1", [app.0])?;
            for path in &kept {
                let sql = "INSERT INTO kept_paths (app, path, since_unix_ms) VALUES (?1, ?2, ?3)";
                sql::execute(db, sql, params![app.0, path.to_string(), event.at_unix_ms])?;
            }
            events::record(db, Some(app), &event)?;
            kept.sort();
            Ok(kept)
        })
        .await
    }
}

fn all(db: &Connection, app: AppNumber) -> Result<Vec<KeptPath>, StoreError> {
    sql::rows(db, "SELECT path FROM kept_paths WHERE app = ?1 ORDER BY path", [app.0], |row| sql::word(row, "path"))
}
