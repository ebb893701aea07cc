//! What leads where: hosts to apps, apps to pools of runs. Readers take no lock; one
//! change at a time is checked and then swapped in.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use model::{AppName, AppNumber, AppRoutes, Pool, RunId};
use tokio::sync::{Notify, watch};

use crate::instance::{Instance, Surroundings};
use crate::limits;
use crate::protocol::WireTraffic;

/// What to do with a request of an app, with live runs.
#[derive(Debug)]
pub(crate) enum LivePool {
    /// Send it to one of these.
    Serve(Vec<Arc<Instance>>),
    /// Keep it for so many milliseconds at most.
    Hold(u64),
    /// H10.
    Crashed,
    /// H14.
    Stopped,
    /// The app left the table.
    Gone,
}

/// One app; it stays the same over changes of its pool, so that held requests hear of them.
#[derive(Debug)]
pub(crate) struct App {
    /// Its name.
    pub(crate) name: AppName,
    /// Its number; another one is another app, whatever its name.
    pub(crate) number: AppNumber,
    /// What to do with a request.
    pub(crate) pool: ArcSwap<LivePool>,
    /// Told after each change of `pool`.
    pub(crate) changed: Notify,
    /// Requests held now.
    pub(crate) held: AtomicUsize,
}

/// A table that serves.
#[derive(Debug, Default, Clone)]
struct Table {
    hosts: HashMap<String, Arc<App>>,
    apps: HashMap<AppName, Arc<App>>,
}

#[derive(Debug, Default)]
struct Known {
    seq: u64,
    routes: HashMap<AppName, AppRoutes>,
    runs: HashMap<RunId, Weak<Instance>>,
}

/// The table and what it takes to change it.
#[derive(Debug)]
pub(crate) struct Routes {
    table: ArcSwap<Table>,
    known: Mutex<Known>,
    serving: watch::Sender<bool>,
    surroundings: Arc<Surroundings>,
}

impl Table {
    /// The app of these routes, if it is there already.
    fn same(&self, routes: &AppRoutes) -> Option<Arc<App>> {
        self.apps.get(&routes.app).filter(|app| app.number == routes.number).cloned()
    }
}

impl Routes {
    pub(crate) fn new(surroundings: Arc<Surroundings>) -> Self {
        Self { table: ArcSwap::default(), known: Mutex::default(), serving: watch::Sender::new(false), surroundings }
    }

    /// The app that a host name leads to.
    pub(crate) fn by_host(&self, host: &str) -> Option<Arc<App>> {
        self.table.load().hosts.get(host).cloned()
    }

    /// The app of this name.
    pub(crate) fn by_app(&self, app: &AppName) -> Option<Arc<App>> {
        self.table.load().apps.get(app).cloned()
    }

    /// Becomes true with the first table.
    pub(crate) fn serving(&self) -> watch::Receiver<bool> {
        self.serving.subscribe()
    }

    /// Replaces everything. An invalid table changes nothing.
    pub(crate) fn replace(&self, seq: u64, apps: Vec<AppRoutes>) -> Result<(), String> {
        let mut hosts = HashSet::new();
        let mut names = BTreeSet::new();
        for routes in &apps {
            check(routes)?;
            if !names.insert(&routes.app) {
                return Err(format!("{} is there twice", routes.app));
            }
            if let Some(host) = routes.hosts.iter().find(|host| !hosts.insert(host.as_str())) {
                return Err(format!("{host} leads to two apps"));
            }
        }
        let mut known = self.lock();
        let old = self.table.load_full();
        let mut table = Table::default();
        for routes in &apps {
            let app = old.same(routes).unwrap_or_else(|| new_app(routes));
            table.hosts.extend(routes.hosts.iter().map(|host| (host.to_string(), app.clone())));
            table.apps.insert(routes.app.clone(), app);
        }
        let table = Arc::new(table);
        // New apps get their pools before anyone can find them.
        let retired: Vec<_> = apps.iter().flat_map(|routes| self.fill(&mut known, &table.apps[&routes.app], &routes.pool)).collect();
        self.table.store(table.clone());
        retire(&retired);
        for (_, app) in old.apps.iter().filter(|(name, app)| table.apps.get(*name).is_none_or(|new| new.number != app.number)) {
            empty(app);
        }
        known.routes = apps.into_iter().map(|routes| (routes.app.clone(), routes)).collect();
        finish(known, seq);
        self.serving.send_replace(true);
        Ok(())
    }

    /// Replaces the routes of one app.
    pub(crate) fn put(&self, seq: u64, routes: AppRoutes) -> Result<(), String> {
        check(&routes)?;
        let mut known = self.lock();
        in_order(&known, seq)?;
        let old = self.table.load_full();
        let before = known.routes.get(&routes.app).map(|known| &known.hosts);
        let same = old.same(&routes);
        let same_hosts = same.is_some() && before == Some(&routes.hosts);
        let app = same.unwrap_or_else(|| new_app(&routes));
        let taken = |host: &&model::Hostname| old.hosts.get(host.as_str()).is_some_and(|other| other.name != routes.app);
        if let Some(host) = routes.hosts.iter().find(taken) {
            return Err(format!("{host} leads to two apps"));
        }
        let retired = self.fill(&mut known, &app, &routes.pool);
        if !same_hosts {
            let mut table = (*old).clone();
            table.hosts.retain(|_, other| other.name != routes.app);
            table.hosts.extend(routes.hosts.iter().map(|host| (host.to_string(), app.clone())));
            let replaced = table.apps.insert(routes.app.clone(), app.clone());
            self.table.store(Arc::new(table));
            // Whoever waits for an app that had this name waits in vain.
            replaced.iter().filter(|old| old.number != app.number).for_each(|old| empty(old));
        }
        retire(&retired);
        known.routes.insert(routes.app.clone(), routes);
        finish(known, seq);
        Ok(())
    }

