//! One server: control on the site's store, asked as the doors ask it.

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::wire::FromServer;
use api::{Failure, Operation};
use control::access::Actor;
use control::app::AppHandle;
use control::deploy::{DeployRequest, Deployed};
use control::perform::Call;
use control::seams::Lines;
use control::services::Services;
use control::{Control, ControlSettings};
use tokio::sync::{mpsc, watch};

use super::builders::FakeBuilders;
use super::door::FakeDoor;
use super::engine::FakeEngine;
use super::instances::Machine;
use super::others::{FakeHost, FakeLogs, FakeRepositories};
use super::{FATAL, Site, app, until};

/// The clock of every story stands here.
pub(crate) const NOW_UNIX_MS: i64 = 1_790_000_000_000;

pub(crate) struct Server {
    pub control: Arc<Control>,
    pub engine: Arc<FakeEngine>,
    pub door: Arc<FakeDoor>,
    pub machine: Arc<Machine>,
    pub builders: Arc<FakeBuilders>,
    pub repositories: Arc<FakeRepositories>,
    pub logs: Arc<FakeLogs>,
    pub host: Arc<FakeHost>,
}

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
    pub(crate) async fn start(site: &Site) -> Self {
        let door = Arc::new(FakeDoor::new());
        let engine = FakeEngine::new(site.machine.clone(), door.clone());
        let services = Services {
            store: site.store.clone(),
            engine: engine.clone(),
            front_door: door.clone(),
            builders: site.builders.clone(),
            databases: site.databases.clone(),
            repositories: site.repositories.clone(),
            logs: site.logs.clone(),
            login_keys: site.keys.clone(),
            host: site.host.clone(),
            clock: || NOW_UNIX_MS,
            fatal: |_| FATAL.set(true),
        };
        let settings = ControlSettings {
            domain: "box.example".parse().expect("a domain"),
            http: ([0, 0, 0, 0], 80).into(),
            public_address: "10.0.0.2".to_owned(),
            login_user: "paas".to_owned(),
            app_ports: 8_101..=8_110,
            mode: "root",
            version: "0.1.0",
        };
        let control = Control::start(Arc::new(services), settings).await.expect("control starts");
        Self {
            control,
            engine,
            door,
            machine: site.machine.clone(),
            builders: site.builders.clone(),
            repositories: site.repositories.clone(),
            logs: site.logs.clone(),
            host: site.host.clone(),
        }
    }

    pub(crate) fn app(&self, name: &str) -> AppHandle {
        self.control.find(&app(name)).expect("the app")
    }

    /// Asks as the operator.
    pub(crate) async fn ask<O: Operation>(&self, operation: O) -> Result<O::Reply, Failure> {
        self.ask_as(Actor::Operator, operation).await
    }

    pub(crate) async fn ask_as<O: Operation>(&self, actor: Actor, operation: O) -> Result<O::Reply, Failure> {
        let body = serde_json::to_value(operation).expect("a body");
        match self.converse(actor, O::NAME, body).await.pop() {
            Some(FromServer::Reply(reply)) => Ok(serde_json::from_value(reply).expect("the reply")),
            Some(FromServer::Failure(failure)) => Err(failure),
            other => panic!("{} answered {other:?}", O::NAME),
        }
    }

    /// Every frame of a conversation; the last one is the answer.
    pub(crate) async fn converse(&self, actor: Actor, operation: &str, body: serde_json::Value) -> Vec<FromServer> {
        let (_keep, cancel) = watch::channel(false);
        let (out, mut frames) = mpsc::channel(256);
        let (_signals, signals) = mpsc::channel(1);
        let call = Call { actor, operation: operation.to_owned(), body, stdio: None, out, cancel, signals };
        let answer = self.control.perform(call);
        tokio::pin!(answer);
        let mut all = Vec::new();
        let last = loop {
            tokio::select! {
                biased;
                Some(frame) = frames.recv() => all.push(frame),
                last = &mut answer => break last,
            }
        };
        while let Ok(frame) = frames.try_recv() {
            all.push(frame);
        }
        all.push(last);
        all
    }

    pub(crate) async fn create(&self, name: &str) {
        self.ask(api::apps::Create { name: Some(name.to_owned()), no_database: false }).await.expect("created");
    }

    pub(crate) async fn scale(&self, name: &str, words: &[&str]) {
        let changes = words.iter().map(|w| (*w).to_owned()).collect();
        self.ask(api::ps::Scale { app: name.to_owned(), changes }).await.expect("scaled");
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

    /// Waits until exactly these are alive: `web.1-v1 up`.
    pub(crate) async fn alive(&self, wanted: &[&str]) {
        let machine = &self.machine;
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while machine.alive() != wanted {
            assert!(std::time::Instant::now() < deadline, "alive are {:?}, not {wanted:?}", machine.alive());
            tokio::task::yield_now().await;
        }
    }

    /// Lets every task take the steps that it can take now, also those that wait for the store.
    pub(crate) async fn settle(&self) {
        for _ in 0..5 {
            self.control.services.store.apps().await.expect("apps");
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits for `work` while time passes in steps, up to `most`.
    pub(crate) async fn while_time_passes<T>(&self, most: Duration, work: impl Future<Output = T>) -> T {
        let passing = async {
            let mut passed = Duration::ZERO;
            while passed < most {
                self.settle().await;
                tokio::time::advance(Duration::from_secs(1)).await;
                passed += Duration::from_secs(1);
            }
            self.settle().await;
        };
        tokio::select! {
            biased;
            result = work => result,
            () = passing => panic!("it did not end within {most:?}"),
        }
    }

    /// Waits until requests of an app go there.
    pub(crate) async fn routed(&self, name: &str, wanted: &str) {
        until(&format!("{name} is routed to {wanted}"), async || (self.door.pool(name).as_deref() == Some(wanted)).then_some(())).await;
    }

    /// The codes of an app's events, oldest first.
    pub(crate) async fn events(&self, name: &str) -> Vec<String> {
        let reply = self.ask(api::events::Events { app: Some(name.to_owned()), lines: 1_000 }).await.expect("events");
        reply.events.into_iter().map(|event| event.code).collect()
    }

    /// `v1 current`, newest first.
    pub(crate) async fn releases(&self, name: &str) -> Vec<String> {
        let reply = self.ask(api::releases::Releases { app: name.to_owned() }).await.expect("releases");
        reply.releases.into_iter().map(|r| format!("{} {}", r.version, r.state)).collect()
    }

    /// `1 succeeded`, newest first.
    pub(crate) async fn builds(&self, name: &str) -> Vec<String> {
        let reply = self.ask(api::builds::Builds { app: name.to_owned() }).await.expect("builds");
        reply.builds.into_iter().map(|b| format!("{} {}", b.number, b.state)).collect()
    }
}
