//! People, their SSH keys and their roles.

use api::Role;
use model::{AppName, AppNumber};
use rusqlite::{Connection, Row, named_params, params};

use super::{NewEvent, Store, StoreError, apps, events, limits, sql};

/// A public key, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// `SHA256:…`.
    pub fingerprint: String,
    /// `ssh-ed25519`.
    pub key_type: String,
    /// The key itself, decoded.
    pub blob: Vec<u8>,
}

/// A role to give.
#[derive(Debug, Clone)]
pub struct NewAccess {
    /// The person; made if there is none of that name.
    pub person: String,
    /// A key of theirs to add.
    pub key: Option<PublicKey>,
    /// The role; it replaces the one that the person had there.
    pub role: Role,
    /// Where; none, for operators alone, is everywhere.
    pub app: Option<AppNumber>,
}

/// A key that may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Whose.
    pub person: String,
    /// The key.
    pub key: PublicKey,
}

/// One person's key and role at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRow {
    /// The person.
    pub person: String,
    /// One of their keys; none if they have none.
    pub fingerprint: Option<String>,
    /// The role.
    pub role: Role,
    /// The app; none is everywhere.
    pub app: Option<AppName>,
}

/// Everything one person may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonAccess {
    /// The person.
    pub person: String,
    /// Roles by app; none is everywhere.
    pub grants: Vec<(Option<AppName>, Role)>,
}

impl Store {
    /// Gives a person a role, and a key if one comes along.
    pub async fn add_access(&self, access: NewAccess, event: NewEvent) -> Result<(), StoreError> {
        if access.person.is_empty() || access.person.len() > limits::PERSON_BYTES_MAX {
            let limit = format!("1 to {} bytes", limits::PERSON_BYTES_MAX);
            return Err(StoreError::TooLarge { what: "the name of a person", limit });
        }
        self.write("give access", move |db, _| add(db, access, &event)).await
    }

    /// Takes a person's role at one app away, or all of them. Whoever has no role left
    /// has no key left either. Returns the fingerprints whose sessions must end.
    pub async fn remove_access(&self, person: &str, app: Option<AppNumber>, event: NewEvent) -> Result<Vec<String>, StoreError> {
        let person = person.to_owned();
        self.write("take access away", move |db, _| {
            let fingerprints = sql::rows(
                db,
                "SELECT fingerprint FROM keys WHERE person = (SELECT number FROM people WHERE name = ?1)",
                [&person],
                |row| Ok(row.get(0)?),
            )?;
            let removed = sql::execute(
                db,
                "DELETE FROM grants WHERE person = (SELECT number FROM people WHERE name = ?1)
                                      AND (?2 IS NULL OR app = ?2)",
                params![person, app.map(|app| app.0)],
            )?;
            if removed == 0 {
                return Err(StoreError::NoSuchAccess(person));
            }
            forget_people_without_grants(db)?;
            events::record(db, app, &event)?;
            Ok(fingerprints)
        })
        .await
    }

    /// Who may do what, at one app (operators included) or anywhere.
    pub async fn list_access(&self, app: Option<AppNumber>) -> Result<Vec<AccessRow>, StoreError> {
        self.read("list access", move |db, _| {
            sql::rows(
                db,
                "SELECT p.name AS person, k.fingerprint, g.role, a.name
                 FROM grants g JOIN people p ON p.number = g.person
                      LEFT JOIN keys k ON k.person = p.number LEFT JOIN apps a ON a.number = g.app
                 WHERE ?1 IS NULL OR g.app IS NULL OR g.app = ?1
                 ORDER BY p.name, a.name, k.fingerprint",
                [app.map(|app| app.0)],
                |row| {
                    let (app, role) = read_grant(row)?;
                    Ok(AccessRow { person: row.get("person")?, fingerprint: row.get("fingerprint")?, role, app })
                },
            )
        })
        .await
    }

