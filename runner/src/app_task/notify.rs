//! `NOTIFY_SOCKET`: a process without a port says when it is ready; any process may have
//! a watchdog and tell its status.

use super::{AppTask, InstancePhase, SlotKey, State};
use crate::host::Notified;

impl AppTask {
    /// A run says something else of itself, or it never will.
    pub(super) fn notified(&mut self, key: &SlotKey, number: u64, said: Option<Notified>) {
        let now = self.now();
        let Some(slot) = self.slots.get_mut(key) else { return };
        let by_author = slot.boot.by_author;
        let Some(run) = slot.run_mut(number) else { return };
        let (Some(said), Some(live), id) = (said, run.live.clone(), run.id.clone()) else { return };
        run.said.heard(now, &said);
        let is_ready = run.said.is_ready() && run.record.port.is_none() && !by_author;
        self.jobs.spawn(self.subject(key, &id).notified(live, said.change));
        let starting = self.slots.get(key).is_some_and(|slot| matches!(slot.life.state(), State::Starting(_)));
        if is_ready && starting {
            self.startup_passed(key);
        }
    }

    /// Asks for the age of a watchdog's last ping, if that may be too old by now.
    pub(super) fn advance_watchdog(&mut self, key: &SlotKey) {
        let now = self.now();
        let Some(slot) = self.slots.get_mut(key) else { return };
        if !matches!(slot.life.phase(), InstancePhase::Ready | InstancePhase::Unready) {
            return;
        }
        let Some(run) = slot.run.as_mut() else { return };
        if run.said.ask(now) {
            let id = run.id.clone();
            self.jobs.spawn(self.subject(key, &id).watchdog());
        }
    }

    pub(super) fn watchdog_seen(&mut self, key: &SlotKey, number: u64, said: Option<&Notified>) {
        let now = self.now();
        if let Some(run) = self.slots.get_mut(key).and_then(|slot| slot.run_mut(number)) {
            run.said.answered(now, said);
        }
    }
}
