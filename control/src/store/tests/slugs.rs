//! Which slugs stay.

use super::*;
use crate::store::StoreError;

#[tokio::test]
async fn a_slug_reads_back_and_the_same_bytes_again_are_no_error() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    for at in [NOW, NOW + 5] {
        store.insert_slug(app, new_slug(1), at).await.expect("a slug");
    }
    let found = store.slug(app, slug(1)).await.expect("a slug");
    assert_eq!((found.manifest, found.created_unix_ms, found.is_stored), (new_slug(1).manifest, NOW, true));
    assert!(matches!(store.slug(app, slug(9)).await, Err(StoreError::SlugGone(_))));
}

#[tokio::test]
async fn the_last_ten_that_served_the_current_one_and_candidates_stay() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    let first = deploy(&store, app, 1).await;
    for byte in 2..=13 {
        deploy(&store, app, byte).await;
    }
    let back = candidate_with(&store, app, 2, store.app(app).await.expect("app").config_version, Cause::Rollback { to: first }).await;
    switch(&store, app, back).await;
    let failed = candidate(&store, app, 20, deployed(20)).await;
    store.fail_release(app, failed, "no".to_owned(), event(EventCode::ReleaseFailed)).await.expect("failed");
    candidate(&store, app, 21, deployed(21)).await;
    store.insert_slug(app, new_slug(30), NOW + 10).await.expect("a slug");

    let kept: Vec<u8> = store.kept_slugs().await.expect("read").iter().map(|slug| slug.0[0]).collect();
    assert_eq!(kept, [2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 21]);
    let garbage = store.take_garbage_slugs(NOW + 10).await.expect("garbage");
    assert_eq!(garbage.iter().map(|slug| slug.0[0]).collect::<BTreeSet<_>>(), BTreeSet::from([1, 3, 4, 20]));
    assert!(store.take_garbage_slugs(NOW + 10).await.expect("garbage").is_empty());
    assert!(store.stored_slugs().await.expect("read").contains_key(&slug(30)), "a build may be about to release it");

    let gone = NewRelease {
        slug: slug(1),
        config_version: store.app(app).await.expect("app").config_version,
        formation: formation(&[("web", 1)]),
        cause: Cause::Rollback { to: first },
    };
    let refused = store.insert_candidate_release(app, gone, event(EventCode::ReleaseCreated)).await;
    assert!(matches!(refused, Err(StoreError::SlugGone(missing)) if missing == slug(1)));
    assert!(!store.slug(app, slug(1)).await.expect("a slug").is_stored, "what it was is still known");
}

#[tokio::test]
async fn a_file_stays_as_long_as_one_living_app_needs_it() {
    let store = Store::in_memory().expect("store");
    let (one, two) = (create(&store, "one").await.number, create(&store, "two").await.number);
    deploy(&store, one, 1).await;
    deploy(&store, two, 1).await;
    store.destroy_app(one, event(EventCode::AppDestroyed)).await.expect("destroyed");
    assert!(store.take_garbage_slugs(i64::MAX).await.expect("garbage").is_empty());
    store.destroy_app(two, event(EventCode::AppDestroyed)).await.expect("destroyed");
    assert_eq!(store.take_garbage_slugs(i64::MAX).await.expect("garbage"), [slug(1)]);
}
