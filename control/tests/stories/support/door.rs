//! The router, as control sees it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use control::seams::{BoxFuture, FrontDoor};
use model::{AppName, AppRoutes, Pool, RunId, Traffic};
use tokio::sync::watch;

use super::lock;

pub(crate) struct FakeDoor {
    routes: Mutex<BTreeMap<AppName, AppRoutes>>,
    /// Every change of routes, in words.
    told: Mutex<Vec<String>>,
    /// While true, every instance has a request in flight.
    pub busy: watch::Sender<bool>,
    /// While true, the router has not applied what it was told.
    pub behind: watch::Sender<bool>,
    /// How the requests of runs have ended; none: the router does not tell.
    pub traffic: Mutex<Option<BTreeMap<RunId, Traffic>>>,
    /// How often it was asked.
    pub asked: AtomicUsize,
}

impl FakeDoor {
    pub(crate) fn new() -> Self {
        Self {
            routes: Mutex::default(),
            told: Mutex::default(),
            busy: watch::Sender::new(false),
            behind: watch::Sender::new(false),
            traffic: Mutex::new(Some(BTreeMap::new())),
            asked: AtomicUsize::new(0),
        }
    }

    pub(crate) fn pool(&self, app: &str) -> Option<String> {
        lock(&self.routes).get(&super::app(app)).map(|routes| words(&routes.pool))
    }

    pub(crate) fn routes(&self, app: &str) -> Option<AppRoutes> {
        lock(&self.routes).get(&super::app(app)).cloned()
    }

    pub(crate) fn told(&self) -> Vec<String> {
        lock(&self.told).clone()
    }

    pub(crate) fn assert_unrouted(&self, run: &RunId) {
        for routes in lock(&self.routes).values() {
            if let Pool::Serve(instances) = &routes.pool {
                assert!(instances.iter().all(|i| i.run != *run), "{} was let go while it gets traffic", run.folder());
            }
        }
    }
}

fn words(pool: &Pool) -> String {
    match pool {
        Pool::Serve(instances) => {
            let names: Vec<_> = instances.iter().map(|i| format!("{}-{}", i.run.instance.name(), i.run.version)).collect();
            names.join(" ")
        }
        Pool::Hold { for_at_most_ms } => format!("hold {for_at_most_ms} ms"),
        Pool::Crashed => "crashed".to_owned(),
        Pool::Stopped => "stopped".to_owned(),
    }
}

impl FrontDoor for FakeDoor {
    fn put(&self, routes: AppRoutes) {
        let mut all = lock(&self.routes);
        let text = words(&routes.pool);
        if all.get(&routes.app).is_none_or(|old| words(&old.pool) != text) {
            lock(&self.told).push(format!("{}: {text}", routes.app));
        }
        all.insert(routes.app.clone(), routes);
    }

    fn traffic(&self, app: &AppName) -> BoxFuture<'_, Option<BTreeMap<RunId, Traffic>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let told = lock(&self.traffic).clone();
        let told = told.map(|runs| runs.into_iter().filter(|(run, _)| run.instance.app == *app).collect());
        Box::pin(async move { told })
    }

    fn delete(&self, app: &AppName) {
        lock(&self.routes).remove(app);
        lock(&self.told).push(format!("{app}: gone"));
    }

    fn applied(&self) -> BoxFuture<'_, ()> {
        let mut behind = self.behind.subscribe();
        Box::pin(async move {
            let _ = behind.wait_for(|behind| !behind).await;
        })
    }

    fn idle(&self, run: &RunId) -> BoxFuture<'_, ()> {
        self.assert_unrouted(run);
        let mut busy = self.busy.subscribe();
        Box::pin(async move {
            let _ = busy.wait_for(|busy| !busy).await;
        })
    }
}
