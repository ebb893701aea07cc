//! Pushing as git's session does.

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use api::Failure;
use control::deploy::{DeployRequest, Deployed};
use control::seams::Lines;
use tokio::sync::{mpsc, watch};

use super::instances::Boot;
use super::{COMMIT_A, COMMIT_B, Server, until};

/// What the author of a push sees, and what comes of it.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub lines: Vec<String>,
    pub result: Result<Option<Deployed>, Failure>,
}

/// A push under way.
pub(crate) struct Push {
    pub cancel: watch::Sender<bool>,
    pub task: tokio::task::JoinHandle<Pushed>,
}

/// The end of a pipe that a tree would come through.
pub(crate) fn source() -> OwnedFd {
    std::io::pipe().expect("a pipe").0.into()
}

impl Server {
    /// An app `hello` whose commits A and B have this Procfile; A serves as v1.
    pub(crate) async fn live(&self, procfile: &[(&'static str, &'static str)]) {
        self.builders.commit(COMMIT_A, procfile);
        self.builders.commit(COMMIT_B, procfile);
        self.create("hello").await;
        self.deploy("hello", COMMIT_A).await;
    }

    /// As `live`, with a bot that is scaled to 0, for an app that is there.
    pub(crate) async fn live_again(&self) {
        for commit in [COMMIT_A, COMMIT_B] {
            self.builders.commit(commit, &[("web", "serve"), ("bot", "bot.py")]);
        }
        self.deploy("hello", COMMIT_A).await;
    }

    /// The same with a web and a bot, both of which run.
    pub(crate) async fn live_with_bot(&self) {
        self.live(&[("web", "serve"), ("bot", "bot.py")]).await;
        self.scale("hello", &["bot=1"]).await;
        self.alive(&["bot.1-v1 up", "web.1-v1 up"]).await;
    }

    /// A push of commit B to `hello` whose web hangs beside the one of v1.
    pub(crate) async fn hung_switch(&self) -> Push {
        self.builders.boot(COMMIT_B, "web", Boot::Hang);
        let push = self.begin_push("hello", COMMIT_B);
        until("v2 hangs", async || self.machine.alive().contains(&"web.1-v2 starting".to_owned()).then_some(())).await;
        push
    }

    /// Pushes as git's session does, and waits for the end.
    pub(crate) async fn push(&self, name: &str, commit: &str) -> Pushed {
        self.begin_push(name, commit).task.await.expect("the push")
    }

    /// A push that must go live.
    pub(crate) async fn deploy(&self, name: &str, commit: &str) -> Pushed {
        let pushed = self.push(name, commit).await;
        assert!(matches!(pushed.result, Ok(Some(_))), "{pushed:?}");
        pushed
    }

    pub(crate) fn begin_push(&self, name: &str, commit: &str) -> Push {
        self.begin_push_with(name, commit, Arc::default(), false)
    }

    pub(crate) fn begin_push_with(&self, name: &str, commit: &str, reason: Arc<OnceLock<Failure>>, dry_run: bool) -> Push {
        let (stop, cancel) = watch::channel(false);
        let (control, app, commit) = (self.control.clone(), self.app(name), commit.to_owned());
        let task = tokio::spawn(async move {
            let (sender, mut receiver) = mpsc::channel(1_000);
            let lines = Lines(sender);
            let result = match control.turn(&app, &lines, &cancel).await {
                Err(failure) => Err(failure),
                Ok(turn) => {
                    let lines = lines.clone();
                    let request = DeployRequest {
                        actor: "anna".to_owned(),
                        commit,
                        rebuild: false,
                        dry_run,
                        accept_5xx: false,
                        lines,
                        cancel,
                        reason,
                        turn,
                    };
                    control.deploy(&app, request, source()).await
                }
            };
            if let Err(failure) = &result {
                lines.failure(failure);
            }
            drop(lines);
            let mut all = Vec::new();
            while let Some(line) = receiver.recv().await {
                all.push(line);
            }
            Pushed { lines: all, result }
        });
        Push { cancel: stop, task }
    }
}
