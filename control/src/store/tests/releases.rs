//! Candidates, the flip, failures, rollbacks.

use super::*;
use crate::store::{ReleaseState, StoreError, Undone};

async fn states(store: &Store, app: AppNumber) -> Vec<(u32, ReleaseState)> {
    let releases = store.list_releases(app, 100).await.expect("releases");
    releases.iter().map(|found| (found.release.version.0, found.state)).collect()
}

async fn fail(store: &Store, app: AppNumber, version: ReleaseVersion) -> Result<(), StoreError> {
    store.fail_release(app, version, "GET / -> 500".to_owned(), event(EventCode::ReleaseFailed)).await
}

#[tokio::test]
async fn the_flip_moves_what_serves_and_nothing_before_it_does() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    let first = candidate(&store, app, 1, deployed(1)).await;
    assert_eq!(store.current_release(app).await.expect("read"), None);
    assert_eq!(states(&store, app).await, [(1, ReleaseState::Candidate)]);
    let before = store.switch_release(app, first, event(EventCode::ReleaseSwitched)).await.expect("the flip");
    assert_eq!(before, None);

    let second = candidate(&store, app, 2, deployed(2)).await;
    assert_eq!(store.current_release(app).await.expect("read").expect("current").release.version, first);
    let before = store.switch_release(app, second, event(EventCode::ReleaseSwitched)).await.expect("the flip");
    assert_eq!(before, Some(first));
    let current = store.current_release(app).await.expect("read").expect("current");
    assert_eq!((current.release.version, current.release.parent), (second, Some(first)));
    assert_eq!((current.release.actor.as_str(), current.switched_unix_ms), ("anna", Some(NOW)));
    assert_eq!(states(&store, app).await, [(2, ReleaseState::Current), (1, ReleaseState::Superseded)]);
}

#[tokio::test]
async fn a_failed_release_changes_nothing_and_its_number_is_not_given_out_again() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    let first = deploy(&store, app, 1).await;
    let second = candidate(&store, app, 2, deployed(2)).await;
    fail(&store, app, second).await.expect("failed");
    let found = store.find_release(app, second).await.expect("read").expect("a release");
    assert_eq!((found.state, found.failure.as_deref()), (ReleaseState::Failed, Some("GET / -> 500")));
    assert_eq!(store.app(app).await.expect("app").current, Some(first));
    assert_eq!(candidate(&store, app, 2, deployed(2)).await, ReleaseVersion(3));
}

#[tokio::test]
async fn only_a_candidate_can_be_switched_to_or_failed() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    let first = deploy(&store, app, 1).await;
    let second = deploy(&store, app, 2).await;
    let failed = candidate(&store, app, 3, deployed(3)).await;
    fail(&store, app, failed).await.expect("failed");
    for decided in [first, failed] {
        let switched = store.switch_release(app, decided, event(EventCode::ReleaseSwitched)).await;
        assert!(matches!(switched, Err(StoreError::ReleaseDecided(_))), "{decided}");
    }
    assert!(matches!(fail(&store, app, second).await, Err(StoreError::ReleaseDecided(_))));
    assert!(matches!(fail(&store, app, ReleaseVersion(99)).await, Err(StoreError::NoSuchRelease(_))));
    let events = store.list_events(Some(app), 100).await.expect("events").len();
    switch(&store, app, second).await;
    assert_eq!(store.list_events(Some(app), 100).await.expect("events").len(), events, "a second flip is no news");
}

#[tokio::test]
async fn a_stale_candidate_never_moves_the_app_backwards() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    deploy(&store, app, 1).await;
    let stale = candidate(&store, app, 2, deployed(2)).await;
    deploy(&store, app, 3).await;
    let switched = store.switch_release(app, stale, event(EventCode::ReleaseSwitched)).await;
    assert!(matches!(switched, Err(StoreError::CurrentMoved(version)) if version == stale));
}

#[tokio::test]
async fn a_release_takes_over_the_scale_that_people_set_meanwhile() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    deploy(&store, app, 1).await;
    store.insert_slug(app, new_slug(2), NOW).await.expect("a slug");
    let config_version = store.app(app).await.expect("app").config_version;
    let next = NewRelease { slug: slug(2), config_version, formation: formation(&[("bot", 0), ("web", 1)]), cause: deployed(2) };
    let next = store.insert_candidate_release(app, next, event(EventCode::ReleaseCreated)).await.expect("a candidate");
    let scale = |words: &[&str]| {
        let changes = words.iter().map(|word| word.parse().expect("a change")).collect();
        store.scale(app, changes, event(EventCode::ProcessesScaled))
    };
    assert_eq!(scale(&["web=3"]).await.expect("scaled"), formation(&[("web", 3)]));
    switch(&store, app, next.version).await;
    assert_eq!(store.formation(app).await.expect("read"), formation(&[("bot", 0), ("web", 3)]));
    let kept = store.find_release(app, next.version).await.expect("read").expect("a release").release.formation;
    assert_eq!(kept, formation(&[("bot", 0), ("web", 1)]), "a release keeps the scale it was made with");

    let refused = scale(&["web+1", "clock=1"]).await;
    assert!(matches!(refused, Err(StoreError::NoSuchProcessType(_))));
    assert!(matches!(scale(&["bot=1", "web=1000"]).await, Err(StoreError::Invalid(_))));
    assert_eq!(store.formation(app).await.expect("read"), formation(&[("bot", 0), ("web", 3)]), "all or nothing");
}

