//! Which slugs stay.

use super::support::builders::slug_of;
use super::support::instances::Boot;
use super::support::server::CLOCK_UNIX_MS;
use super::support::{COMMIT_A, COMMIT_B, COMMIT_C, Server, Site, lock, until};

const WEB: &[(&str, &str)] = &[("web", "serve")];

fn two_hours_pass() {
    CLOCK_UNIX_MS.set(CLOCK_UNIX_MS.get() + 2 * 60 * 60 * 1_000);
}

/// An app whose release of commit A is too old to be kept.
async fn with_old_slug(site: &Site, server: &Server) {
    for commit in [COMMIT_A, COMMIT_B, COMMIT_C] {
        site.builders.commit(commit, WEB);
    }
    server.create("hello").await;
    for commit in [COMMIT_A].into_iter().chain([COMMIT_B; 10]) {
        server.deploy("hello", commit).await;
    }
    two_hours_pass();
}

#[test]
fn only_slugs_of_kept_releases_stay() {
    let site = Site::new();
    site.while_up(async |server| {
        with_old_slug(&site, &server).await;
        assert_eq!(*lock(&server.builders.removed), [], "all of them are young");
        server.deploy("hello", COMMIT_B).await;
        assert_eq!(*lock(&server.builders.removed), [slug_of(COMMIT_A)]);
        two_hours_pass();
        server.deploy("hello", COMMIT_C).await;
        assert_eq!(lock(&server.builders.removed).len(), 1, "releases of B are kept");
    });
}

#[test]
fn no_slug_goes_while_a_build_may_store_it_again() {
    let site = Site::new();
    site.while_up(async |server| {
        with_old_slug(&site, &server).await;
        server.create("other").await;
        site.builders.boot(COMMIT_C, "web", Boot::Hang);
        let first = server.begin_push("hello", COMMIT_C);
        server.alive(&["web.1-v11 up", "web.1-v12 starting"]).await;
        server.builders.held.send_replace(true);
        let second = server.begin_push("other", COMMIT_A);
        until("the build runs", async || (lock(&server.builders.asked).len() == 13).then_some(())).await;
        site.builders.boot(COMMIT_C, "web", Boot::Ready);
        server.engine.stir();
        assert!(first.task.await.expect("first").result.is_ok());
        assert_eq!(*lock(&server.builders.removed), []);
        server.builders.held.send_replace(false);
        assert!(second.task.await.expect("second").result.is_ok());
        assert_eq!(*lock(&server.builders.removed), [], "it is a release of the other app now");
    });
}
