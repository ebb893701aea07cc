//! Pushes: "the hook said yes" → "the ref moved" is not atomic, so each is written down
//! before the hook is answered and settled when git is done. What is unsettled when the
//! server starts is judged by where the ref stands.

use model::{AppNumber, RefName};
use rusqlite::{Row, named_params, params};

use super::{NewEvent, Store, StoreError, apps, events, sql};

/// The number of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushNumber(pub i64);

/// A push that is about to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPush {
    /// The app.
    pub app: AppNumber,
    /// The ref that will move.
    pub reference: RefName,
    /// Where it stood, 40 hexadecimal digits.
    pub old: String,
    /// Where it will stand.
    pub new: String,
}

/// A push that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Its number.
    pub number: PushNumber,
    /// What was accepted.
    pub push: NewPush,
    /// When, in milliseconds since 1970 UTC.
    pub accepted_unix_ms: i64,
}

impl Store {
    /// Writes a push down. For a ref that deploys: before the switch, so that a server
    /// killed in between knows of it.
    pub async fn accept_push(&self, push: NewPush, at_unix_ms: i64) -> Result<PushNumber, StoreError> {
        self.write("note a push", move |db, _| {
            apps::living(db, push.app)?;
            let number = sql::value(
                db,
                "INSERT INTO pushes (app, reference, old_id, new_id, accepted_unix_ms)
                 VALUES (:app, :reference, :old, :new, :at) RETURNING number",
                named_params! {
                    ":app": push.app.0,
                    ":reference": push.reference.as_str(),
                    ":old": push.old,
                    ":new": push.new,
                    ":at": at_unix_ms,
                },
            )?;
            Ok(PushNumber(number))
        })
        .await
    }

    /// Git is done with it: the ref moved, or it did not.
    pub async fn settle_push(&self, push: PushNumber, moved: bool, event: NewEvent) -> Result<(), StoreError> {
        self.write("settle a push", move |db, _| {
            let sql = "SELECT app FROM pushes WHERE number = ?1 AND number NOT IN (SELECT push FROM push_outcomes)";
            let app = sql::value_if_any(db, sql, [push.0])?.ok_or(StoreError::NoSuchPush(push.0))?;
            let sql = "INSERT INTO push_outcomes (push, moved, at_unix_ms) VALUES (?1, ?2, ?3)";
            sql::execute(db, sql, params![push.0, moved, event.at_unix_ms])?;
            events::record(db, Some(AppNumber(app)), &event)
        })
        .await
    }

    /// Pushes to living apps that were never settled, oldest first.
    pub async fn unsettled_pushes(&self) -> Result<Vec<Push>, StoreError> {
        self.read("list unsettled pushes", |db, _| {
            sql::rows(
                db,
                "SELECT p.number, p.app, p.reference, p.old_id, p.new_id, p.accepted_unix_ms
                 FROM pushes p JOIN apps a ON a.number = p.app
                 WHERE a.destroyed_unix_ms IS NULL
                   AND NOT EXISTS (SELECT 1 FROM push_outcomes o WHERE o.push = p.number)
                 ORDER BY p.number",
                [],
                read,
            )
        })
        .await
    }
}

fn read(row: &Row<'_>) -> Result<Push, StoreError> {
    Ok(Push {
        number: PushNumber(row.get("number")?),
        push: NewPush {
            app: AppNumber(row.get("app")?),
            reference: sql::word(row, "reference")?,
            old: row.get("old_id")?,
            new: row.get("new_id")?,
        },
        accepted_unix_ms: row.get("accepted_unix_ms")?,
    })
}
