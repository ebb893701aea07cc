//! A server that is killed at each step of a deploy: the next one has the old release or
//! the new one live, whole, and goes on from there.

use super::support::engine::OneOffEnd;
use super::support::instances::Boot;
use super::support::{COMMIT_A, COMMIT_B, Server, Site, lock, until};

const PROCFILE: &[(&str, &str)] = &[("web", "serve"), ("bot", "bot.py"), ("release", "migrate")];
const SCRIPTS: &str = r#"{"scripts": {"dokku": {"predeploy": "bin/assets", "postdeploy": "bin/tell"}}}"#;

/// Where the deploy of v2 stands when the server dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Build,
    ReleasePhase,
    Predeploy,
    WebStarts,
    BotHandedOver,
    WebHandedOver,
    OldDrains,
    Postdeploy,
}

const STEPS: [Step; 8] = [
    Step::Build,
    Step::ReleasePhase,
    Step::Predeploy,
    Step::WebStarts,
    Step::BotHandedOver,
    Step::WebHandedOver,
    Step::OldDrains,
    Step::Postdeploy,
];

impl Step {
    fn is_after_the_flip(self) -> bool {
        matches!(self, Self::OldDrains | Self::Postdeploy)
    }

    /// Makes the deploy stand still at this step.
    async fn hold(self, server: &Server) {
        let one_off = |name| lock(&server.engine.one_off_ends).insert(name, OneOffEnd::UntilKilled);
        match self {
            Self::Build => drop(server.builders.held.send_replace(true)),
            Self::ReleasePhase => drop(one_off("release.1")),
            Self::Predeploy => drop(one_off("predeploy.1")),
            Self::WebStarts => server.builders.boot(COMMIT_B, "web", Boot::Hang),
            Self::BotHandedOver => server.builders.boot(COMMIT_B, "bot", Boot::Hang),
            Self::WebHandedOver => {
                let off = api::ps::Overlap { app: "hello".to_owned(), process_type: "web".to_owned(), on: false };
                server.ask(off).await.expect("set");
                server.builders.boot(COMMIT_B, "web", Boot::Hang);
            }
            Self::OldDrains => drop(server.door.busy.send_replace(true)),
            Self::Postdeploy => drop(one_off("postdeploy.1")),
        }
    }

    async fn reached(self, server: &Server) {
        let alive = |wanted: &str| server.machine.alive().iter().any(|name| name == wanted);
        let ran = |start: &str| lock(&server.engine.one_offs).iter().any(|line| line.starts_with(start));
        until(&format!("{self:?} is reached"), async || {
            let there = match self {
                Self::Build => lock(&server.builders.asked).len() == 2,
                Self::ReleasePhase => ran("release.1 v2"),
                Self::Predeploy => ran("predeploy.1 v2"),
                Self::WebStarts => alive("web.1-v2 starting") && alive("web.1-v1 up"),
                Self::BotHandedOver => alive("bot.1-v2 starting"),
                Self::WebHandedOver => alive("web.1-v2 starting") && !alive("web.1-v1 up"),
                Self::OldDrains => server.releases("hello").await[0] == "v2 current",
                Self::Postdeploy => ran("postdeploy.1 v2"),
            };
            there.then_some(())
        })
        .await;
    }
}

#[test]
fn a_server_killed_at_any_step_of_a_deploy_leaves_the_old_release_or_the_new_one_whole() {
    for step in STEPS {
        let site = Site::new();
        for commit in [COMMIT_A, COMMIT_B] {
            site.builders.app_json(commit, SCRIPTS);
        }
        site.while_up(async |server| {
            server.live(PROCFILE).await;
            server.scale("hello", &["bot=1"]).await;
            server.alive(&["bot.1-v1 up", "web.1-v1 up"]).await;
            step.hold(&server).await;
            drop(server.begin_push("hello", COMMIT_B));
            step.reached(&server).await;
        });
        site.builders.held.send_replace(false);
        let (serves, next) = match step {
            Step::Build => ("v1", "v2"),
            _ if step.is_after_the_flip() => ("v2", "v3"),
            _ => ("v1", "v3"),
        };
        site.while_up(async |server| {
            let whole = |version: &str| ["bot.1", "web.1"].map(|name| format!("{name}-{version} up"));
            let alive: Vec<String> = whole(serves).into();
            until(&format!("{serves} alone is whole after {step:?}"), async || (server.machine.alive() == alive).then_some(())).await;
            server.routed("hello", &format!("web.1-{serves}")).await;
            assert!(server.releases("hello").await.contains(&format!("{serves} current")), "{step:?}");
            assert!(!server.releases("hello").await.iter().any(|row| row.ends_with("candidate")), "{step:?}");
            assert!(server.builds("hello").await.iter().all(|row| !row.ends_with("running")), "{step:?}");
            for process_type in ["web", "bot"] {
                server.builders.boot(COMMIT_B, process_type, Boot::Ready);
            }
            server.deploy("hello", COMMIT_B).await;
            let alive: Vec<String> = whole(next).into();
            until(&format!("{next} is whole after {step:?}"), async || (server.machine.alive() == alive).then_some(())).await;
        });
    }
}

#[test]
fn a_server_killed_while_a_release_is_undone_undoes_it_again_or_has_done_so() {
    let site = Site::new();
    site.while_up(async |server| {
        server.live(&[("web", "serve")]).await;
        server.deploy("hello", COMMIT_B).await;
        site.builders.boot(COMMIT_A, "web", Boot::Hang);
        server.crash_again_and_again(2);
        until("v3 starts", async || server.machine.alive().contains(&"web.1-v3 starting".to_owned()).then_some(())).await;
    });
    site.builders.boot(COMMIT_A, "web", Boot::Ready);
    site.while_up(async |server| {
        // What the dead one had begun has failed; v2 still crashes within its first minute.
        server.routed("hello", "web.1-v4").await;
        assert_eq!(server.releases("hello").await, ["v4 current", "v3 failed", "v2 failed", "v1 superseded"]);
    });
}
