//! Encryption at rest, tampering, keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::store::StoreError;

const SECRET: &str = "correct horse battery staple";

/// An app with one secret of each kind.
async fn with_secrets(store: &Store, text: &str) -> App {
    let app = create(store, text).await;
    let saved = vars(&[("TOKEN", SECRET)]);
    store.save_config(app.number, app.config_version, saved, event(EventCode::ConfigSaved)).await.expect("saved");
    store.set_addon_value(app.number, "database", "password", Secret::new(SECRET)).await.expect("kept");
    store.set_platform_secret("superuser", Secret::new(SECRET)).await.expect("kept");
    store.app(app.number).await.expect("app")
}

async fn change(store: &Store, sql: &'static str) {
    store.write("change", move |db, _| Ok(db.execute_batch(sql)?)).await.expect("changed");
}

#[tokio::test]
async fn no_file_of_the_store_holds_a_secret_in_clear() {
    let root = Root::new();
    let store = root.open();
    let app = with_secrets(&store, "hello").await;
    let look = |when: &str| {
        let folder = fs::read_dir(root.database().parent().expect("a folder")).expect("a folder");
        let mut bytes = 0;
        for file in folder {
            let path = file.expect("a file").path();
            let content = fs::read(&path).expect("a file");
            bytes += content.len();
            assert!(!content.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "{when}: {}", path.display());
        }
        assert!(bytes > 4096, "{when}: there is something to look at");
    };
    look("open");
    drop(store);
    look("closed");
    let store = root.open();
    assert_eq!(store.current_config(app.number).await.expect("read").1, vars(&[("TOKEN", SECRET)]));
    assert_eq!(store.addon_value(app.number, "database", "password").await.expect("read"), Some(Secret::new(SECRET)));
    assert_eq!(store.platform_secret("superuser").await.expect("read"), Some(Secret::new(SECRET)));
}

#[tokio::test]
async fn the_files_are_the_owners_alone() {
    let root = Root::new();
    let store = root.open();
    with_secrets(&store, "hello").await;
    let folder = root.database().parent().expect("a folder").to_owned();
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&root.key()), mode(root.key().parent().expect("a folder"))), (0o700, 0o600, 0o700));
    let files: Vec<PathBuf> = fs::read_dir(&folder).expect("a folder").map(|file| file.expect("a file").path()).collect();
    assert_eq!(files.len(), 4, "database, write-ahead log, its index, lock: {files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
}

#[tokio::test]
async fn the_same_value_is_never_encrypted_the_same_way() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await;
    let same = vars(&[("A", SECRET), ("B", SECRET)]);
    for _ in 0..50 {
        store.insert_config(app.number, same.clone(), NOW).await.expect("a set");
    }
    let nonces: i64 = store
        .read("count", |db, _| crate::store::sql::value(db, "SELECT count(DISTINCT nonce) FROM config_values", []))
        .await
        .expect("a count");
    assert_eq!(nonces, 100);
}

#[tokio::test]
async fn a_changed_value_is_noticed() {
    for tampering in [
        "DROP TRIGGER config_values_are_not_updated;
         UPDATE config_values SET ciphertext = CAST(x'00' || substr(ciphertext, 2) AS BLOB)",
        "DROP TRIGGER config_values_are_not_updated; UPDATE config_values SET nonce = x'000000000000000000000000'",
        "DROP TRIGGER config_values_are_not_updated; UPDATE config_values SET ciphertext = x''",
    ] {
        let store = Store::in_memory().expect("store");
        let app = with_secrets(&store, "hello").await;
        change(&store, tampering).await;
        assert!(matches!(store.current_config(app.number).await, Err(StoreError::Tampered { .. })), "{tampering}");
    }
}

