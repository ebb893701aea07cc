//! Config vars: immutable numbered sets, encrypted value by value.

use model::{AppNumber, ConfigVars, ConfigVersion, EnvKey};
use rusqlite::{Connection, named_params};

use super::cipher::{Cipher, Place, Sealed};
use super::{NewEvent, Store, StoreError, apps, events, sql};

impl Store {
    /// The config that the next release takes.
    pub async fn current_config(&self, app: AppNumber) -> Result<(ConfigVersion, ConfigVars), StoreError> {
        self.read("read the config vars", move |db, cipher| {
            let version = apps::living(db, app)?.config_version;
            Ok((version, vars(db, cipher, app, version)?))
        })
        .await
    }

    /// The config of a release.
    pub async fn config_of(&self, app: AppNumber, version: ConfigVersion) -> Result<ConfigVars, StoreError> {
        self.read("read the config vars", move |db, cipher| vars(db, cipher, app, version)).await
    }

    /// Writes a new set that nothing uses yet: a release that names it promotes it when
    /// traffic switches.
    pub async fn insert_config(&self, app: AppNumber, vars: ConfigVars, at_unix_ms: i64) -> Result<ConfigVersion, StoreError> {
        self.write("save the config vars", move |db, cipher| {
            apps::living(db, app)?;
            insert(db, cipher, app, &vars, at_unix_ms)
        })
        .await
    }

    /// Writes a new set and makes it the one that the next release takes, without a
    /// release. Refused with [`StoreError::ConfigMoved`] unless `base` is still current.
    pub async fn save_config(
        &self,
        app: AppNumber,
        base: ConfigVersion,
        vars: ConfigVars,
        event: NewEvent,
    ) -> Result<ConfigVersion, StoreError> {
        self.write("save the config vars", move |db, cipher| {
            apps::living(db, app)?;
            let version = insert(db, cipher, app, &vars, event.at_unix_ms)?;
            promote(db, app, base, version)?;
            events::record(db, Some(app), &event)?;
            Ok(version)
        })
        .await
    }
}

/// Adds an empty set.
pub(super) fn insert_set(db: &Connection, app: AppNumber, at_unix_ms: i64) -> Result<ConfigVersion, StoreError> {
    let version = sql::value(
        db,
        "INSERT INTO config_sets (app, version, created_unix_ms)
         SELECT ?1, coalesce(max(version), 0) + 1, ?2 FROM config_sets WHERE app = ?1
         RETURNING version",
        rusqlite::params![app.0, at_unix_ms],
    )?;
    Ok(ConfigVersion(version))
}

fn insert(db: &Connection, cipher: &Cipher, app: AppNumber, vars: &ConfigVars, at_unix_ms: i64) -> Result<ConfigVersion, StoreError> {
    let version = insert_set(db, app, at_unix_ms)?;
    for (key, secret) in vars.iter() {
        let sealed = cipher.seal(Place::Config { app, version, key: key.as_str() }, secret)?;
        sql::execute(
            db,
            "INSERT INTO config_values (app, config_version, key, key_id, nonce, ciphertext)
             VALUES (:app, :version, :key, :key_id, :nonce, :ciphertext)",
            named_params! {
                ":app": app.0,
                ":version": version.0,
                ":key": key.as_str(),
                ":key_id": sealed.key_id,
                ":nonce": sealed.nonce,
                ":ciphertext": sealed.ciphertext,
            },
        )?;
    }
    Ok(version)
}

/// Refuses a set that the app does not have.
pub(super) fn refuse_unknown(db: &Connection, app: AppNumber, version: ConfigVersion) -> Result<(), StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM config_sets WHERE app = ?1 AND version = ?2)";
    if sql::value(db, sql, [app.0, version.0])? { Ok(()) } else { Err(StoreError::NoSuchConfig(version.0)) }
}

fn promote(db: &Connection, app: AppNumber, base: ConfigVersion, to: ConfigVersion) -> Result<(), StoreError> {
    let sql = "UPDATE app_current SET config_version = ?3 WHERE app = ?1 AND config_version = ?2";
    match sql::execute(db, sql, [app.0, base.0, to.0])? {
        0 => Err(StoreError::ConfigMoved),
        _ => Ok(()),
    }
}

fn vars(db: &Connection, cipher: &Cipher, app: AppNumber, version: ConfigVersion) -> Result<ConfigVars, StoreError> {
    refuse_unknown(db, app, version)?;
    let sealed = sql::rows(
        db,
        "SELECT key, key_id, nonce, ciphertext FROM config_values WHERE app = ?1 AND config_version = ?2 ORDER BY key",
        [app.0, version.0],
        |row| Ok((sql::word::<EnvKey>(row, "key")?, Sealed::read(row)?)),
    )?;
    let mut vars = ConfigVars::default();
    for (key, sealed) in sealed {
        let secret = cipher.open(Place::Config { app, version, key: key.as_str() }, sealed)?;
        // A later paas may reserve a name that an old set holds: it sets that one itself.
        if !key.is_reserved() {
            vars.set(key, secret)?;
        }
    }
    Ok(vars)
}
