//! Who may do what.

use api::access::{Access, AccessAdd, AccessRemove};
use api::wire::FromServer;
use api::{Role, TABLE};
use control::access::Actor;
use serde_json::json;

use super::support::engine::OneOffEnd;
use super::support::{COMMIT_A, Site, app, lock, until};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl anna@laptop";

fn person(role: Role) -> Actor {
    match role {
        Role::Operator => Actor::Person { name: "anna".to_owned(), everywhere: Some(Role::Operator), roles: [].into() },
        role => Actor::Person { name: "anna".to_owned(), everywhere: None, roles: [(app("shop"), role)].into() },
    }
}

/// A body that the operation understands and that does no harm, about an app.
fn body(operation: &str, name: &str) -> serde_json::Value {
    let command = if operation == "pg:psql" { json!("SELECT 1") } else { json!(["true"]) };
    json!({
        "app": name, "name": "new-app", "to": "NO", "confirm": "no", "settings": {}, "lines": 1, "person": "bert", "role": "viewer",
        "public_key": "none", "command": command, "changes": ["web=1"], "instance": "web.1", "what": "web.1", "version": "v1", "number": 1,
        "reference": "x", "set": {}, "unset": [], "process_type": "web", "on": true, "boot_timeout": "60", "stop_timeout": "60",
        "paths": ["x"], "remove": false,
    })
}

fn code(answer: Option<FromServer>) -> String {
    match answer {
        Some(FromServer::Failure(failure)) => failure.code,
        _ => "done".to_owned(),
    }
}

#[test]
fn every_operation_asks_for_the_role_in_the_table_and_no_less() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("shop").await;
        // git has a conversation of its own.
        for row in TABLE.iter().filter(|row| row.name != "git") {
            for role in [Role::Viewer, Role::Deployer, Role::Owner, Role::Operator] {
                let answer = code(server.converse(person(role), row.name, body(row.name, "shop")).await.pop());
                assert_ne!(answer, "request.malformed", "{} as {}", row.name, role.word());
                let denied = answer == "access.denied";
                assert_eq!(denied, role < row.role, "{} as {}: {answer}", row.name, role.word());
            }
        }
    });
}

#[test]
fn an_app_that_a_person_may_not_see_is_no_such_app() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("shop").await;
        server.create("secret").await;
        for row in TABLE.iter().filter(|row| row.name != "git") {
            let hidden = server.converse(person(Role::Owner), row.name, body(row.name, "secret")).await.pop();
            let missing = server.converse(person(Role::Owner), row.name, body(row.name, "nothing")).await.pop();
            let told = |answer: Option<FromServer>| match answer {
                Some(FromServer::Failure(failure)) => format!("{failure:?}").replace("secret", "X").replace("nothing", "X"),
                _ => "done".to_owned(),
            };
            let (hidden, missing) = (told(hidden), told(missing));
            assert_eq!(hidden, missing, "{} tells the two apart", row.name);
            let about_the_box = row.role == Role::Operator || ["apps", "status"].contains(&row.name);
            assert!(about_the_box || hidden.contains("app.not_found"), "{}: {hidden}", row.name);
        }
        let seen = server.ask_as(person(Role::Viewer), api::apps::Apps {}).await.expect("apps").apps;
        assert_eq!(seen.iter().map(|app| app.name.as_str()).collect::<Vec<_>>(), ["shop"]);
    });
}

#[test]
fn a_name_that_no_app_can_have_is_no_such_app() {
    let site = Site::new();
    site.while_up(async |server| {
        for name in ["../etc", "\u{1b}[2J", "", "UPPER"] {
            let failure = server.ask(api::apps::Info { app: name.to_owned() }).await.expect_err("no app");
            assert_eq!(failure.code, "app.not_found");
            assert!(!failure.what.contains('\u{1b}'));
        }
    });
}

#[test]
fn a_key_gets_in_with_its_grant_and_goes_with_it() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("shop").await;
        let add =
            AccessAdd { person: "anna".to_owned(), public_key: KEY.to_owned(), role: "deployer".to_owned(), app: Some("shop".to_owned()) };
        let grant = server.ask(add.clone()).await.expect("added");
        assert_eq!(*lock(&site.keys.keys), std::slice::from_ref(&grant.fingerprint));
        let anna = server.control.actor_of(&grant.fingerprint).await.expect("known");
        assert_eq!(anna.role_on(&app("shop")), Some(Role::Deployer));
        assert_eq!(server.ask(Access { app: None }).await.expect("listed").grants, std::slice::from_ref(&grant));
        let no_app = AccessAdd { app: None, ..add.clone() };
        assert_eq!(server.ask(no_app).await.expect_err("needs an app").code, "access.no_app");
        let other = AccessAdd { person: "bert".to_owned(), ..add };
        assert_eq!(server.ask(other).await.expect_err("hers").code, "key.taken");
        server.ask(AccessRemove { person: "anna".to_owned(), app: None }).await.expect("removed");
        assert!(lock(&site.keys.keys).is_empty());
        assert_eq!(server.control.actor_of(&grant.fingerprint).await.expect_err("gone").code, "access.unknown_key");
    });
}

#[test]
fn taking_access_away_ends_what_that_person_has_open() {
    let site = Site::new();
    site.builders.commit(COMMIT_A, &[("web", "serve")]);
    site.while_up(async |server| {
        server.create("shop").await;
        server.deploy("shop", COMMIT_A).await;
        let add =
            AccessAdd { person: "anna".to_owned(), public_key: KEY.to_owned(), role: "deployer".to_owned(), app: Some("shop".to_owned()) };
        server.ask(add).await.expect("added");
        *lock(&server.engine.one_off_end) = OneOffEnd::UntilKilled;
        let hers = server.begin(person(Role::Deployer), "run", json!({"app": "shop", "command": ["top"]}));
        let others = server.begin(Actor::Operator, "run", json!({"app": "shop", "command": ["top"]}));
        until("both run", async || (lock(&server.engine.one_offs).len() == 2).then_some(())).await;
        server.ask(AccessRemove { person: "anna".to_owned(), app: None }).await.expect("removed");
        assert!(matches!(hers.answer.await, Ok(FromServer::Exit(137))));
        server.settle().await;
        assert!(!others.answer.is_finished());
    });
}

#[test]
fn keys_go_with_the_app_that_they_were_for() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("shop").await;
        let add =
            AccessAdd { person: "anna".to_owned(), public_key: KEY.to_owned(), role: "viewer".to_owned(), app: Some("shop".to_owned()) };
        server.ask(add).await.expect("added");
        server.ask(api::apps::Destroy { app: "shop".to_owned(), confirm: "shop".to_owned() }).await.expect("destroyed");
        assert!(lock(&site.keys.keys).is_empty());
    });
}

#[test]
fn an_unknown_operation_is_answered() {
    let site = Site::new();
    site.while_up(async |server| {
        assert_eq!(code(server.converse(Actor::Operator, "ps:explode", json!({})).await.pop()), "operation.unknown");
        assert_eq!(code(server.converse(Actor::Operator, "ps", json!({"app": 7})).await.pop()), "request.malformed");
    });
}

#[test]
fn log_lines_come_before_the_end_of_the_stream() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("shop").await;
        let body = json!({"app": "shop", "lines": 3});
        let frames = server.converse(Actor::Operator, "logs", body).await;
        assert_eq!(frames.iter().filter(|frame| matches!(frame, FromServer::Item(_))).count(), 3);
        assert!(matches!(frames.last(), Some(FromServer::Reply(_))));
    });
}
