//! What ended runs left in `/app`: saved before the next run looks for it.

use super::{AppTask, SlotKey};
use crate::reconcile;
use crate::runs::Over;
use model::Leavings;
use model::engine::LeftBehind;

impl AppTask {
    /// The leavings of a run are about to be removed: what is saved of them before.
    pub(super) fn begin_tidying(&mut self, key: &SlotKey) -> Option<Over> {
        self.tidying += 1;
        let release = self.target.releases.get(&key.version)?;
        Some(Over { slug: release.slug, kept: release.kept.clone() })
    }

    /// The last run of an instance that left something counts.
    pub(super) fn tidied(&mut self, key: &SlotKey, leavings: Leavings) {
        self.tidying -= 1;
        if !leavings.is_empty() {
            let instance = reconcile::instance(&self.target, key);
            self.left.insert(instance.name(), LeftBehind { instance, version: key.version, leavings });
        }
    }

    /// Where something of `/app` lasts, a start waits for what earlier runs left there: a
    /// run from before it was kept may hold the only copy.
    pub(super) fn waits_for_leavings(&self, key: &SlotKey) -> bool {
        self.tidying > 0 && self.target.releases.get(&key.version).is_some_and(|release| !release.kept.is_empty())
    }
}
