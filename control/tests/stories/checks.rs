//! `checks` and `checks:run`.

use api::checks::{Checks, Run};
use model::author::CheckKind;
use model::engine::{CheckObserved, CheckState};

use super::support::{Site, lock, until};

fn readiness(state: CheckState, failures: u32) -> CheckObserved {
    CheckObserved {
        check: "GET /healthz".to_owned(),
        kind: Some(CheckKind::Readiness),
        rule: "every 5 s".to_owned(),
        warn: false,
        state,
        since_unix_ms: 1_000,
        answer: Some("503".to_owned()),
        took_ms: Some(4),
        failures,
    }
}

#[test]
fn checks_are_shown_as_the_engine_sees_them_and_tried_now() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(&[("web", "serve"), ("worker", "work")]).await;
        lock(&server.machine.state).checks = vec![readiness(CheckState::Passing, 2)];
        server.engine.stir();
        let app = || "hello".to_owned();
        let reply = until("the check is seen", async || {
            let reply = server.ask(Checks { app: app() }).await.expect("checks");
            reply.instances.iter().any(|instance| !instance.checks.is_empty()).then_some(reply)
        })
        .await;
        let web = &reply.instances[0];
        assert_eq!((web.name.as_str(), web.release.as_str(), web.state.as_str()), ("web.1", "v1", "up"));
        let check = &web.checks[0];
        assert_eq!((check.kind.as_str(), check.state.as_str(), check.failures, check.took_ms), ("readiness", "passing", 2, Some(4)));
        let tries = server.ask(Run { app: app() }).await.expect("tries").tries;
        assert_eq!((tries[0].instance.as_str(), tries[0].passed, tries[0].answer.as_str()), ("web.1", Some(false), "503"));
    });
}
