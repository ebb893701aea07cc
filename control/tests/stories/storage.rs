//! `storage` and `storage:keep`: what of an app lasts.

use api::storage::{Keep, KeepReply, Storage};
use api::{Failure, Role};
use control::access::Actor;

use super::support::{COMMIT_B, Server, Site, app, lock, until};

const WEB: &[(&str, &str)] = &[("web", "serve")];

async fn keep(server: &Server, paths: &[&str], remove: bool) -> Result<KeepReply, Failure> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    server.ask(Keep { app: "hello".to_owned(), paths, remove }).await
}

/// What the engine is told of every release in play.
fn told(server: &Server) -> Vec<String> {
    let state = lock(&server.machine.state);
    let target = state.apps[&server.app("hello").identity.number].target.as_ref().expect("a target");
    let kept = target.releases.values().map(|release| release.kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    kept.collect()
}

#[test]
fn what_is_kept_is_kept_by_every_release_and_what_runs_is_restarted() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        let reply = keep(&server, &["uploads/", "app.db", "app.db"], false).await.expect("kept");
        assert_eq!((reply.kept, reply.restarted), (vec!["app.db".to_owned(), "uploads/".to_owned()], vec!["web.1".to_owned()]));
        until("the engine knows", async || (told(&server) == ["app.db uploads/"]).then_some(())).await;
        until("it was restarted", async || (server.machine.started() == ["web.1-v1", "web.1-v1"]).then_some(())).await;
        assert!(server.push("hello", COMMIT_B).await.result.is_ok());
        assert!(told(&server).iter().all(|kept| kept == "app.db uploads/"));
    });
    site.while_up(async |server| {
        until("the next server knows", async || (told(&server) == ["app.db uploads/"]).then_some(())).await;
        let storage = server.ask(Storage { app: "hello".to_owned() }).await.expect("storage");
        assert_eq!((storage.bytes, storage.files, storage.data_dir.as_str()), (20, 2, "/data"));
        let rows: Vec<_> = storage.kept.iter().map(|row| (row.path.as_str(), row.place.as_str(), row.bytes)).collect();
        assert_eq!(rows, [("app.db", "/data/kept/app.db", Some(10)), ("uploads/", "/data/kept/uploads", None)]);
        let reply = keep(&server, &["uploads"], true).await.expect("with or without its slash");
        assert_eq!(reply.kept, ["app.db"]);
    });
}

#[test]
fn before_the_first_release_there_is_nothing_to_restart() {
    let site = Site::new();
    site.while_up(async |server| {
        server.create("hello").await;
        assert_eq!(keep(&server, &["app.db"], false).await.expect("kept").restarted, [""; 0]);
    });
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(WEB).await;
        keep(&server, &["data/uploads"], false).await.expect("kept");
        let many: Vec<String> = (0..=model::limits::KEPT_PATHS_MAX).map(|number| format!("f{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (paths, remove, code) in [
            (&["/app/x"][..], false, "invalid.path_to_keep"),
            (&["../x"], false, "invalid.path_to_keep"),
            (&["data"], false, "storage.inside"),
            (&["other"], true, "storage.not_kept"),
            (&many, false, "storage.too_many"),
            (&[], false, "storage.no_path"),
        ] {
            assert_eq!(keep(&server, paths, remove).await.expect_err(code).code, code);
        }
        let viewer = Actor::Person { name: "anna".to_owned(), everywhere: None, roles: [(app("hello"), Role::Viewer)].into() };
        let refused = server.ask_as(viewer, Keep { app: "hello".to_owned(), paths: vec!["x".to_owned()], remove: false }).await;
        assert!(refused.is_err());
        assert_eq!(server.ask(Storage { app: "hello".to_owned() }).await.expect("storage").kept.len(), 1);
    });
}
