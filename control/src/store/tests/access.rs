//! People, keys, roles.

use api::Role;

use super::*;
use crate::store::{NewAccess, PublicKey, StoreError};

fn key(text: &str) -> PublicKey {
    PublicKey { fingerprint: format!("SHA256:{text}"), key_type: "ssh-ed25519".to_owned(), blob: text.into() }
}

fn access(person: &str, fingerprint: Option<&str>, role: Role, app: Option<AppNumber>) -> NewAccess {
    NewAccess { person: person.to_owned(), key: fingerprint.map(key), role, app }
}

async fn add(store: &Store, access: NewAccess) -> Result<(), StoreError> {
    store.add_access(access, event(EventCode::AccessAdded)).await
}

#[tokio::test]
async fn a_key_leads_to_its_person_and_every_role() {
    let store = Store::in_memory().expect("store");
    let (shop, blog) = (create(&store, "shop").await.number, create(&store, "blog").await.number);
    add(&store, access("anna", Some("a"), Role::Viewer, Some(shop))).await.expect("added");
    add(&store, access("anna", None, Role::Owner, Some(blog))).await.expect("added");
    add(&store, access("anna", Some("a2"), Role::Deployer, Some(shop))).await.expect("a role is replaced");
    add(&store, access("olga", Some("o"), Role::Operator, None)).await.expect("added");

    let anna = store.find_access_by_fingerprint("SHA256:a2").await.expect("read").expect("anna");
    assert_eq!(
        (anna.person.as_str(), anna.grants),
        ("anna", vec![(Some(name("blog")), Role::Owner), (Some(name("shop")), Role::Deployer)])
    );
    let olga = store.find_access_by_fingerprint("SHA256:o").await.expect("read").expect("olga");
    assert_eq!(olga.grants, [(None, Role::Operator)]);
    assert_eq!(store.find_access_by_fingerprint("SHA256:x").await.expect("read"), None);
    assert_eq!(store.list_keys().await.expect("read").len(), 3);
    let rows = store.list_access(Some(blog)).await.expect("read");
    assert_eq!(
        rows.iter().map(|row| (row.person.as_str(), row.fingerprint.as_deref())).collect::<Vec<_>>(),
        [("anna", Some("SHA256:a")), ("anna", Some("SHA256:a2")), ("olga", Some("SHA256:o"))]
    );
    assert_eq!(store.list_access(None).await.expect("read").len(), 5);
}

#[tokio::test]
async fn a_key_belongs_to_one_person_and_a_refusal_leaves_nothing() {
    let store = Store::in_memory().expect("store");
    let shop = create(&store, "shop").await.number;
    add(&store, access("anna", Some("a"), Role::Viewer, Some(shop))).await.expect("added");
    let before = dump(&store).await;
    let taken = add(&store, access("mallory", Some("a"), Role::Owner, Some(shop))).await;
    assert!(matches!(taken, Err(StoreError::KeyTaken(owner)) if owner == "anna"));
    assert!(matches!(add(&store, access("mallory", None, Role::Operator, Some(shop))).await, Err(StoreError::Invalid(_))));
    assert!(matches!(add(&store, access("mallory", None, Role::Owner, None)).await, Err(StoreError::Invalid(_))));
    assert!(matches!(add(&store, access("", None, Role::Owner, Some(shop))).await, Err(StoreError::TooLarge { .. })));
    assert!(matches!(add(&store, access("x", None, Role::Owner, Some(AppNumber(9)))).await, Err(StoreError::NoSuchApp(_))));
    assert_eq!(dump(&store).await, before);
}

#[tokio::test]
async fn keys_go_with_the_last_role() {
    let store = Store::in_memory().expect("store");
    let (shop, blog) = (create(&store, "shop").await.number, create(&store, "blog").await.number);
    add(&store, access("anna", Some("a"), Role::Viewer, Some(shop))).await.expect("added");
    add(&store, access("anna", None, Role::Viewer, Some(blog))).await.expect("added");
    let remove = |app| store.remove_access("anna", app, event(EventCode::AccessRemoved));
    assert_eq!(remove(Some(shop)).await.expect("removed"), ["SHA256:a"]);
    assert_eq!(store.find_access_by_fingerprint("SHA256:a").await.expect("read").expect("anna").grants.len(), 1);
    assert!(matches!(remove(Some(shop)).await, Err(StoreError::NoSuchAccess(_))));
    remove(None).await.expect("removed");
    assert_eq!(store.find_access_by_fingerprint("SHA256:a").await.expect("read"), None);
    assert!(store.list_keys().await.expect("read").is_empty());

    add(&store, access("anna", Some("a"), Role::Viewer, Some(shop))).await.expect("added again");
    store.destroy_app(shop, event(EventCode::AppDestroyed)).await.expect("destroyed");
    assert!(store.list_keys().await.expect("read").is_empty(), "the app that she had a role at is gone");
}
