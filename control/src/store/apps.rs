//! Apps: made, named, set, destroyed. A number is given out once and never again.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use model::{AppName, AppNumber, ConfigVersion, ReleaseVersion};
use rusqlite::{Connection, Row, named_params};

use super::{NewEvent, Store, StoreError, access, config, events, sql};

/// The branches that deploy unless the app says otherwise.
const DEPLOY_BRANCHES: [&str; 2] = ["main", "master"];

/// What an app has for a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatabaseKind {
    /// A database and a role on the cluster.
    Postgresql,
    /// A file in `DATA_DIR`.
    Sqlite,
    /// `--no-database`.
    None,
}

impl DatabaseKind {
    /// The word that people see and that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Sqlite => "sqlite",
            Self::None => "none",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Postgresql, Self::Sqlite, Self::None].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A living app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its number.
    pub number: AppNumber,
    /// Its name.
    pub name: AppName,
    /// When it was made, in milliseconds since 1970 UTC.
    pub created_unix_ms: i64,
    /// The branches that deploy.
    pub deploy_branches: Vec<String>,
    /// The folder of the repository that is the app, if not its top.
    pub root: Option<String>,
    /// Its lasting port.
    pub port: u16,
    /// Its database.
    pub database: DatabaseKind,
    /// `ps:stop` was asked.
    pub stopped: bool,
    /// The release that serves.
    pub current: Option<ReleaseVersion>,
    /// The config that the next release takes.
    pub config_version: ConfigVersion,
}

/// An app to make.
#[derive(Debug, Clone)]
pub struct NewApp {
    /// Its name.
    pub name: AppName,
    /// Where its lasting port comes from: the lowest that no living app has.
    pub ports: RangeInclusive<u16>,
    /// Ports of that range that something else on the box has.
    pub ports_in_use: BTreeSet<u16>,
    /// Its database.
    pub database: DatabaseKind,
}

/// A setting of `apps:set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppSetting {
    /// The branches that deploy; none means the default.
    DeployBranches(Vec<String>),
    /// The folder of the repository that is the app.
    Root(Option<String>),
}

impl Store {
    /// Makes an app with an empty config.
    pub async fn create_app(&self, app: NewApp, event: NewEvent) -> Result<App, StoreError> {
        self.write("create an app", move |db, _| create(db, &app, &event)).await
    }

    /// Gives an app another name; everything else stays.
    pub async fn rename_app(&self, app: AppNumber, name: AppName, event: NewEvent) -> Result<App, StoreError> {
        self.write("rename an app", move |db, _| {
            refuse_taken(db, &name, Some(app))?;
            change(db, app, "UPDATE apps SET name = ?2 WHERE number = ?1 AND destroyed_unix_ms IS NULL", name.as_str())?;
            events::record(db, Some(app), &event)?;
            living(db, app)
        })
        .await
    }

    /// Changes one setting.
    pub async fn set_app_setting(&self, app: AppNumber, setting: AppSetting, event: NewEvent) -> Result<App, StoreError> {
        self.write("change a setting of an app", move |db, _| {
            match setting {
                AppSetting::DeployBranches(branches) => {
                    let sql = "UPDATE apps SET deploy_branches = ?2 WHERE number = ?1 AND destroyed_unix_ms IS NULL";
                    change(db, app, sql, branches_text(&branches))?;
                }
                AppSetting::Root(root) => {
                    let sql = "UPDATE apps SET root = ?2 WHERE number = ?1 AND destroyed_unix_ms IS NULL";
                    change(db, app, sql, root)?;
                }
            }
            events::record(db, Some(app), &event)?;
            living(db, app)
        })
        .await
    }

    /// `ps:stop` (true) and `ps:start` (false).
    pub async fn set_stopped(&self, app: AppNumber, stopped: bool, event: NewEvent) -> Result<App, StoreError> {
        self.write("stop or start an app", move |db, _| {
            let sql = "UPDATE apps SET stopped = ?2 WHERE number = ?1 AND destroyed_unix_ms IS NULL";
            change(db, app, sql, stopped)?;
            events::record(db, Some(app), &event)?;
            living(db, app)
        })
        .await
    }

    /// Destroys an app: its name and port are free again, its secrets, its access and
    /// the output of its builds are gone; its history stays. Its folders are the
    /// caller's to wipe, see [`Store::unwiped_apps`].
    pub async fn destroy_app(&self, app: AppNumber, event: NewEvent) -> Result<(), StoreError> {
        self.write("destroy an app", move |db, _| {
            let sql = "UPDATE apps SET destroyed_unix_ms = ?2 WHERE number = ?1 AND destroyed_unix_ms IS NULL";
            change(db, app, sql, event.at_unix_ms)?;
            for sql in [
                "DELETE FROM config_values WHERE app = ?1",
                "DELETE FROM addon_values WHERE app = ?1",
                "DELETE FROM formation WHERE app = ?1",
                "DELETE FROM process_settings WHERE app = ?1",
                "DELETE FROM build_lines WHERE app = ?1",
                "UPDATE build_logs SET lines = 0, bytes = 0, removed = 1 WHERE app = ?1",
                "DELETE FROM grants WHERE app = ?1",
            ] {
                sql::execute(db, sql, [app.0])?;
            }
            access::forget_people_without_grants(db)?;
            events::record(db, Some(app), &event)
        })
        .await
    }

