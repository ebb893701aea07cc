//! Each change is one transaction: when it gives up just before its commit, nothing of
//! it is there.

use std::pin::Pin;
use std::sync::atomic::Ordering;

use api::Role;

use super::*;
use crate::store::{AppSetting, BuildEnd, BuildState, NewAccess, NewPush, PublicKey, PushNumber, StoreError, Undone};

type Change<'a> = (&'static str, Pin<Box<dyn Future<Output = Result<(), StoreError>> + 'a>>);

macro_rules! change {
    ($name:literal, $call:expr) => {{
        let call = $call;
        ($name, Box::pin(async move { call.await.map(drop) }) as Pin<Box<dyn Future<Output = Result<(), StoreError>>>>)
    }};
}

/// Every method that writes, with arguments that work on the store of the test. The
/// order lets all of them succeed one after the other.
fn changes(store: &Store) -> Vec<Change<'_>> {
    let app = AppNumber(1);
    let e = event;
    let access = || NewAccess {
        person: "anna".to_owned(),
        key: Some(PublicKey { fingerprint: "SHA256:a".to_owned(), key_type: "ssh-ed25519".to_owned(), blob: vec![1] }),
        role: Role::Owner,
        app: Some(app),
    };
    let push = || NewPush { app, reference: "refs/heads/main".parse().expect("a ref"), old: "0".repeat(40), new: "1".repeat(40) };
    let release =
        |cause| NewRelease { slug: slug(1), config_version: ConfigVersion(1), formation: formation(&[("web", 1), ("worker", 0)]), cause };
    let rollback = || Cause::Rollback { to: ReleaseVersion(1) };
    let undone = || Undone { version: ReleaseVersion(2), why: "crashes".to_owned() };
    let end = || BuildEnd { state: BuildState::Succeeded, failure: None, version: None };
    let scale = || vec!["web=2".parse().expect("a change")];
    let setting = || AppSetting::Root(Some("api".to_owned()));
    vec![
        change!("create_app", store.create_app(new_app("second"), e(EventCode::AppCreated))),
        change!("rename_app", store.rename_app(app, name("other"), e(EventCode::AppRenamed))),
        change!("set_app_setting", store.set_app_setting(app, setting(), e(EventCode::AppSet))),
        change!("set_stopped", store.set_stopped(app, true, e(EventCode::ProcessesStopped))),
        change!("next_run_numbers", store.next_run_numbers(app, 5)),
        change!("begin_build", store.begin_build(app, "c".repeat(40), e(EventCode::BuildStarted))),
        change!("append_build_lines", store.append_build_lines(app, 1, vec!["line".to_owned()])),
        change!("accept_push", store.accept_push(push(), NOW)),
        change!("settle_push", store.settle_push(PushNumber(1), true, e(EventCode::PushMoved))),
        change!("insert_slug", store.insert_slug(app, new_slug(1), NOW)),
        change!("insert_candidate_release", store.insert_candidate_release(app, release(deployed(1)), e(EventCode::ReleaseCreated))),
        change!("switch_release", store.switch_release(app, ReleaseVersion(1), e(EventCode::ReleaseSwitched))),
        change!("scale", store.scale(app, scale(), e(EventCode::ProcessesScaled))),
        change!("second candidate", store.insert_candidate_release(app, release(deployed(1)), e(EventCode::ReleaseCreated))),
        change!("second switch", store.switch_release(app, ReleaseVersion(2), e(EventCode::ReleaseSwitched))),
        change!("third candidate", store.insert_candidate_release(app, release(rollback()), e(EventCode::ReleaseCreated))),
        change!("switch_back", store.switch_back(app, ReleaseVersion(3), undone(), e(EventCode::ReleaseRolledBack))),
        change!("fourth candidate", store.insert_candidate_release(app, release(deployed(1)), e(EventCode::ReleaseCreated))),
        change!("fail_release", store.fail_release(app, ReleaseVersion(4), "no".to_owned(), e(EventCode::ReleaseFailed))),
        change!("finish_build", store.finish_build(app, 1, end(), e(EventCode::BuildSucceeded))),
        change!("second build", store.begin_build(app, "d".repeat(40), e(EventCode::BuildStarted))),
        change!("settle_interrupted", store.settle_interrupted(NOW)),
        change!("insert_config", store.insert_config(app, vars(&[("K", "v")]), NOW)),
        change!("save_config", store.save_config(app, ConfigVersion(1), vars(&[("K", "w")]), e(EventCode::ConfigSaved))),
        change!("set_addon_value", store.set_addon_value(app, "database", "password", Secret::new("s"))),
        change!("set_platform_secret", store.set_platform_secret("superuser", Secret::new("s"))),
        change!("record_event", store.record_event(Some(app), e(EventCode::InstanceCrashed))),
        change!("add_access", store.add_access(access(), e(EventCode::AccessAdded))),
        change!("remove_access", store.remove_access("anna", None, e(EventCode::AccessRemoved))),
        change!("destroy_app", store.destroy_app(app, e(EventCode::AppDestroyed))),
        change!("mark_wiped", store.mark_wiped(app, NOW)),
        change!("take_garbage_slugs", store.take_garbage_slugs(NOW + 1)),
        change!("second app", store.create_app(new_app("third"), e(EventCode::AppCreated))),
        change!("second slug", store.insert_slug(AppNumber(3), new_slug(2), NOW)),
        change!("forget_slug_file", store.forget_slug_file(slug(2))),
    ]
}

#[tokio::test]
async fn every_change_is_all_or_nothing() {
    let store = Store::in_memory().expect("store");
    create(&store, "hello").await;
    let count = changes(&store).len();
    for index in 0..count {
        let before = dump(&store).await;
        store.shared.gives_up.store(true, Ordering::SeqCst);
        let (what, given_up) = changes(&store).remove(index);
        assert!(matches!(given_up.await, Err(StoreError::Closed)), "{what} did not come to its commit");
        store.shared.gives_up.store(false, Ordering::SeqCst);
        assert_eq!(dump(&store).await, before, "{what} left something behind");
        let (what, done) = changes(&store).remove(index);
        done.await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_ne!(dump(&store).await, before, "{what} did nothing");
    }
}

#[tokio::test]
async fn an_error_on_the_way_undoes_what_went_before_it() {
    let store = Store::in_memory().expect("store");
    create(&store, "hello").await;
    let before = dump(&store).await;
    let failed = store.write("fail", |db, _| {
        crate::store::sql::execute(db, "INSERT INTO settings VALUES ('a', 'b')", [])?;
        Err::<(), _>(StoreError::ConfigMoved)
    });
    failed.await.expect_err("it failed");
    assert_eq!(dump(&store).await, before);
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_stop_the_change() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    let waiting = store.next_run_numbers(app, 3);
    let gone = tokio::time::timeout(std::time::Duration::ZERO, waiting).await;
    let next = store.next_run_numbers(app, 1).await.expect("a number").start;
    // Either it was asked for and done, or never asked for: nothing in between.
    assert!(next == 4 || (gone.is_err() && next == 1), "{next}");
}

#[tokio::test]
async fn a_panic_ends_one_request_and_undoes_it() {
    let store = Store::in_memory().expect("store");
    let before = dump(&store).await;
    let panicked = store.write("panic", |db, _| -> Result<(), StoreError> {
        crate::store::sql::execute(db, "INSERT INTO settings VALUES ('a', 'b')", [])?;
        panic!("on purpose")
    });
    assert!(matches!(panicked.await, Err(StoreError::Panicked)));
    assert_eq!(dump(&store).await, before);
    create(&store, "hello").await;
}
