//! Which types run twice during a switch: what people want, as far as memory allows.

use std::collections::BTreeSet;

use model::engine::TypeLimits;
use model::text::bytes;
use model::{Formation, ProcessType, ReleaseVersion};

use super::task::AppTask;
use crate::limits::HOLD_MAX_MS;
use crate::memory::{Reservation, hold_ms, needed};
use crate::rollout::Web;

/// What was found out before anything new starts.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// Why the old web stops before the new one starts, for people.
    pub(super) why_swap: Option<String>,
    /// The memory that the second copy counts on.
    _reserved: Option<Reservation>,
}

impl AppTask {
    /// Types that people let run twice.
    fn overlap_wanted(&self) -> BTreeSet<ProcessType> {
        let wanted = self.settings.iter().filter(|(_, of)| of.overlap == Some(true)).map(|(t, _)| t.clone());
        let web = Some(ProcessType::web()).filter(|web| self.settings.get(web).and_then(|of| of.overlap) != Some(false));
        wanted.chain(web).collect()
    }

    /// Types that may run twice now.
    pub(super) fn overlap_now(&self) -> BTreeSet<ProcessType> {
        let mut overlap = match &self.switching {
            Some(switching) => switching.rollout.plan().overlap.clone(),
            None => self.overlap_wanted(),
        };
        match self.web {
            Web::Alone => overlap.remove(&ProcessType::web()),
            Web::Beside | Web::Later => overlap.insert(ProcessType::web()),
        };
        overlap
    }

    /// What people set, as the engine needs it.
    pub(super) fn limits_now(&self) -> std::collections::BTreeMap<ProcessType, TypeLimits> {
        let limits = |(t, of): (&ProcessType, &crate::store::TypeSettings)| {
            let limits = TypeLimits { boot_timeout_s: of.boot_timeout_s, stop_timeout_s: of.stop_timeout_s };
            (limits != TypeLimits::default()).then(|| (t.clone(), limits))
        };
        self.settings.iter().filter_map(limits).collect()
    }

    /// Decides which types of the switch under way run twice. It is asked once more after
    /// each command that runs before: they take their time, and memory.
    pub(super) fn admit(&mut self) {
        let Some(switching) = &mut self.switching else { return };
        // What was counted on before is free again.
        switching.admission = Admission::default();
        let plan = switching.rollout.plan().clone();
        let web = ProcessType::web();
        let can_swap = plan.old.is_some() && plan.old_formation.count(&web) > 0 && plan.new_formation.count(&web) > 0;
        let mut overlap = self.overlap_wanted();
        let (mut why_swap, mut reserved) = (None, None);
        if can_swap && !overlap.contains(&web) {
            why_swap = Some("web does not run twice: paas ps:overlap web on".to_owned());
        } else if let Some(old) = plan.old {
            match self.reserve(old, &plan.new_formation, &overlap) {
                Ok(memory) => reserved = memory,
                Err(why) => {
                    overlap.clear();
                    why_swap = Some(why);
                }
            }
        }
        let swap_web = can_swap && !overlap.contains(&web);
        let Some(switching) = &mut self.switching else { return };
        switching.admission = Admission { why_swap, _reserved: reserved };
        switching.rollout.set_overlap(overlap, swap_web);
    }

    /// Counts on the memory of a second copy of what overlaps.
    fn reserve(&self, old: ReleaseVersion, new: &Formation, overlap: &BTreeSet<ProcessType>) -> Result<Option<Reservation>, String> {
        let host = &self.services.host;
        let Some(available) = host.memory_for_switches() else { return Ok(None) };
        let need: u64 = overlap
            .iter()
            .map(|process_type| {
                let of_type = self.observed.of(old).filter(|i| i.instance.process_type == *process_type);
                let peaks: Vec<u64> = of_type.filter_map(|i| host.memory_peak(i.shim_pid?)).collect();
                needed(&peaks, new.count(process_type))
            })
            .fold(0, u64::saturating_add);
        match self.services.memory.reserve(need, available) {
            Ok(reserved) => Ok(Some(reserved)),
            Err(left) => Err(format!("memory is short for two copies: {} needed, {} available", bytes(need), bytes(left))),
        }
    }

    /// How the webs stand to each other from the next target on.
    pub(super) fn set_web(&mut self, web: Web) {
        if web == Web::Alone {
            let boots = self.current.into_iter().flat_map(|v| self.observed.of(v)).filter(|i| i.instance.process_type.is_web());
            self.hold_ms = hold_ms(boots.filter_map(|i| i.ready_after_ms).max().unwrap_or(0));
        }
        self.web = web;
    }

    /// Once only one release is left, its web stands beside nothing any more.
    pub(super) fn settle_web(&mut self) -> bool {
        let settled = self.web != Web::Beside && self.switching.is_none() && self.releases.len() <= 1;
        if settled {
            self.web = Web::Beside;
            self.hold_ms = HOLD_MAX_MS;
        }
        settled
    }
}
