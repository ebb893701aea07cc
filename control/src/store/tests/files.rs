//! The file: durability, damage, foreign and newer files, two servers, a full disk.

use std::fs;

use rusqlite::Connection;

use super::*;
use crate::store::{StoreError, migrate};

#[tokio::test]
async fn a_commit_survives_a_power_cut_and_the_reader_cannot_write() {
    let root = Root::new();
    let store = root.open();
    let pragma = |db: &Connection, name: &str| -> Result<String, StoreError> {
        let value: rusqlite::types::Value = db.pragma_query_value(None, name, |row| row.get(0))?;
        Ok(format!("{value:?}"))
    };
    let rules = move |db: &rusqlite::Transaction<'_>, _: &crate::store::Cipher| {
        ["journal_mode", "synchronous", "foreign_keys", "trusted_schema"].iter().map(|name| pragma(db, name)).collect()
    };
    let writer: Vec<String> = store.write("look", rules).await.expect("rules");
    // 2 is FULL: a commit is answered after its fsync.
    assert_eq!(writer, ["Text(\"wal\")", "Integer(2)", "Integer(1)", "Integer(0)"]);
    let written = store.read("write", |db, _| Ok(db.execute_batch("DELETE FROM settings")?)).await;
    assert!(matches!(written, Err(StoreError::Database { .. })));
}

#[tokio::test]
async fn a_reader_sees_what_was_just_committed() {
    let root = Root::new();
    let store = root.open();
    for number in 0..50 {
        let app = create(&store, &format!("app-{number}")).await;
        assert_eq!(store.app(app.number).await.expect("read"), app);
        store.destroy_app(app.number, event(EventCode::AppDestroyed)).await.expect("destroyed");
    }
}

#[test]
fn two_servers_do_not_share_a_database() {
    let root = Root::new();
    let store = root.open();
    assert!(matches!(Store::open(&root.database(), &root.key()), Err(StoreError::InUse { .. })));
    let clone = store.clone();
    drop(store);
    assert!(matches!(Store::open(&root.database(), &root.key()), Err(StoreError::InUse { .. })));
    drop(clone);
    drop(root.open());
}

/// Opens a file that must be refused and checks that it is left as it is.
fn refused(root: &Root) -> StoreError {
    let before = fs::read(root.database()).expect("a file");
    let error = Store::open(&root.database(), &root.key()).expect_err("refused");
    assert!(fs::read(root.database()).expect("a file") == before, "the file was changed");
    let failure = api::Failure::from(error);
    assert!(failure.fix.is_some(), "{failure:?}");
    Store::open(&root.database(), &root.key()).expect_err("refused again")
}

async fn filled() -> Root {
    let root = Root::new();
    let store = root.open();
    let app = create(&store, "hello").await.number;
    for byte in 1..=40 {
        deploy(&store, app, byte).await;
    }
    drop(store);
    root
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let garbage = Root::new();
    drop(garbage.open());
    fs::write(garbage.database(), "this is no database, but it is long enough to look like one".repeat(100)).expect("written");
    assert!(matches!(refused(&garbage), StoreError::Corrupt { .. }));

    let truncated = filled().await;
    let content = fs::read(truncated.database()).expect("a file");
    fs::write(truncated.database(), &content[..content.len() / 2]).expect("written");
    assert!(matches!(refused(&truncated), StoreError::Corrupt { .. }));

    let scribbled = filled().await;
    let mut content = fs::read(scribbled.database()).expect("a file");
    let end = content.len() - 1;
    content[8192..end].fill(0x55);
    fs::write(scribbled.database(), content).expect("written");
    assert!(matches!(refused(&scribbled), StoreError::Corrupt { .. }));
}

#[tokio::test]
async fn a_file_of_a_newer_paas_is_refused() {
    let root = filled().await;
    let db = Connection::open(root.database()).expect("a database");
    db.pragma_update(None, "user_version", migrate::newest() + 1).expect("set");
    drop(db);
    let error = refused(&root);
    assert!(matches!(error, StoreError::Newer { found, known, .. } if found == known + 1));
}

#[test]
fn a_file_of_another_program_is_refused() {
    let root = Root::new();
    fs::create_dir_all(root.database().parent().expect("a folder")).expect("a folder");
    let db = Connection::open(root.database()).expect("a database");
    db.execute_batch("CREATE TABLE bookmarks (url TEXT)").expect("a table");
    drop(db);
    assert!(matches!(refused(&root), StoreError::Foreign { .. }));
}

#[tokio::test]
async fn a_full_disk_is_told_as_such_and_keeps_nothing_of_the_change() {
    let root = Root::new();
    let store = root.open();
    let app = create(&store, "hello").await.number;
    let build = store.begin_build(app, "a".repeat(40), event(EventCode::BuildStarted)).await.expect("a build");
    let limit = store.write("limit", |db, _| {
        let pages: i64 = db.pragma_query_value(None, "page_count", |row| row.get(0))?;
        Ok(db.pragma_update_and_check(None, "max_page_count", pages + 4, |row| row.get::<_, i64>(0))?)
    });
    limit.await.expect("a limit");
    let before = dump(&store).await;
    let error = store.append_build_lines(app, build, vec!["x".repeat(4_000); 100]).await.expect_err("full");
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    assert_eq!(dump(&store).await, before);
    assert_eq!(api::Failure::from(error).code, "disk.full");
    store.append_build_lines(app, build, vec!["small".to_owned()]).await.expect("it goes on");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let root = Root::new();
    let file = root.0.path().join("file");
    fs::write(&file, "").expect("written");
    let error = Store::open(&file.join("store/paas.db"), &root.key()).expect_err("no folder");
    assert!(matches!(error, StoreError::File { .. }), "{error:?}");
}
