//! Ports of web instances: two leases per instance, used in turn, so that a new run
//! never gets the port of one that may still be there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use model::{AppNumber, Ordinal, ProcessType};

use crate::limits::LEASES_PER_INSTANCE;

/// Whose leases.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseSlot {
    /// The app.
    pub app: AppNumber,
    /// The process type.
    pub process_type: ProcessType,
    /// Its number.
    pub ordinal: Ordinal,
}

/// Why there is no port now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPort {
    /// Both leases belong to runs that are not gone.
    #[error("both of its ports are still held by earlier runs that are not gone")]
    BothHeld,
    /// The range is used up.
    #[error("every port of the lease range is taken")]
    RangeUsedUp,
}

/// The leases of the box.
#[derive(Debug, Clone)]
pub struct PortLeases {
    range: RangeInclusive<u16>,
    owners: BTreeMap<u16, LeaseSlot>,
    held: BTreeSet<u16>,
    last: BTreeMap<LeaseSlot, u16>,
    next: u16,
}

impl PortLeases {
    /// Nothing leased yet.
    pub fn new(range: RangeInclusive<u16>) -> Self {
        let next = *range.start();
        Self { range, owners: BTreeMap::new(), held: BTreeSet::new(), last: BTreeMap::new(), next }
    }

    /// Takes a port for a new run. `is_free` says whether a stranger sits on one.
    pub fn take(&mut self, slot: &LeaseSlot, is_free: &dyn Fn(u16) -> bool) -> Result<u16, NoPort> {
        let mine = self.ports_of(slot);
        if mine.iter().filter(|port| self.held.contains(port)).count() >= LEASES_PER_INSTANCE {
            return Err(NoPort::BothHeld);
        }
        let last = self.last.get(slot).copied();
        let mut usable: Vec<u16> = mine.into_iter().filter(|port| !self.held.contains(port) && Some(*port) != last).collect();
        usable.retain(|port| is_free(*port));
        let port = match usable.first() {
            Some(port) => *port,
            None => self.lease(slot, is_free)?,
        };
        self.held.insert(port);
        self.last.insert(slot.clone(), port);
        Ok(port)
    }

    /// Notes the port of an adopted run. Ports outside the range (it was changed) are
    /// kept out of the way all the same.
    pub fn hold(&mut self, slot: &LeaseSlot, port: u16) {
        self.owners.insert(port, slot.clone());
        self.held.insert(port);
        self.last.insert(slot.clone(), port);
    }

    /// The run on it is gone.
    pub fn release(&mut self, port: u16) {
        self.held.remove(&port);
    }

    /// The instance is no more: its free ports return to the range.
    pub fn forget(&mut self, slot: &LeaseSlot) {
        let held = &self.held;
        self.owners.retain(|port, owner| owner != slot || held.contains(port));
        self.last.remove(slot);
    }

    fn ports_of(&self, slot: &LeaseSlot) -> Vec<u16> {
        self.owners.iter().filter(|(_, owner)| *owner == slot).map(|(port, _)| *port).collect()
    }

    /// Leases one more port; a slot that has two gives up the one that it does not use.
    fn lease(&mut self, slot: &LeaseSlot, is_free: &dyn Fn(u16) -> bool) -> Result<u16, NoPort> {
        let size = usize::from(*self.range.end()).saturating_sub(usize::from(*self.range.start())) + 1;
        for _ in 0..size {
            let port = self.next;
            self.next = if port >= *self.range.end() { *self.range.start() } else { port + 1 };
            if !self.owners.contains_key(&port) && is_free(port) {
                let spare: Vec<u16> = self.ports_of(slot).into_iter().filter(|p| !self.held.contains(p)).collect();
                if self.ports_of(slot).len() >= LEASES_PER_INSTANCE
                    && let Some(spare) = spare.first()
                {
                    self.owners.remove(spare);
                }
                self.owners.insert(port, slot.clone());
                return Ok(port);
            }
        }
        // Better the port of the last run than none.
        let again = self.ports_of(slot).into_iter().find(|port| !self.held.contains(port) && is_free(*port));
        again.ok_or(NoPort::RangeUsedUp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slot(ordinal: u32) -> LeaseSlot {
        LeaseSlot { app: AppNumber(17), process_type: ProcessType::web(), ordinal }
    }

    #[test]
    fn an_instance_uses_its_two_ports_in_turn() {
        let mut leases = PortLeases::new(20_000..=20_009);
        let mut ports = Vec::new();
        for _ in 0..4 {
            let port = leases.take(&slot(1), &|_| true).expect("free");
            leases.release(port);
            ports.push(port);
        }
        assert_eq!(ports, [20_000, 20_001, 20_000, 20_001]);
    }

    #[test]
    fn a_port_is_free_only_when_its_last_run_is_gone() {
        let mut leases = PortLeases::new(20_000..=20_009);
        let first = leases.take(&slot(1), &|_| true).expect("free");
        leases.take(&slot(1), &|_| true).expect("free");
        assert_eq!(leases.take(&slot(1), &|_| true), Err(NoPort::BothHeld));
        leases.release(first);
        assert_eq!(leases.take(&slot(1), &|_| true), Ok(first));
    }

    #[test]
    fn a_port_on_which_a_stranger_sits_is_passed_over() {
        let mut leases = PortLeases::new(20_000..=20_003);
        let port = leases.take(&slot(1), &|port| port != 20_000).expect("free");
        assert_eq!(port, 20_001);
        leases.release(port);
        assert_eq!(leases.take(&slot(1), &|port| port > 20_001), Ok(20_002));
    }

    #[test]
    fn a_forgotten_instance_gives_its_ports_back_once_they_are_free() {
        let mut leases = PortLeases::new(20_000..=20_000);
        let port = leases.take(&slot(1), &|_| true).expect("free");
        leases.forget(&slot(1));
        assert_eq!(leases.take(&slot(2), &|_| true), Err(NoPort::RangeUsedUp));
        leases.release(port);
        leases.forget(&slot(1));
        assert_eq!(leases.take(&slot(2), &|_| true), Ok(port));
    }

    #[test]
    fn an_adopted_run_keeps_its_port() {
        let mut leases = PortLeases::new(20_000..=20_001);
        leases.hold(&slot(1), 20_000);
        assert_eq!(leases.take(&slot(2), &|_| true), Ok(20_001));
        assert_eq!(leases.take(&slot(3), &|_| true), Err(NoPort::RangeUsedUp));
    }

    proptest! {
        #[test]
        fn no_port_has_two_holders(steps in proptest::collection::vec((1_u32..6, any::<bool>()), 1..80)) {
            let mut leases = PortLeases::new(20_000..=20_007);
            let mut held: Vec<(u32, u16)> = Vec::new();
            for (ordinal, take) in steps {
                if take {
                    if let Ok(port) = leases.take(&slot(ordinal), &|_| true) {
                        prop_assert!(held.iter().all(|(_, p)| *p != port));
                        held.push((ordinal, port));
                    }
                } else if let Some(at) = held.iter().position(|(o, _)| *o == ordinal) {
                    leases.release(held.remove(at).1);
                }
            }
        }
    }
}
