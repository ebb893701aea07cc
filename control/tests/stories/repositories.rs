//! Git in a repository, and whoever clears away there.

use std::time::Duration;

use api::apps::{Destroy, Rename};

use super::support::{Site, lock, until};

#[test]
fn leftovers_are_removed_by_the_last_of_several_pushes_alone() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("hello").await;
        let app = server.app("hello");
        let (first, second) =
            (server.control.push_arrived(&app).await.expect("one"), server.control.push_arrived(&app).await.expect("two"));
        server.control.push_ended(&app, first).await;
        assert!(lock(&site.repositories.cleaned).is_empty(), "the second runs");
        server.control.push_ended(&app, second).await;
        assert_eq!(*lock(&site.repositories.cleaned), [app.identity.number]);
    });
}

#[test]
fn a_push_starts_no_git_while_leftovers_are_removed() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("hello").await;
        let app = server.app("hello");
        let first = server.control.push_arrived(&app).await.expect("arrived");
        site.repositories.cleaning_held.send_replace(true);
        let (control, same) = (server.control.clone(), app.clone());
        let ending = tokio::spawn(async move { control.push_ended(&same, first).await });
        until("cleaning began", async || (!lock(&site.repositories.cleaned).is_empty()).then_some(())).await;
        let (control, same) = (server.control.clone(), app.clone());
        let second = tokio::spawn(async move { control.push_arrived(&same).await });
        server.settle().await;
        assert!(!second.is_finished());
        site.repositories.cleaning_held.send_replace(false);
        assert!(second.await.expect("the push").is_ok());
        ending.await.expect("cleaned");
    });
}

#[test]
fn a_push_that_came_before_a_rename_keeps_the_repository_from_being_cleared() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("hello").await;
        let old = server.app("hello");
        let before = server.control.push_arrived(&old).await.expect("arrived");
        server.ask(Rename { app: "hello".to_owned(), to: "greeter".to_owned() }).await.expect("renamed");
        let new = server.app("greeter");
        let after = server.control.push_arrived(&new).await.expect("arrived");
        server.control.push_ended(&new, after).await;
        assert!(lock(&site.repositories.cleaned).is_empty(), "git of the first push runs");
        assert_eq!(server.control.push_arrived(&old).await.expect_err("renamed").code, "app.gone");
        server.control.push_ended(&old, before).await;
        assert_eq!(lock(&site.repositories.cleaned).len(), 1);
    });
}

#[test]
fn a_destroyed_app_is_wiped_when_git_of_its_pushes_has_ended() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("hello").await;
        let app = server.app("hello");
        let (_client, gone) = tokio::sync::watch::channel(false);
        let mut open = server.control.open_session(&control::access::Actor::Operator, &app, gone).expect("open");
        let pushing = server.control.push_arrived(&app).await.expect("arrived");
        let destroy = async || server.ask(Destroy { app: "hello".to_owned(), confirm: "hello".to_owned() }).await;
        let git = async {
            open.cancel.wait_for(|ended| *ended).await.expect("told to end");
            server.settle().await;
            assert!(lock(&server.engine.removed).is_empty(), "git is in there");
            server.control.push_ended(&app, pushing).await;
        };
        let (destroyed, ()) = server.while_time_passes(Duration::from_secs(20), async { tokio::join!(destroy(), git) }).await;
        destroyed.expect("destroyed");
        assert_eq!(*lock(&server.engine.removed), [app.identity.number]);
        assert_eq!(server.control.push_arrived(&app).await.expect_err("destroyed").code, "app.gone");
    });
}