    /// Destroyed apps whose folders, users or databases may still be there.
    pub async fn unwiped_apps(&self) -> Result<Vec<AppNumber>, StoreError> {
        self.read("list destroyed apps", |db, _| {
            let sql = "SELECT number FROM apps WHERE destroyed_unix_ms IS NOT NULL AND wiped_unix_ms IS NULL";
            sql::rows(db, sql, [], |row| Ok(AppNumber(row.get(0)?)))
        })
        .await
    }

    /// Nothing of a destroyed app is left on the box.
    pub async fn mark_wiped(&self, app: AppNumber, at_unix_ms: i64) -> Result<(), StoreError> {
        self.write("note that an app is wiped", move |db, _| {
            let sql = "UPDATE apps SET wiped_unix_ms = ?2 WHERE number = ?1 AND destroyed_unix_ms IS NOT NULL";
            change(db, app, sql, at_unix_ms)
        })
        .await
    }

    /// The living app with this number.
    pub async fn app(&self, app: AppNumber) -> Result<App, StoreError> {
        self.read("read an app", move |db, _| living(db, app)).await
    }

    /// Every living app, in the order of their names.
    pub async fn apps(&self) -> Result<Vec<App>, StoreError> {
        self.read("list apps", |db, _| sql::rows(db, &format!("{SELECT} ORDER BY a.name"), [], read)).await
    }
}

const SELECT: &str = "
    SELECT a.number, a.name, a.created_unix_ms, a.deploy_branches, a.root, a.port, a.database, a.stopped,
           c.version AS current, c.config_version
    FROM apps a JOIN app_current c ON c.app = a.number
    WHERE a.destroyed_unix_ms IS NULL";

/// A living app, or the error that says that there is none.
pub(super) fn living(db: &Connection, app: AppNumber) -> Result<App, StoreError> {
    sql::row(db, &format!("{SELECT} AND a.number = ?1"), [app.0], read)?.ok_or(StoreError::NoSuchApp(app))
}

fn create(db: &Connection, app: &NewApp, event: &NewEvent) -> Result<App, StoreError> {
    refuse_taken(db, &app.name, None)?;
    let taken: BTreeSet<u16> =
        sql::rows(db, "SELECT port FROM apps WHERE destroyed_unix_ms IS NULL", [], |row| Ok(row.get(0)?))?.into_iter().collect();
    let port = app
        .ports
        .clone()
        .find(|port| !taken.contains(port) && !app.ports_in_use.contains(port))
        .ok_or_else(|| StoreError::NoFreePort(app.ports.clone()))?;
    sql::execute(
        db,
        "INSERT INTO apps (name, created_unix_ms, deploy_branches, port, database)
         VALUES (:name, :at, :branches, :port, :database)",
        named_params! {
            ":name": app.name.as_str(),
            ":at": event.at_unix_ms,
            ":branches": branches_text(&[]),
            ":port": port,
            ":database": app.database.as_str(),
        },
    )?;
    let number = db.last_insert_rowid();
    let number = AppNumber(
        u32::try_from(number).map_err(|_| StoreError::TooLarge { what: "the number of apps ever made", limit: u32::MAX.to_string() })?,
    );
    let empty = config::insert_set(db, number, event.at_unix_ms)?;
    sql::execute(db, "INSERT INTO app_current (app, config_version) VALUES (?1, ?2)", [number.0, empty.0])?;
    events::record(db, Some(number), event)?;
    living(db, number)
}

/// Runs an update of one app; no row means that there is no such app.
fn change(db: &Connection, app: AppNumber, sql: &str, value: impl rusqlite::ToSql) -> Result<(), StoreError> {
    match sql::execute(db, sql, rusqlite::params![app.0, value])? {
        0 => Err(StoreError::NoSuchApp(app)),
        _ => Ok(()),
    }
}

fn refuse_taken(db: &Connection, name: &AppName, besides: Option<AppNumber>) -> Result<(), StoreError> {
    let owner: Option<u32> =
        sql::value_if_any(db, "SELECT number FROM apps WHERE name = ?1 AND destroyed_unix_ms IS NULL", [name.as_str()])?;
    match owner {
        Some(owner) if besides != Some(AppNumber(owner)) => Err(StoreError::AppNameTaken(name.clone())),
        _ => Ok(()),
    }
}

fn branches_text(branches: &[String]) -> String {
    if branches.is_empty() {
        serde_json::Value::from(DEPLOY_BRANCHES.as_slice()).to_string()
    } else {
        serde_json::Value::from(branches).to_string()
    }
}

fn read(row: &Row<'_>) -> Result<App, StoreError> {
    let branches: String = row.get("deploy_branches")?;
    let database: String = row.get("database")?;
    Ok(App {
        number: AppNumber(row.get("number")?),
        name: sql::word(row, "name")?,
        created_unix_ms: row.get("created_unix_ms")?,
        deploy_branches: serde_json::from_str(&branches)
            .map_err(|_| StoreError::Unreadable { column: "apps.deploy_branches", value: branches })?,
        root: row.get("root")?,
        port: row.get("port")?,
        database: DatabaseKind::parse(&database).ok_or(StoreError::Unreadable { column: "apps.database", value: database })?,
        stopped: row.get("stopped")?,
        current: row.get::<_, Option<u32>>("current")?.map(ReleaseVersion),
        config_version: ConfigVersion(row.get("config_version")?),
    })
}