#[tokio::test]
async fn rolling_back_goes_to_the_last_good_release_and_then_further_back() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    let target = || async { store.rollback_target(app).await.expect("read").map(|found| found.release.version.0) };
    assert_eq!(target().await, None);
    deploy(&store, app, 1).await;
    assert_eq!(target().await, None);
    deploy(&store, app, 2).await;
    let failed = candidate(&store, app, 3, deployed(3)).await;
    fail(&store, app, failed).await.expect("failed");
    deploy(&store, app, 4).await;
    assert_eq!(target().await, Some(2));
    let back = candidate(&store, app, 2, Cause::Rollback { to: ReleaseVersion(2) }).await;
    switch(&store, app, back).await;
    assert_eq!(target().await, Some(1), "v4 was what people rolled back from");
    deploy(&store, app, 6).await;
    assert_eq!(target().await, Some(5));
    store.forget_slug_file(slug(2)).await.expect("forgotten");
    assert_eq!(target().await, Some(4));
}

#[tokio::test]
async fn a_release_that_was_undone_by_itself_is_failed_and_no_target() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    deploy(&store, app, 1).await;
    let bad = deploy(&store, app, 2).await;
    let back = candidate(&store, app, 1, Cause::Rollback { to: ReleaseVersion(1) }).await;
    let undone = Undone { version: bad, why: "web.1 crashed 4 times".to_owned() };
    let before = store.switch_back(app, back, undone.clone(), event(EventCode::ReleaseRolledBack)).await.expect("back");
    assert_eq!(before, Some(bad));
    let found = store.find_release(app, bad).await.expect("read").expect("a release");
    assert_eq!((found.state, found.failure), (ReleaseState::Failed, Some(undone.why.clone())));
    deploy(&store, app, 4).await;
    assert_eq!(store.rollback_target(app).await.expect("read").expect("a target").release.version, back);

    let next = candidate(&store, app, 1, Cause::Rollback { to: ReleaseVersion(1) }).await;
    let wrong = store.switch_back(app, next, undone, event(EventCode::ReleaseRolledBack)).await;
    assert!(matches!(wrong, Err(StoreError::CurrentMoved(_))), "v2 does not serve any more");
}

#[tokio::test]
async fn what_a_killed_server_left_is_settled_once() {
    let root = Root::new();
    let store = root.open();
    let app = create(&store, "hello").await.number;
    let good = deploy(&store, app, 1).await;
    let left = candidate(&store, app, 2, deployed(2)).await;
    let build = store.begin_build(app, "b".repeat(40), event(EventCode::BuildStarted)).await.expect("a build");
    drop(store);
    let store = root.open();
    let settled = store.settle_interrupted(NOW + 1).await.expect("settled");
    assert_eq!((settled.builds, settled.releases), (1, 1));
    assert_eq!(store.settle_interrupted(NOW + 2).await.expect("settled"), crate::store::Interrupted::default());
    assert_eq!(store.app(app).await.expect("app").current, Some(good));
    assert_eq!(store.find_release(app, left).await.expect("read").expect("a release").state, ReleaseState::Failed);
    let build = store.find_build(app, Some(build)).await.expect("read").expect("a build");
    assert_eq!((build.state.as_str(), build.ended_unix_ms), ("interrupted", Some(NOW + 1)));
    let events = store.list_events(Some(app), 2).await.expect("events");
    assert_eq!(events.iter().map(|event| event.code.as_str()).collect::<Vec<_>>(), ["release.failed", "build.interrupted"]);
}

#[tokio::test]
async fn releases_slugs_events_and_outcomes_cannot_be_changed_in_place() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    deploy(&store, app, 1).await;
    let base = store.app(app).await.expect("app").config_version;
    store.save_config(app, base, vars(&[("K", "v")]), event(EventCode::ConfigSaved)).await.expect("saved");
    let build = store.begin_build(app, "b".repeat(40), event(EventCode::BuildStarted)).await.expect("a build");
    assert_eq!(build, 1);
    store.settle_interrupted(NOW).await.expect("settled");
    for forbidden in [
        "UPDATE releases SET actor = 'x'",
        "DELETE FROM releases",
        "UPDATE release_outcomes SET detail = 'x'",
        "DELETE FROM release_outcomes",
        "UPDATE slugs SET bytes = 1",
        "DELETE FROM slugs",
        "UPDATE events SET text = 'x'",
        "DELETE FROM events",
        "UPDATE builds SET actor = 'x'",
        "UPDATE build_outcomes SET state = 'x'",
        "UPDATE config_sets SET created_unix_ms = 1",
        "UPDATE config_values SET ciphertext = x'00'",
        "DELETE FROM apps",
    ] {
        let tried = store.write("change", move |db, _| Ok(db.execute_batch(forbidden)?)).await;
        assert!(matches!(tried, Err(StoreError::Database { .. })), "{forbidden}");
    }
}
