//! One server: control on the site's store, asked as the doors ask it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use control::app::AppHandle;
use control::services::Services;
use control::{Control, ControlSettings};
use model::engine::InstancePhase;
use model::{ExitStatus, StopReason};

use super::builders::FakeBuilders;
use super::door::FakeDoor;
use super::engine::FakeEngine;
use super::instances::Machine;
use super::others::{FakeHost, FakeLogs, FakeRepositories};
use super::{FATAL, Site, app, lock, until};

/// Where the clock of a story stands that does not move it.
pub(crate) const NOW_UNIX_MS: i64 = 1_790_000_000_000;

thread_local! {
    /// The clock of this story.
    pub(crate) static CLOCK_UNIX_MS: Cell<i64> = const { Cell::new(NOW_UNIX_MS) };
}

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

impl Server {
    pub(crate) async fn start(site: &Site) -> Self {
        let door = Arc::new(FakeDoor::new());
        let engine = FakeEngine::new(site.machine.clone(), door.clone(), site.host.stops.clone());
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
            memory: control::memory::Ledger::default(),
            clock: || CLOCK_UNIX_MS.get(),
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

    pub(crate) async fn create(&self, name: &str) {
        self.ask(api::apps::Create { name: Some(name.to_owned()), no_database: false }).await.expect("created");
    }

    pub(crate) async fn scale(&self, name: &str, words: &[&str]) {
        let changes = words.iter().map(|w| (*w).to_owned()).collect();
        self.ask(api::ps::Scale { app: name.to_owned(), changes }).await.expect("scaled");
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

    /// An instance of this release has crashed for the fourth time.
    pub(crate) fn crash_again_and_again(&self, release: u32) {
        let mut state = lock(&self.machine.state);
        let key = state.instances.keys().find(|key| key.1.0 == release).cloned().expect("an instance");
        state.instances.get_mut(&key).expect("it").restarts = 3;
        state.gone(&key, StopReason::Exited, ExitStatus::Code(1), vec![], InstancePhase::Backoff);
        state.publish(key.0);
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
