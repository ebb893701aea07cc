//! Apps: names, numbers, ports, settings, events.

use super::*;
use crate::store::{AppSetting, StoreError};

#[tokio::test]
async fn a_name_belongs_to_one_living_app() {
    let store = Store::in_memory().expect("store");
    let hello = create(&store, "hello").await;
    let second = store.create_app(new_app("hello"), event(EventCode::AppCreated)).await;
    assert!(matches!(second, Err(StoreError::AppNameTaken(taken)) if taken == hello.name));

    let other = create(&store, "other").await;
    let taken = store.rename_app(other.number, name("hello"), event(EventCode::AppRenamed)).await;
    assert!(matches!(taken, Err(StoreError::AppNameTaken(_))));
    let renamed = store.rename_app(other.number, name("third"), event(EventCode::AppRenamed)).await.expect("renamed");
    assert_eq!((renamed.number, renamed.port), (other.number, other.port));
    assert_eq!(find_app(&store, "other").await, None);
    assert_eq!(store.apps().await.expect("read").iter().map(|app| app.name.as_str()).collect::<Vec<_>>(), ["hello", "third"]);
}

#[tokio::test]
async fn a_number_is_never_given_out_again_even_after_a_restart() {
    let root = Root::new();
    let store = root.open();
    let first = create(&store, "hello").await;
    store.destroy_app(first.number, event(EventCode::AppDestroyed)).await.expect("destroyed");
    store.mark_wiped(first.number, NOW).await.expect("wiped");
    drop(store);
    let store = root.open();
    let second = create(&store, "hello").await;
    assert_eq!((first.number, second.number), (AppNumber(1), AppNumber(2)));
    assert_eq!(second.port, first.port, "the port of a destroyed app is free");
}

#[tokio::test]
async fn each_app_has_a_port_of_its_own_until_none_is_left() {
    let store = Store::in_memory().expect("store");
    let mut busy = new_app("one");
    busy.ports_in_use.insert(8101);
    let one = store.create_app(busy, event(EventCode::AppCreated)).await.expect("an app");
    let two = create(&store, "two").await;
    let three = create(&store, "three").await;
    assert_eq!([one.port, two.port, three.port], [8102, 8101, 8103]);
    let none = store.create_app(new_app("four"), event(EventCode::AppCreated)).await;
    assert!(matches!(none, Err(StoreError::NoFreePort(_))));
    assert_eq!(find_app(&store, "four").await, None);
}

#[tokio::test]
async fn a_destroyed_app_leaves_its_history_and_no_secret() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await;
    deploy(&store, app.number, 1).await;
    let base = store.app(app.number).await.expect("app").config_version;
    let saved = vars(&[("TOKEN", "hunter2")]);
    store.save_config(app.number, base, saved, event(EventCode::ConfigSaved)).await.expect("saved");
    store.set_addon_value(app.number, "database", "password", Secret::new("geheim")).await.expect("kept");
    store.destroy_app(app.number, event(EventCode::AppDestroyed)).await.expect("destroyed");

    assert_eq!(store.unwiped_apps().await.expect("read"), [app.number]);
    assert!(matches!(store.app(app.number).await, Err(StoreError::NoSuchApp(_))));
    assert!(store.addon_values(app.number, "database").await.expect("read").is_empty());
    assert_eq!(store.list_releases(app.number, 10).await.expect("read").len(), 1);
    assert_eq!(store.list_events(Some(app.number), 100).await.expect("read").last().expect("an event").code, "app.destroyed");
    assert!(!dump(&store).await.lines().any(|line| line.starts_with("config_values") || line.starts_with("addon_values")));
    let again = store.destroy_app(app.number, event(EventCode::AppDestroyed)).await;
    assert!(matches!(again, Err(StoreError::NoSuchApp(_))));
    store.mark_wiped(app.number, NOW).await.expect("wiped");
    assert!(store.unwiped_apps().await.expect("read").is_empty());
}

