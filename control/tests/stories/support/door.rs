//! The router, as control sees it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use control::seams::{BoxFuture, FrontDoor};
use model::{AppName, AppRoutes, Pool, RunId};
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
}

impl FakeDoor {
    pub(crate) fn new() -> Self {
        Self { routes: Mutex::default(), told: Mutex::default(), busy: watch::Sender::new(false), behind: watch::Sender::new(false) }
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