    /// Removes an app.
    pub(crate) fn delete(&self, seq: u64, name: &AppName) -> Result<(), String> {
        let mut known = self.lock();
        in_order(&known, seq)?;
        let mut table = (*self.table.load_full()).clone();
        if let Some(app) = table.apps.remove(name) {
            table.hosts.retain(|_, other| other.name != *name);
            self.table.store(Arc::new(table));
            empty(&app);
        }
        known.routes.remove(name);
        finish(known, seq);
        Ok(())
    }

    /// A run, in the table or still busy.
    pub(crate) fn run(&self, run: &RunId) -> Option<Arc<Instance>> {
        self.lock().runs.get(run).and_then(Weak::upgrade)
    }

    /// How the requests of an app have ended, for each run in the table or still busy.
    pub(crate) fn traffic(&self, app: &AppName) -> Vec<WireTraffic> {
        let known = self.lock();
        let runs = known.runs.iter().filter(|(run, _)| run.instance.app == *app);
        runs.filter_map(|(_, run)| run.upgrade()).map(|instance| instance.traffic()).collect()
    }

    /// Runs out of the table that still have requests.
    pub(crate) fn busy_outside(&self) -> Vec<RunId> {
        let known = self.lock();
        known.runs.values().filter_map(Weak::upgrade).filter(|i| i.is_busy_outside()).map(|i| i.run.clone()).collect()
    }

    /// Closes connections that were unused for long; true if some are left.
    pub(crate) fn sweep(&self) -> bool {
        let runs: Vec<_> = self.lock().runs.values().filter_map(Weak::upgrade).collect();
        runs.iter().filter(|instance| instance.sweep()).count() > 0
    }

    /// Gives an app its pool; returns the runs that are no longer in it. They are
    /// retired by the caller, once nobody can pick them from the table any more.
    fn fill(&self, known: &mut Known, app: &App, pool: &Pool) -> Vec<Arc<Instance>> {
        let live = match pool {
            Pool::Serve(instances) => LivePool::Serve(instances.iter().map(|routed| self.instance(known, routed)).collect()),
            Pool::Hold { for_at_most_ms } => LivePool::Hold((*for_at_most_ms).min(limits::HOLD_MS_MAX)),
            Pool::Crashed => LivePool::Crashed,
            Pool::Stopped => LivePool::Stopped,
        };
        swap_pool(app, live)
    }

    fn instance(&self, known: &mut Known, routed: &model::RoutedInstance) -> Arc<Instance> {
        let existing = known.runs.get(&routed.run).and_then(Weak::upgrade);
        let instance = existing
            .filter(|instance| instance.address == routed.address())
            .unwrap_or_else(|| Arc::new(Instance::new(routed, &self.surroundings)));
        instance.admit();
        known.runs.insert(routed.run.clone(), Arc::downgrade(&instance));
        instance
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn new_app(routes: &AppRoutes) -> Arc<App> {
    Arc::new(App {
        name: routes.app.clone(),
        number: routes.number,
        pool: ArcSwap::from_pointee(LivePool::Gone),
        changed: Notify::new(),
        held: AtomicUsize::new(0),
    })
}

fn empty(app: &App) {
    retire(&swap_pool(app, LivePool::Gone));
}

fn retire(instances: &[Arc<Instance>]) {
    for instance in instances {
        instance.retire();
    }
}

fn finish(mut known: MutexGuard<'_, Known>, seq: u64) {
    known.seq = seq;
    known.runs.retain(|_, run| run.strong_count() > 0);
}

fn swap_pool(app: &App, live: LivePool) -> Vec<Arc<Instance>> {
    let live = Arc::new(live);
    let old = app.pool.swap(live.clone());
    app.changed.notify_waiters();
    let LivePool::Serve(before) = &*old else { return Vec::new() };
    let stays = |instance: &Arc<Instance>| match &*live {
        LivePool::Serve(now) => now.iter().any(|other| Arc::ptr_eq(other, instance)),
        _ => false,
    };
    before.iter().filter(|instance| !stays(instance)).cloned().collect()
}

fn in_order(known: &Known, seq: u64) -> Result<(), String> {
    if seq > known.seq { Ok(()) } else { Err(format!("{seq} comes after {}", known.seq)) }
}

/// What can be wrong with one app's routes by themselves.
fn check(routes: &AppRoutes) -> Result<(), String> {
    let Pool::Serve(instances) = &routes.pool else { return Ok(()) };
    if instances.is_empty() {
        return Err(format!("{} is to be served by no instance", routes.app));
    }
    let (mut ports, mut runs) = (HashSet::new(), HashSet::new());
    for routed in instances {
        if routed.run.instance.app != routes.app {
            return Err(format!("{} is to be served by a run of {}", routes.app, routed.run.instance.app));
        }
        if routed.port == 0 || !ports.insert(routed.port) || !runs.insert(&routed.run) {
            return Err(format!("{} has a run or port twice, or port 0", routes.app));
        }
    }
    Ok(())
}
