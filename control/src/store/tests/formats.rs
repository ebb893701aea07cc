//! Every past format is brought to the newest one, with what it holds.

use rusqlite::Connection;

use super::*;
use crate::store::{BuildState, ReleaseState, TypeSettings, migrate};

/// What a database of each format held: `samples[0]` was written by format 1.
const SAMPLES: &[&str] = &[include_str!("samples/0001.sql"), include_str!("samples/0002.sql"), include_str!("samples/0003.sql")];

fn at_version(root: &Root, version: u32) -> Connection {
    std::fs::create_dir_all(root.database().parent().expect("a folder")).expect("a folder");
    let mut db = Connection::open(root.database()).expect("a database");
    migrate::up_to(&mut db, version).expect("migrated");
    db
}

#[test]
fn every_format_has_a_sample() {
    assert_eq!(SAMPLES.len(), migrate::STEPS.len(), "write tests/samples/NNNN.sql for the new format");
}

#[tokio::test]
async fn every_past_format_opens_with_all_that_it_holds() {
    for (version, sample) in (1..).zip(SAMPLES) {
        let root = Root::new();
        let db = at_version(&root, version);
        db.execute_batch(sample).expect("the sample");
        drop(db);
        let store = root.open();
        assert_eq!(store.read("version", |db, _| migrate::version(db)).await.expect("read"), migrate::newest());
        let app = find_app(&store, "hello").await.expect("the app");
        assert_eq!((app.number, app.port, app.current), (AppNumber(2), 8101, Some(ReleaseVersion(1))), "format {version}");
        let releases = store.list_releases(app.number, 10).await.expect("read");
        assert_eq!(releases.iter().map(|found| found.state).collect::<Vec<_>>(), [ReleaseState::Failed, ReleaseState::Current]);
        assert_eq!(store.slug(app.number, slug(0xab)).await.expect("the slug").manifest.buildpack, "python");
        assert_eq!(store.formation(app.number).await.expect("read"), formation(&[("web", 2)]));
        let web = TypeSettings { overlap: Some(false), boot_timeout_s: Some(90), stop_timeout_s: None };
        let settings = if version < 2 { [].into() } else { [("web".parse().expect("type"), web)].into() };
        assert_eq!(store.type_settings(app.number).await.expect("read"), settings, "format {version}");
        let kept: &[&str] = if version < 3 { &[] } else { &["app.db", "public/uploads/"] };
        let found = store.kept_paths(app.number).await.expect("read");
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), kept, "format {version}");
        assert_eq!(store.find_build(app.number, None).await.expect("read").expect("a build").state, BuildState::Succeeded);
        assert_eq!(store.build_output(app.number, 1).await.expect("read").lines, ["-----> Python app detected"]);
        assert_eq!(store.find_access_by_fingerprint("SHA256:a").await.expect("read").expect("anna").person, "anna");
        assert_eq!(store.list_events(None, 10).await.expect("read").len(), 1);
        assert_eq!(create(&store, "next").await.number, AppNumber(3));
    }
}

#[tokio::test]
async fn every_start_of_a_migration_ends_at_the_newest_format() {
    for version in 0..=migrate::newest() {
        let root = Root::new();
        drop(at_version(&root, version));
        let fresh = Root::new();
        let schema = |store: Store| async move {
            let sql = "SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name";
            store.read("schema", move |db, _| crate::store::sql::rows(db, sql, [], |row| Ok(row.get::<_, String>(0)?))).await.expect("read")
        };
        assert_eq!(schema(root.open()).await, schema(fresh.open()).await, "from format {version}");
    }
}

#[test]
fn migrating_twice_changes_nothing() {
    let root = Root::new();
    let mut db = at_version(&root, migrate::newest());
    let changes = db.total_changes();
    migrate::migrate(&mut db).expect("migrated");
    assert_eq!(db.total_changes(), changes);
}

#[test]
fn a_step_that_fails_leaves_the_format_before_it() {
    let root = Root::new();
    let mut db = at_version(&root, 0);
    db.execute_batch("CREATE TABLE settings (x)").expect("in the way");
    migrate::migrate(&mut db).expect_err("the table is there already");
    assert_eq!(migrate::version(&db).expect("read"), 0);
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).expect("read");
    assert_eq!(tables, 1);
}
