//! Config sets: immutable, promoted with a release or alone.

use super::*;
use crate::store::StoreError;

fn change() -> Cause {
    Cause::Config { keys: vec!["K".to_owned()], set: true }
}

#[tokio::test]
async fn values_come_back_unchanged() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await;
    let odd = vars(&[
        ("A", ""),
        ("B", " spaces "),
        ("C", "$HOME `id`"),
        ("D", "two\nlines"),
        ("E", "ünï \u{202e}"),
        ("DATABASE_URL", "postgres://x"),
    ]);
    let version = store.save_config(app.number, app.config_version, odd.clone(), event(EventCode::ConfigSaved)).await.expect("saved");
    assert_eq!(store.current_config(app.number).await.expect("read"), (version, odd));
    assert!(store.config_of(app.number, app.config_version).await.expect("read").is_empty(), "the old set stays");
    assert!(matches!(store.config_of(app.number, ConfigVersion(99)).await, Err(StoreError::NoSuchConfig(99))));
}

#[tokio::test]
async fn a_candidates_config_is_the_apps_only_after_the_flip() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await;
    deploy(&store, app.number, 1).await;
    let wanted = store.insert_config(app.number, vars(&[("K", "new")]), NOW).await.expect("a set");
    let refused = candidate_with(&store, app.number, 1, wanted, change()).await;
    assert!(store.current_config(app.number).await.expect("read").1.is_empty());
    let failed = store.fail_release(app.number, refused, "GET / -> 500".to_owned(), event(EventCode::ReleaseFailed)).await;
    failed.expect("failed");
    assert!(store.current_config(app.number).await.expect("read").1.is_empty(), "K not saved");

    let accepted = candidate_with(&store, app.number, 1, wanted, change()).await;
    switch(&store, app.number, accepted).await;
    assert_eq!(store.current_config(app.number).await.expect("read"), (wanted, vars(&[("K", "new")])));
}

#[tokio::test]
async fn a_config_saved_during_a_deploy_survives_the_flip() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await;
    let deploying = candidate(&store, app.number, 1, deployed(1)).await;
    let saved = vars(&[("K", "saved")]);
    store.save_config(app.number, app.config_version, saved.clone(), event(EventCode::ConfigSaved)).await.expect("saved");
    switch(&store, app.number, deploying).await;
    assert_eq!(store.current_config(app.number).await.expect("read").1, saved);
}

#[tokio::test]
async fn two_changes_at_once_do_not_overwrite_each_other() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await;
    let save = |value: &str| store.save_config(app.number, app.config_version, vars(&[("K", value)]), event(EventCode::ConfigSaved));
    save("first").await.expect("saved");
    assert!(matches!(save("second").await, Err(StoreError::ConfigMoved)));
    assert_eq!(store.current_config(app.number).await.expect("read").1, vars(&[("K", "first")]));

    deploy(&store, app.number, 1).await;
    let base = store.app(app.number).await.expect("app").config_version;
    let wanted = store.insert_config(app.number, vars(&[("K", "third")]), NOW).await.expect("a set");
    let changing = candidate_with(&store, app.number, 1, wanted, change()).await;
    store.save_config(app.number, base, vars(&[("K", "fourth")]), event(EventCode::ConfigSaved)).await.expect("saved");
    let switched = store.switch_release(app.number, changing, event(EventCode::ReleaseSwitched)).await;
    assert!(matches!(switched, Err(StoreError::ConfigMoved)));
}

#[tokio::test]
async fn a_rollback_brings_the_config_of_its_release_back() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await;
    let old = deploy(&store, app.number, 1).await;
    let wanted = store.insert_config(app.number, vars(&[("K", "new")]), NOW).await.expect("a set");
    let changed = candidate_with(&store, app.number, 1, wanted, change()).await;
    switch(&store, app.number, changed).await;
    let back = candidate_with(&store, app.number, 1, app.config_version, Cause::Rollback { to: old }).await;
    switch(&store, app.number, back).await;
    assert_eq!(store.app(app.number).await.expect("app").config_version, app.config_version);
}

#[tokio::test]
async fn a_name_that_was_reserved_later_is_left_out_and_the_rest_is_read() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await;
    let version = store.insert_config(app.number, vars(&[("K", "v")]), NOW).await.expect("a set");
    let number = app.number;
    let reserved = store.write("write", move |db, cipher| {
        let place = crate::store::cipher::Place::Config { app: number, version, key: "PORT" };
        let sealed = cipher.seal(place, &Secret::new("80"))?;
        let sql = "INSERT INTO config_values VALUES (?1, ?2, 'PORT', ?3, ?4, ?5)";
        let values = rusqlite::params![number.0, version.0, sealed.key_id, sealed.nonce, sealed.ciphertext];
        crate::store::sql::execute(db, sql, values)
    });
    reserved.await.expect("written");
    assert_eq!(store.config_of(app.number, version).await.expect("read"), vars(&[("K", "v")]));
}
