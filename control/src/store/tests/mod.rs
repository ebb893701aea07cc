//! Claims about the store. Each test has a database of its own.

#![allow(clippy::too_many_lines, reason = "a story is easier to follow in one piece")]

mod access;
mod apps;
mod atomic;
mod builds;
mod config;
mod crash;
mod files;
mod formats;
mod releases;
mod secrets;
mod slugs;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use model::{AppName, AppNumber, Cause, ConfigVars, ConfigVersion, Formation, ReleaseVersion, Secret, SlugId, SlugManifest};

use super::{App, DatabaseKind, EventCode, NewApp, NewEvent, NewRelease, NewSlug, Store};

/// The time of every change in these tests, in milliseconds since 1970 UTC.
pub(super) const NOW: i64 = 1_800_000_000_000;

/// A root folder that is gone after the test.
pub(super) struct Root(tempfile::TempDir);

impl Root {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(super) fn database(&self) -> PathBuf {
        self.0.path().join("store/paas.db")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.0.path().join("keys/secret.key")
    }

    pub(super) fn open(&self) -> Store {
        open(&self.database(), &self.key())
    }
}

pub(super) fn open(database: &Path, key: &Path) -> Store {
    Store::open(database, key).expect("the store opens")
}

pub(super) fn event(code: EventCode) -> NewEvent {
    NewEvent::new(NOW, "anna", code, code.as_str())
}

pub(super) fn name(text: &str) -> AppName {
    text.parse().expect("a name")
}

pub(super) fn new_app(text: &str) -> NewApp {
    NewApp { name: name(text), ports: 8101..=8103, ports_in_use: BTreeSet::new(), database: DatabaseKind::Postgresql }
}

pub(super) async fn create(store: &Store, text: &str) -> App {
    store.create_app(new_app(text), event(EventCode::AppCreated)).await.expect("an app")
}

/// The living app of this name.
pub(super) async fn find_app(store: &Store, text: &str) -> Option<App> {
    store.apps().await.expect("read").into_iter().find(|app| app.name.as_str() == text)
}

pub(super) fn vars(pairs: &[(&str, &str)]) -> ConfigVars {
    let mut vars = ConfigVars::default();
    for (key, value) in pairs {
        vars.set(key.parse().expect("a key"), Secret::new(*value)).expect("set");
    }
    vars
}

pub(super) fn formation(counts: &[(&str, u32)]) -> Formation {
    Formation(counts.iter().map(|(name, count)| (name.parse().expect("a type"), *count)).collect())
}

pub(super) fn slug(byte: u8) -> SlugId {
    SlugId([byte; 32])
}

pub(super) fn new_slug(byte: u8) -> NewSlug {
    let manifest = SlugManifest {
        commands: BTreeMap::from([("web".parse().expect("a type"), "gunicorn app:app".to_owned())]),
        app_json: model::author::AppJson::default(),
        env: BTreeMap::from([("LANG".parse().expect("a key"), "C.UTF-8".to_owned())]),
        path: vec!["/app/.venv/bin".to_owned()],
        buildpack: "python".to_owned(),
        interpreter: Some("Python 3.11.7".to_owned()),
        host_paths: Vec::new(),
        shared_libraries: vec!["libpq.so.5".to_owned()],
        source_version: "a".repeat(40),
        entries: 17,
        unpacked_bytes: u64::from(u32::MAX) + 1,
    };
    NewSlug { slug: slug(byte), bytes: 1_000, manifest }
}

/// Puts a slug in its place and makes a candidate of it.
pub(super) async fn candidate(store: &Store, app: AppNumber, byte: u8, cause: Cause) -> ReleaseVersion {
    store.insert_slug(app, new_slug(byte), NOW).await.expect("a slug");
    let (config_version, _) = store.current_config(app).await.expect("config");
    candidate_with(store, app, byte, config_version, cause).await
}

pub(super) async fn candidate_with(store: &Store, app: AppNumber, byte: u8, config_version: ConfigVersion, cause: Cause) -> ReleaseVersion {
    let release = NewRelease { slug: slug(byte), config_version, formation: formation(&[("web", 1)]), cause };
    let event = event(EventCode::ReleaseCreated);
    store.insert_candidate_release(app, release, event).await.expect("a candidate").version
}

/// A release that serves.
pub(super) async fn deploy(store: &Store, app: AppNumber, byte: u8) -> ReleaseVersion {
    let version = candidate(store, app, byte, deployed(byte)).await;
    switch(store, app, version).await;
    version
}

pub(super) async fn switch(store: &Store, app: AppNumber, version: ReleaseVersion) {
    store.switch_release(app, version, event(EventCode::ReleaseSwitched)).await.expect("the flip");
}

pub(super) fn deployed(byte: u8) -> Cause {
    Cause::Deploy { commit: format!("{byte:02x}").repeat(20) }
}

/// Everything that is stored, as text: to see whether two moments differ.
pub(super) async fn dump(store: &Store) -> String {
    let dump = store.read("dump", |db, _| {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        let mut dump = String::new();
        for table in super::sql::rows(db, sql, [], |row| Ok(row.get::<_, String>(0)?))? {
            let mut statement = db.prepare(&format!("SELECT * FROM {table}"))?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                dump.push_str(&table);
                for column in 0..columns {
                    write!(dump, " {:?}", row.get_ref(column)?).expect("a text grows");
                }
                dump.push('\n');
            }
        }
        Ok(dump)
    });
    dump.await.expect("a dump")
}