    /// Whose key this is, and what they may do.
    pub async fn find_access_by_fingerprint(&self, fingerprint: &str) -> Result<Option<PersonAccess>, StoreError> {
        let fingerprint = fingerprint.to_owned();
        self.read("find a key", move |db, _| {
            let sql = "SELECT p.name FROM keys k JOIN people p ON p.number = k.person WHERE k.fingerprint = ?1";
            let Some(person) = sql::value_if_any::<String>(db, sql, [fingerprint])? else { return Ok(None) };
            let grants = sql::rows(
                db,
                "SELECT a.name, g.role FROM grants g JOIN people p ON p.number = g.person
                      LEFT JOIN apps a ON a.number = g.app
                 WHERE p.name = ?1 ORDER BY a.name",
                [&person],
                read_grant,
            )?;
            Ok(Some(PersonAccess { person, grants }))
        })
        .await
    }

    /// Every key that may log in.
    pub async fn list_keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        self.read("list keys", |db, _| {
            sql::rows(
                db,
                "SELECT p.name, k.fingerprint, k.key_type, k.blob FROM keys k JOIN people p ON p.number = k.person
                 ORDER BY p.name, k.fingerprint",
                [],
                |row| {
                    let key = PublicKey { fingerprint: row.get("fingerprint")?, key_type: row.get("key_type")?, blob: row.get("blob")? };
                    Ok(KeyRow { person: row.get("name")?, key })
                },
            )
        })
        .await
    }
}

fn add(db: &Connection, access: NewAccess, event: &NewEvent) -> Result<(), StoreError> {
    if (access.role == Role::Operator) != access.app.is_none() {
        return Err(model::Invalid::new("role", access.role.word(), "operators have it everywhere, others at one app").into());
    }
    if let Some(app) = access.app {
        apps::living(db, app)?;
    }
    let sql = "INSERT INTO people (name, created_unix_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    sql::execute(db, sql, params![access.person, event.at_unix_ms])?;
    let person: i64 = sql::value(db, "SELECT number FROM people WHERE name = ?1", [&access.person])?;
    if let Some(key) = access.key {
        add_key(db, person, &key, event.at_unix_ms)?;
    }
    sql::execute(db, "DELETE FROM grants WHERE person = ?1 AND app IS ?2", params![person, access.app.map(|app| app.0)])?;
    sql::execute(
        db,
        "INSERT INTO grants (person, app, role, created_unix_ms) VALUES (:person, :app, :role, :at)",
        named_params! {
            ":person": person,
            ":app": access.app.map(|app| app.0),
            ":role": access.role.word(),
            ":at": event.at_unix_ms,
        },
    )?;
    events::record(db, access.app, event)
}

fn add_key(db: &Connection, person: i64, key: &PublicKey, at_unix_ms: i64) -> Result<(), StoreError> {
    let sql = "SELECT p.name FROM keys k JOIN people p ON p.number = k.person
               WHERE k.fingerprint = ?1 AND k.person <> ?2";
    if let Some(owner) = sql::value_if_any(db, sql, params![key.fingerprint, person])? {
        return Err(StoreError::KeyTaken(owner));
    }
    sql::execute(
        db,
        "INSERT INTO keys (fingerprint, person, key_type, blob, created_unix_ms)
         VALUES (:fingerprint, :person, :type, :blob, :at) ON CONFLICT DO NOTHING",
        named_params! {
            ":fingerprint": key.fingerprint,
            ":person": person,
            ":type": key.key_type,
            ":blob": key.blob,
            ":at": at_unix_ms,
        },
    )?;
    Ok(())
}

/// A key without a role opens nothing, so it goes with the last role.
pub(super) fn forget_people_without_grants(db: &Connection) -> Result<(), StoreError> {
    sql::execute(db, "DELETE FROM people WHERE number NOT IN (SELECT person FROM grants)", [])?;
    Ok(())
}

fn read_grant(row: &Row<'_>) -> Result<(Option<AppName>, Role), StoreError> {
    let app = match row.get::<_, Option<String>>("name")? {
        Some(_) => Some(sql::word(row, "name")?),
        None => None,
    };
    let word: String = row.get("role")?;
    let role = Role::parse(&word).ok_or(StoreError::Unreadable { column: "grants.role", value: word })?;
    Ok((app, role))
}
