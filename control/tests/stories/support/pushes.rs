//! Pushing as git's session does.

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use api::Failure;
use control::deploy::{DeployRequest, Deployed};
use control::seams::Lines;
use tokio::sync::{mpsc, watch};

use super::Server;

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
