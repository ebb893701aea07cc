//! Where requests go, and how instances are let go.

use std::time::Duration;

use api::ps::Restart;
use model::engine::InstancePhase;
use model::{AppNumber, Hostname, ProcessType};

use super::support::instances::Boot;
use super::support::{COMMIT_A, COMMIT_B, Server, Site, lock, until, version};

const WEB: &[(&str, &str)] = &[("web", "serve")];

async fn deployed(server: &Server) {
    server.live(WEB).await;
    server.routed("hello", "web.1-v1").await;
}

#[test]
fn routes_carry_the_name_and_the_lasting_port() {
    let site = Site::new();
    site.while_up(async |server| {
        deployed(&server).await;
        let routes = server.door.routes("hello").expect("routes");
        assert_eq!(routes.hosts.iter().map(Hostname::as_str).collect::<Vec<_>>(), ["hello.box.example"]);
        assert_eq!(routes.port, 8_101);
    });
}

#[test]
fn requests_are_held_while_the_only_instance_restarts() {
    let site = Site::new();
    site.while_up(async |server| {
        deployed(&server).await;
        site.builders.boot(COMMIT_A, "web", Boot::Hang);
        server.ask(Restart { app: "hello".to_owned(), what: None }).await.expect("restarted");
        server.alive(&["web.1-v1 starting"]).await;
        server.routed("hello", "hold 10000 ms").await;
        site.builders.boot(COMMIT_A, "web", Boot::Ready);
        server.engine.stir();
        server.routed("hello", "web.1-v1").await;
        assert_eq!(server.door.told(), ["hello: stopped", "hello: web.1-v1", "hello: hold 10000 ms", "hello: web.1-v1"]);
    });
}

#[test]
fn traffic_goes_straight_from_the_old_release_to_the_new_one() {
    let site = Site::new();
    site.while_up(async |server| {
        deployed(&server).await;
        server.deploy("hello", COMMIT_B).await;
        server.alive(&["web.1-v2 up"]).await;
        assert_eq!(server.door.told(), ["hello: stopped", "hello: web.1-v1", "hello: web.1-v2"]);
    });
}

#[test]
fn an_old_instance_goes_when_the_router_is_done_with_it() {
    let site = Site::new();
    site.while_up(async |server| {
        deployed(&server).await;
        server.door.busy.send_replace(true);
        server.deploy("hello", COMMIT_B).await;
        server.alive(&["web.1-v1 stopping", "web.1-v2 up"]).await;
        server.settle().await;
        assert_eq!(server.machine.alive(), ["web.1-v1 stopping", "web.1-v2 up"], "a request is still in flight");
        server.door.busy.send_replace(false);
        server.alive(&["web.1-v2 up"]).await;
    });
}

#[test]
fn an_old_instance_goes_after_ten_seconds_whatever_the_router_says() {
    let site = Site::new();
    site.while_up(async |server| {
        deployed(&server).await;
        server.door.busy.send_replace(true);
        server.deploy("hello", COMMIT_B).await;
        server.alive(&["web.1-v1 stopping", "web.1-v2 up"]).await;
        let began = tokio::time::Instant::now();
        server.while_time_passes(Duration::from_secs(11), server.alive(&["web.1-v2 up"])).await;
        assert!(began.elapsed() >= Duration::from_secs(10), "it had {:?}", began.elapsed());
    });
}

#[test]
fn a_crash_loop_is_told_to_visitors_and_kept_as_an_event() {
    let site = Site::new();
    site.while_up(async |server| {
        deployed(&server).await;
        site.builders.boot(COMMIT_A, "web", Boot::Crash(vec!["boom".to_owned()]));
        server.ask(Restart { app: "hello".to_owned(), what: None }).await.expect("restarted");
        server.routed("hello", "crashed").await;
        assert_eq!(server.events("hello").await.last().map(String::as_str), Some("instance.crashed"));
        let status = server.ask(api::status::Status {}).await.expect("status");
        assert!(
            status.apps[0].trouble.as_ref().is_some_and(|t| t.ends_with("web.1 ended: exited 1 after 0.1 s → ps:why web.1")),
            "{:?}",
            status.apps
        );
    });
}

#[test]
fn a_silent_instance_is_still_routed_if_it_is_the_last_one() {
    let site = Site::new();
    site.while_up(async |server| {
        deployed(&server).await;
        server.scale("hello", &["web=2"]).await;
        server.routed("hello", "web.1-v1 web.2-v1").await;
        let silence = |ordinal: u32| {
            let mut state = lock(&server.machine.state);
            let key = (AppNumber(1), version(1), ProcessType::web(), ordinal);
            state.instances.get_mut(&key).expect("known").phase = InstancePhase::Unready;
            drop(state);
            server.engine.stir();
        };
        silence(1);
        server.routed("hello", "web.2-v1").await;
        silence(2);
        server.routed("hello", "web.1-v1 web.2-v1").await;
    });
}

#[test]
fn routes_do_not_wait_for_the_disk() {
    let site = Site::on_disk();
    site.while_up(async |server| {
        deployed(&server).await;
        site.builders.boot(COMMIT_A, "web", Boot::Crash(vec![]));
        let disk = site.hold_disk();
        server.app("hello").restart(None).await.expect("restarted");
        server.routed("hello", "crashed").await;
        assert!(!server.events("hello").await.contains(&"instance.crashed".to_owned()));
        drop(disk);
        until("it is kept", async || server.events("hello").await.contains(&"instance.crashed".to_owned()).then_some(())).await;
    });
}
