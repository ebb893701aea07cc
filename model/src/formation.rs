//! How many instances of each process type run.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use crate::{Invalid, Ordinal, ProcessType, limits};

/// Process type → count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Formation(pub BTreeMap<ProcessType, u32>);

impl Formation {
    /// What a first deploy runs: what the author says; of types that are not named there,
    /// web alone, or without web one of each that stays up.
    pub fn first(types: &BTreeSet<ProcessType>, authored: &BTreeMap<ProcessType, u32>) -> Self {
        let has_web = types.contains(&ProcessType::web());
        let count = |t: &ProcessType| u32::from(if has_web { t.is_web() } else { t.stays_up() });
        Self(types.iter().map(|t| (t.clone(), authored.get(t).copied().unwrap_or_else(|| count(t)))).collect())
    }

    /// The formation for the types of a new slug: as [`Formation::taken_over`], new ones
    /// start as their author says, else at 0 (a new `web` at 1).
    #[must_use]
    pub fn carried_over(&self, types: &BTreeSet<ProcessType>, authored: &BTreeMap<ProcessType, u32>) -> Self {
        if self.0.is_empty() {
            return Self::first(types, authored);
        }
        let count = |t: &ProcessType| authored.get(t).copied().unwrap_or_else(|| u32::from(t.is_web()));
        self.taken_over(&Self(types.iter().map(|t| (t.clone(), count(t))).collect()))
    }

    /// This one with the types of another, a release's: those that stay keep the count
    /// that people gave them, new ones come with the other's, vanished ones go.
    #[must_use]
    pub fn taken_over(&self, released: &Self) -> Self {
        let count = |(t, count): (&ProcessType, &u32)| (t.clone(), self.0.get(t).copied().unwrap_or(*count));
        Self(released.0.iter().map(count).collect())
    }

    /// The types that are kept running, if only with 0 instances.
    pub fn kept_up(&self) -> impl Iterator<Item = (&ProcessType, u32)> {
        self.0.iter().filter(|(t, _)| t.stays_up()).map(|(t, count)| (t, *count))
    }

    /// The instances that it means.
    pub fn instances(&self) -> impl Iterator<Item = (&ProcessType, Ordinal)> {
        self.kept_up().flat_map(|(t, count)| (1..=count).map(move |ordinal| (t, ordinal)))
    }

    /// The count of a type; 0 for an unknown one.
    pub fn count(&self, process_type: &ProcessType) -> u32 {
        self.0.get(process_type).copied().unwrap_or(0)
    }
}

/// One word of `ps:scale`: `web=2`, `worker+1`, `worker-1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaleChange {
    /// What to scale.
    pub process_type: ProcessType,
    amount: Amount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    To(u32),
    By(i64),
}

impl FromStr for ScaleChange {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("scale", text, "write TYPE=COUNT, TYPE+COUNT or TYPE-COUNT, such as web=2");
        // A type may hold dashes itself, so a minus counts only before the final digits.
        let at = text.rfind(['=', '+', '-']).ok_or_else(bad)?;
        let (name, rest) = text.split_at(at);
        let count: u32 = rest[1..].parse().map_err(|_| bad())?;
        let process_type = name.parse()?;
        let amount = match &rest[..1] {
            "=" => Amount::To(count),
            "+" => Amount::By(i64::from(count)),
            _ => Amount::By(-i64::from(count)),
        };
        Ok(Self { process_type, amount })
    }
}

impl ScaleChange {
    /// The count after the change.
    pub fn applied_to(&self, now: u32) -> Result<u32, Invalid> {
        let wanted = match self.amount {
            Amount::To(count) => i64::from(count),
            Amount::By(by) => (i64::from(now) + by).max(0),
        };
        match u32::try_from(wanted) {
            Ok(count) if count <= limits::INSTANCES_PER_TYPE_MAX => Ok(count),
            _ => Err(Invalid::new("scale", &wanted.to_string(), "at most 100 instances of a process type")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<ProcessType> {
        names.iter().map(|n| n.parse().expect("type")).collect()
    }

    #[test]
    fn a_first_deploy_runs_web_or_else_everything_that_stays_up() {
        let counts = |names: &[&str]| Formation::first(&set(names), &BTreeMap::new()).0.values().copied().collect::<Vec<_>>();
        assert_eq!(counts(&["bot", "web"]), [0, 1]);
        assert_eq!(counts(&["clock", "release", "worker"]), [1, 0, 1]);
    }

    #[test]
    fn an_author_says_how_many_there_are_until_a_person_does() {
        let authored = [("web", 2), ("bot", 1), ("none", 4)].map(|(t, n)| (t.parse().expect("type"), n)).into();
        let shown = |formation: Formation| formation.0.into_iter().map(|(t, n)| format!("{t}={n}")).collect::<Vec<_>>();
        let first = Formation::default().carried_over(&set(&["clock", "web"]), &authored);
        assert_eq!(shown(first.clone()), ["clock=0", "web=2"]);
        let scaled = Formation([("clock".parse().expect("type"), 1), ("web".parse().expect("type"), 5)].into());
        assert_eq!(shown(scaled.carried_over(&set(&["bot", "clock", "web"]), &authored)), ["bot=1", "clock=1", "web=5"]);
    }

    #[test]
    fn a_new_slug_keeps_the_counts_of_the_types_it_knows() {
        let old = Formation([("web".parse().expect("type"), 3), ("gone".parse().expect("type"), 1)].into());
        let new = old.carried_over(&set(&["new", "web"]), &BTreeMap::new());
        assert_eq!(new.0.into_iter().map(|(t, n)| (t.to_string(), n)).collect::<Vec<_>>(), [("new".to_owned(), 0), ("web".to_owned(), 3)]);
    }

    #[test]
    fn what_a_person_or_a_deploy_starts_is_no_instance_that_is_kept_up() {
        let formation = Formation([("release".parse().expect("type"), 1), ("web".parse().expect("type"), 2)].into());
        let names: Vec<_> = formation.instances().map(|(t, ordinal)| format!("{t}.{ordinal}")).collect();
        assert_eq!(names, ["web.1", "web.2"]);
    }

    #[test]
    fn scale_words_are_absolute_or_relative() {
        let scale = |word: &str, now| word.parse::<ScaleChange>().and_then(|c| c.applied_to(now));
        assert_eq!(scale("web=2", 7), Ok(2));
        assert_eq!(scale("web+2", 7), Ok(9));
        assert_eq!(scale("my-bot-2", 1), Ok(0));
        for bad in ["web", "web=", "=2", "web=-1", "web=1000", "web=x"] {
            assert!(scale(bad, 1).is_err(), "{bad}");
        }
    }
}