#[tokio::test]
async fn settings_of_an_app_last_and_can_be_reset() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await;
    assert_eq!(app.deploy_branches, ["main", "master"]);
    let set = |setting| store.set_app_setting(app.number, setting, event(EventCode::AppSet));
    set(AppSetting::Root(Some("services/api".to_owned()))).await.expect("set");
    let changed = set(AppSetting::DeployBranches(vec!["release".to_owned()])).await.expect("set");
    assert_eq!(changed.deploy_branches, ["release"]);
    assert_eq!(changed.root.as_deref(), Some("services/api"));
    set(AppSetting::Root(None)).await.expect("reset");
    let reset = set(AppSetting::DeployBranches(Vec::new())).await.expect("reset");
    assert_eq!((reset.root, reset.deploy_branches), (None, app.deploy_branches));
    let stopped = store.set_stopped(app.number, true, event(EventCode::ProcessesStopped)).await.expect("stopped");
    assert!(stopped.stopped && store.app(app.number).await.expect("app").stopped);
}

#[tokio::test]
async fn run_numbers_never_return_for_apps_and_for_the_platform() {
    let root = Root::new();
    let store = root.open();
    let app = create(&store, "hello").await.number;
    assert_eq!(store.next_run_numbers(app, 10).await.expect("numbers"), 1..11);
    assert_eq!(store.next_run_numbers(AppNumber::PLATFORM, 1).await.expect("numbers"), 1..2);
    drop(store);
    assert_eq!(root.open().next_run_numbers(app, 2).await.expect("numbers"), 11..13);
    assert!(matches!(root.open().next_run_numbers(app, 0).await, Err(StoreError::TooLarge { .. })));
}

#[tokio::test]
async fn numbers_taken_at_the_same_time_differ() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    let takers: Vec<_> = (0..200)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.next_run_numbers(app, 1).await.expect("a number").start })
        })
        .collect();
    let mut taken = BTreeSet::new();
    for taker in takers {
        assert!(taken.insert(taker.await.expect("a task")));
    }
    assert_eq!(taken.len(), 200);
}

#[tokio::test]
async fn events_keep_their_order_and_unknown_codes_are_read() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    store.record_event(Some(app), event(EventCode::InstanceCrashed)).await.expect("recorded");
    store.record_event(None, event(EventCode::ServerStarted)).await.expect("recorded");
    let later = "INSERT INTO events (at_unix_ms, app, actor, code, detail, text) VALUES (1, 1, 'x', 'later.code', '{}', 't')";
    store.write("write", move |db, _| crate::store::sql::execute(db, later, [])).await.expect("written");

    let all = store.list_events(None, 3).await.expect("events");
    assert_eq!(all.iter().map(|event| event.code.as_str()).collect::<Vec<_>>(), ["instance.crashed", "server.started", "later.code"]);
    assert_eq!(all[0].app, Some(name("hello")));
    let of_app = store.list_events(Some(app), 100).await.expect("events");
    assert_eq!(of_app.iter().map(|event| event.code.as_str()).collect::<Vec<_>>(), ["app.created", "instance.crashed", "later.code"]);
}

#[tokio::test]
async fn a_giant_event_is_cut() {
    let store = Store::in_memory().expect("store");
    let giant = NewEvent::new(NOW, "x", EventCode::InstanceCrashed, "ä".repeat(100_000));
    store.record_event(None, giant).await.expect("recorded");
    let kept = store.list_events(None, 1).await.expect("events").remove(0);
    assert_eq!(kept.text.len(), 4 * 1024);
}

#[test]
fn event_codes_are_unique() {
    let codes: BTreeSet<&str> = EventCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(codes.len(), EventCode::ALL.len());
}

#[tokio::test]
async fn a_push_is_open_until_it_is_settled_once() {
    let store = Store::in_memory().expect("store");
    let app = create(&store, "hello").await.number;
    let push =
        crate::store::NewPush { app, reference: "refs/heads/main".parse().expect("a ref"), old: "0".repeat(40), new: "b".repeat(40) };
    let number = store.accept_push(push.clone(), NOW).await.expect("accepted");
    let open = store.unsettled_pushes().await.expect("read");
    assert_eq!(open, [crate::store::Push { number, push, accepted_unix_ms: NOW }]);
    store.settle_push(number, true, event(EventCode::PushMoved)).await.expect("settled");
    assert!(store.unsettled_pushes().await.expect("read").is_empty());
    let again = store.settle_push(number, false, event(EventCode::PushLost)).await;
    assert!(matches!(again, Err(StoreError::NoSuchPush(_))));
}
