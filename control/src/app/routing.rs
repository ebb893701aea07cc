//! The routes of an app, and letting go of what drains.

use std::collections::BTreeMap;

use model::engine::{InstancePhase, ReleaseMode};
use model::{AppRoutes, ProcessType, ReleaseVersion};

use super::task::AppTask;
use crate::limits::DRAIN_MAX;
use crate::routes::pool;

impl AppTask {
    pub(super) fn modes(&self) -> BTreeMap<ReleaseVersion, ReleaseMode> {
        self.releases.iter().map(|(version, in_play)| (*version, in_play.mode)).collect()
    }

    /// Tells the front door where requests go now. It drops what has not changed.
    pub(super) fn publish_routes(&self) {
        let web = self.formation.count(&ProcessType::web());
        let wanted = !self.stopped && web > 0 && self.current.is_some() && !self.is_closing();
        let pool = pool(&self.modes(), &self.observed, wanted, self.hold_ms, self.services.now_unix_ms());
        self.services.front_door.put(AppRoutes {
            app: self.identity.name.clone(),
            number: self.identity.number,
            hosts: self.identity.hosts.clone(),
            port: self.identity.port,
            pool,
        });
    }

    /// For each run that drains: wait until the router is done with it, then tell the
    /// engine. The routes without it were published just before.
    pub(super) fn release_draining(&mut self) {
        let draining = self.observed.instances.iter().filter(|i| i.phase == InstancePhase::Draining);
        let draining: std::collections::BTreeSet<_> = draining.filter_map(|i| i.run.clone()).collect();
        self.releasing.retain(|run| draining.contains(run));
        for run in draining {
            if !self.releasing.insert(run.clone()) {
                continue;
            }
            let services = self.services.clone();
            tokio::spawn(async move {
                // A router that does not answer must not keep a hung process alive.
                let _ = tokio::time::timeout(DRAIN_MAX, services.front_door.idle(&run)).await;
                services.engine.released(&run);
            });
        }
    }
}
