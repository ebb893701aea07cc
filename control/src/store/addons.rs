//! Values of add-ons (a database's password) and secrets of the platform itself, encrypted.

use std::collections::BTreeMap;

use model::{AppNumber, Secret};
use rusqlite::{named_params, params};

use super::cipher::{Place, Sealed};
use super::{Store, StoreError, apps, sql};

impl Store {
    /// A value of an app's add-on.
    pub async fn addon_value(&self, app: AppNumber, addon: &str, key: &str) -> Result<Option<Secret>, StoreError> {
        let key = key.to_owned();
        Ok(self.addon_values(app, addon).await?.remove(&key))
    }

    /// Every value of an app's add-on.
    pub async fn addon_values(&self, app: AppNumber, addon: &str) -> Result<BTreeMap<String, Secret>, StoreError> {
        let addon = addon.to_owned();
        self.read("read the values of an add-on", move |db, cipher| {
            let sealed = sql::rows(
                db,
                "SELECT key, key_id, nonce, ciphertext FROM addon_values WHERE app = ?1 AND addon = ?2",
                params![app.0, addon],
                |row| Ok((row.get::<_, String>("key")?, Sealed::read(row)?)),
            )?;
            let open = |(key, sealed): (String, Sealed)| {
                let secret = cipher.open(Place::Addon { app, addon: &addon, key: &key }, sealed)?;
                Ok((key, secret))
            };
            sealed.into_iter().map(open).collect()
        })
        .await
    }

    /// Sets a value of an app's add-on.
    pub async fn set_addon_value(&self, app: AppNumber, addon: &str, key: &str, secret: Secret) -> Result<(), StoreError> {
        let (addon, key) = (addon.to_owned(), key.to_owned());
        self.write("keep a value of an add-on", move |db, cipher| {
            apps::living(db, app)?;
            let sealed = cipher.seal(Place::Addon { app, addon: &addon, key: &key }, &secret)?;
            sql::execute(
                db,
                "INSERT INTO addon_values (app, addon, key, key_id, nonce, ciphertext)
                 VALUES (:app, :addon, :key, :key_id, :nonce, :ciphertext)
                 ON CONFLICT (app, addon, key) DO UPDATE
                 SET key_id = excluded.key_id, nonce = excluded.nonce, ciphertext = excluded.ciphertext",
                named_params! {
                    ":app": app.0,
                    ":addon": addon,
                    ":key": key,
                    ":key_id": sealed.key_id,
                    ":nonce": sealed.nonce,
                    ":ciphertext": sealed.ciphertext,
                },
            )?;
            Ok(())
        })
        .await
    }

    /// A secret of the platform itself (the cluster's superuser password).
    pub async fn platform_secret(&self, key: &str) -> Result<Option<Secret>, StoreError> {
        let key = key.to_owned();
        self.read("read a secret of the platform", move |db, cipher| {
            let sql = "SELECT key_id, nonce, ciphertext FROM platform_secrets WHERE key = ?1";
            let sealed = sql::row(db, sql, [&key], Sealed::read)?;
            sealed.map(|sealed| cipher.open(Place::Platform { key: &key }, sealed)).transpose()
        })
        .await
    }

    /// Sets a secret of the platform itself.
    pub async fn set_platform_secret(&self, key: &str, secret: Secret) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write("keep a secret of the platform", move |db, cipher| {
            let sealed = cipher.seal(Place::Platform { key: &key }, &secret)?;
            sql::execute(
                db,
                "INSERT INTO platform_secrets (key, key_id, nonce, ciphertext) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (key) DO UPDATE
                 SET key_id = excluded.key_id, nonce = excluded.nonce, ciphertext = excluded.ciphertext",
                params![key, sealed.key_id, sealed.nonce, sealed.ciphertext],
            )?;
            Ok(())
        })
        .await
    }
}
