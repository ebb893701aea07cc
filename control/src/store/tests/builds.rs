//! Builds and what is kept of their output.

use super::*;
use crate::store::{BuildEnd, BuildFailure, BuildState, StoreError};

async fn begin(store: &Store, app: AppNumber) -> u32 {
    store.begin_build(app, "c".repeat(40), event(EventCode::BuildStarted)).await.expect("a build")
}

fn ended(state: BuildState) -> BuildEnd {
    BuildEnd { state, failure: None, version: None }
}

#[tokio::test]
async fn a_build_runs_until_it_ends_once() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    let other = create(&store, "other").await.number;
    assert_eq!((begin(&store, app).await, begin(&store, app).await, begin(&store, other).await), (1, 2, 1));
    let version = deploy(&store, app, 1).await;
    let end = BuildEnd { version: Some(version), ..ended(BuildState::Succeeded) };
    store.finish_build(app, 1, end, event(EventCode::BuildSucceeded)).await.expect("ended");
    let failure = Some(BuildFailure { code: "build.failed".to_owned(), what: "pip failed".to_owned() });
    let end = BuildEnd { failure: failure.clone(), ..ended(BuildState::Failed) };
    store.finish_build(app, 2, end, event(EventCode::BuildFailed)).await.expect("ended");

    let builds = store.list_builds(app, 10).await.expect("builds");
    assert_eq!(
        builds.iter().map(|build| (build.number, build.state)).collect::<Vec<_>>(),
        [(2, BuildState::Failed), (1, BuildState::Succeeded)]
    );
    assert_eq!((builds[0].failure.clone(), builds[1].version), (failure, Some(version)));
    assert_eq!(store.find_build(other, None).await.expect("read").expect("a build").state, BuildState::Running);
    let again = store.finish_build(app, 2, ended(BuildState::Cancelled), event(EventCode::BuildCancelled)).await;
    assert!(matches!(again, Err(StoreError::BuildEnded(2))));
    let unknown = store.finish_build(app, 9, ended(BuildState::Cancelled), event(EventCode::BuildCancelled)).await;
    assert!(matches!(unknown, Err(StoreError::NoSuchBuild(9))));
}

#[tokio::test]
async fn output_is_kept_in_order_across_batches() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    let build = begin(&store, app).await;
    for batch in [vec!["one".to_owned(), String::new()], vec!["three".to_owned()]] {
        store.append_build_lines(app, build, batch).await.expect("kept");
    }
    let output = store.build_output(app, build).await.expect("read");
    assert_eq!(output.lines, ["one", "", "three"]);
    assert!(!output.is_cut && !output.is_removed);
    assert!(matches!(store.append_build_lines(app, 9, Vec::new()).await, Err(StoreError::NoSuchBuild(9))));
}

#[tokio::test]
async fn endless_output_is_cut_and_says_so() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    let (many, long) = (begin(&store, app).await, begin(&store, app).await);
    for _ in 0..3 {
        store.append_build_lines(app, many, vec!["x".to_owned(); 10_000]).await.expect("kept");
    }
    let output = store.build_output(app, many).await.expect("read");
    assert_eq!((output.lines.len(), output.is_cut), (20_000, true));
    assert!(output.lines[19_999].contains("not kept"));

    for _ in 0..20 {
        store.append_build_lines(app, long, vec!["ä".repeat(5_000); 100]).await.expect("kept");
    }
    let output = store.build_output(app, long).await.expect("read");
    let bytes: usize = output.lines.iter().map(String::len).sum();
    assert!(output.is_cut && bytes <= 4 * 1024 * 1024, "{bytes}");
    assert_eq!(output.lines[0].len(), 4 * 1024);
}

#[tokio::test]
async fn the_oldest_output_goes_when_an_app_is_over_its_budget() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    let small = begin(&store, app).await;
    store.append_build_lines(app, small, vec!["hello".to_owned()]).await.expect("kept");
    for _ in 0..9 {
        let build = begin(&store, app).await;
        store.append_build_lines(app, build, vec!["x".repeat(4_000); 1_100]).await.expect("kept");
    }
    let last = begin(&store, app).await;
    let removed = store.build_output(app, small).await.expect("read");
    assert!(removed.is_removed && removed.lines.is_empty());
    assert!(!store.build_output(app, last - 1).await.expect("read").is_removed);
    assert_eq!(store.list_builds(app, 100).await.expect("builds").len(), 11, "every build is kept");
    let sql = "SELECT sum(length(text)) FROM build_lines";
    let kept: i64 = store.read("sum", move |db, _| crate::store::sql::value(db, sql, [])).await.expect("a sum");
    assert!(kept <= crate::store::limits::APP_BUILD_OUTPUT_BYTES_MAX, "{kept}");
}