#[tokio::test]
async fn a_value_moved_to_another_place_does_not_open() {
    for (moving, what) in [
        ("UPDATE config_values SET app = 2, config_version = 2 WHERE app = 1 AND config_version = 2", "another app"),
        ("UPDATE config_values SET config_version = 1 WHERE app = 1", "another version"),
        ("UPDATE config_values SET key = 'OTHER' WHERE app = 1", "another name"),
    ] {
        let store = Store::in_memory().expect("store");
        let app = with_secrets(&store, "hello").await;
        let other = create(&store, "other").await;
        store.save_config(other.number, other.config_version, vars(&[]), event(EventCode::ConfigSaved)).await.expect("saved");
        change(&store, "DROP TRIGGER config_values_are_not_updated").await;
        change(&store, moving).await;
        let mut refused = 0;
        for number in [app.number, other.number] {
            for version in [1, 2] {
                match store.config_of(number, ConfigVersion(version)).await {
                    Ok(vars) => assert!(vars.is_empty(), "{what}"),
                    Err(StoreError::Tampered { .. }) => refused += 1,
                    Err(error) => panic!("{what}: {error}"),
                }
            }
        }
        assert_eq!(refused, 1, "{what}");
    }
    let store = Store::in_memory().expect("store");
    let app = with_secrets(&store, "hello").await;
    change(&store, "INSERT INTO addon_values SELECT app, addon, 'url', key_id, nonce, ciphertext FROM addon_values").await;
    assert!(matches!(store.addon_values(app.number, "database").await, Err(StoreError::Tampered { .. })));
    change(&store, "UPDATE platform_secrets SET (nonce, ciphertext) = (SELECT nonce, ciphertext FROM addon_values)").await;
    assert!(matches!(store.platform_secret("superuser").await, Err(StoreError::Tampered { .. })));
}

#[tokio::test]
async fn a_lost_key_is_not_replaced_while_something_is_encrypted() {
    let root = Root::new();
    let store = root.open();
    let app = with_secrets(&store, "hello").await;
    drop(store);
    let kept = root.key().with_extension("kept");
    fs::rename(root.key(), &kept).expect("moved");
    assert!(matches!(Store::open(&root.database(), &root.key()), Err(StoreError::KeyMissing { .. })));
    assert!(!root.key().exists());
    fs::rename(&kept, root.key()).expect("moved back");
    assert!(root.open().current_config(app.number).await.is_ok());
}

#[tokio::test]
async fn a_key_is_made_while_nothing_is_encrypted() {
    let root = Root::new();
    create(&root.open(), "hello").await;
    fs::remove_file(root.key()).expect("removed");
    fs::write(root.key().with_extension("new"), "half a k").expect("what a crash left");
    assert_eq!(root.open().apps().await.expect("read").len(), 1);
    assert_eq!(fs::read(root.key()).expect("a key").len(), 32);
    assert!(!root.key().with_extension("new").exists());
}

#[tokio::test]
async fn another_databases_key_is_refused_at_once() {
    let (root, other) = (Root::new(), Root::new());
    with_secrets(&root.open(), "hello").await;
    drop(other.open());
    let opened = Store::open(&root.database(), &other.key());
    assert!(matches!(opened, Err(StoreError::KeyMismatch { path }) if path == other.key()));
}

#[test]
fn a_key_that_is_short_or_open_to_others_is_refused() {
    let root = Root::new();
    drop(root.open());
    fs::set_permissions(root.key(), fs::Permissions::from_mode(0o640)).expect("mode");
    assert!(matches!(Store::open(&root.database(), &root.key()), Err(StoreError::KeyUnusable { .. })));
    fs::set_permissions(root.key(), fs::Permissions::from_mode(0o600)).expect("mode");
    fs::write(root.key(), "short").expect("written");
    assert!(matches!(Store::open(&root.database(), &root.key()), Err(StoreError::KeyUnusable { .. })));
}

#[tokio::test]
async fn errors_and_debug_output_hold_no_secret() {
    let store = Store::in_memory().expect("store");
    let app = with_secrets(&store, "hello").await;
    let config = store.current_config(app.number).await.expect("read");
    let values = store.addon_values(app.number, "database").await.expect("read");
    let shown = format!("{config:?} {values:?} {store:?} {app:?}");
    assert_eq!(shown.matches("Secret(…)").count(), 2, "both are there: {shown}");
    assert!(!shown.contains("horse"), "{shown}");
    change(&store, "DROP TRIGGER config_values_are_not_updated; UPDATE config_values SET nonce = zeroblob(12)").await;
    change(&store, "CREATE TRIGGER full BEFORE UPDATE ON addon_values BEGIN SELECT RAISE(ABORT, 'the disk is full'); END").await;
    let unreadable = store.current_config(app.number).await.expect_err("tampered with");
    let unwritable = store.set_addon_value(app.number, "database", "password", Secret::new(SECRET)).await.expect_err("full");
    for error in [unreadable, unwritable] {
        let shown = format!("{error} {error:?}");
        let shown = format!("{shown} {:?}", api::Failure::from(error));
        assert!(!shown.contains("horse"), "{shown}");
    }
}
