//! What the flight recorder keeps, and what the port doctor says.

use std::time::Duration;

use model::StopReason;
use model::engine::InstancePhase;

use super::world::{App, Behaviour, WELL, World, pass, target};
use crate::limits::PORT_DOCTOR_AFTER;
use crate::listener::{Address, Listening};

const DEAF: Behaviour = Behaviour { boots_after: Duration::from_secs(9_999), ..WELL };

fn at(address: &str) -> Vec<Listening> {
    vec![Listening { at: Address::Tcp(address.parse().expect("address")), uid: None, inode: 1 }]
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_looked_at_before_it_is_stopped_and_its_probes_are_kept() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    app.release_what_drains(Duration::from_millis(50));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    world.hang("hello web.1 v1");
    app.wait("web.1 v1", InstancePhase::Starting).await;
    let end = world.ends().pop().expect("an end was kept");
    assert!(matches!(end.reason, StopReason::Silent { .. }));
    assert_eq!((end.flight.processes, end.flight.open_files), (1, Some(7)));
    assert!(end.flight.looked_unix_ms.is_some_and(|at| at <= end.at_unix_ms));
    let probes: Vec<_> = end.flight.probes.iter().map(|probe| (probe.text.as_str(), probe.took_ms)).collect();
    assert_eq!(probes, [("GET / -> no byte within 5 s", 5_000); 5]);
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_is_not_kept_and_what_crashed_is() {
    let world = World::new(|_, _| WELL);
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    app.release_what_drains(Duration::from_millis(50));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    app.restart(&["web.1"]);
    app.wait("web.1 v1", InstancePhase::Starting).await;
    app.wait("web.1 v1", InstancePhase::Ready).await;
    assert_eq!(world.ends(), []);
    world.run("hello web.1 v1").finish(model::ExitStatus::Code(3), false);
    app.wait("web.1 v1", InstancePhase::Starting).await;
    pass(1.0).await;
    assert_eq!(world.ends().len(), 1);
    assert_eq!(world.ends()[0].flight.probes.len(), 3, "what was asked while it started");
}

#[tokio::test(start_paused = true)]
async fn the_doctor_names_the_address_after_five_seconds_and_again_with_the_end() {
    let world = World::new(|_, _| DEAF);
    world.listen("web.1", at("127.0.0.1:5000"));
    let mut app = App::start(&world, target(&["v1 Handover web=1"]));
    app.wait("web.1 v1", InstancePhase::Starting).await;
    pass(PORT_DOCTOR_AFTER.as_secs_f64() - 0.5).await;
    assert_eq!(app.seen("web.1 v1").and_then(|seen| seen.hint), None);
    pass(1.0).await;
    let hint = app.seen("web.1 v1").and_then(|seen| seen.hint).expect("a hint");
    assert_eq!(hint.found, "listens on 127.0.0.1:5000, not on $PORT=20000");
    assert_eq!(world.record("hello web.1 v1").hint.map(|(found, _)| found), Some(hint.found.clone()));
    let failed = app.wait("web.1 v1", InstancePhase::Failed).await;
    assert_eq!(failed.last_end.and_then(|end| end.flight.hint), Some(hint));
}

#[tokio::test(start_paused = true)]
async fn one_that_binds_its_port_late_or_something_else_later_is_still_found() {
    let world = World::new(|_, _| DEAF);
    let mut app = App::start(&world, target(&["v1 Handover web=1"]));
    app.wait("web.1 v1", InstancePhase::Starting).await;
    pass(12.0).await;
    world.listen("web.1", at("[::]:3000"));
    pass(4.0).await;
    assert!(app.seen("web.1 v1").and_then(|seen| seen.hint).is_some_and(|hint| hint.found.starts_with("listens on [::]:3000")));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_died_of_a_taken_address_names_its_holder() {
    let dies = Behaviour { ends: Some((Duration::from_millis(200), 1)), ..DEAF };
    let world = World::new(move |run, _| if run.version.0 == 2 { dies } else { WELL });
    let mut app = App::start(&world, target(&["v1 Serve web=1"]));
    app.wait("web.1 v1", InstancePhase::Ready).await;
    world.say_last("web.1", "Error: listen EADDRINUSE: address already in use :::5000");
    app.set(&["v1 Serve web=1", "v2 Prepare web=1"]);
    let failed = app.wait("web.1 v2", InstancePhase::Failed).await;
    let hint = failed.last_end.and_then(|end| end.flight.hint).expect("a hint");
    assert_eq!(hint.found, "ended because its address is taken: 5000 is held by hello web.1 (v1)");
}
