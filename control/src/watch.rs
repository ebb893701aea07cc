//! The first minute of a release that went live: a pure rule over what the engine and
//! the router see of it. It decides whether the release is undone by itself.

use std::collections::{BTreeMap, BTreeSet};

use model::engine::{AppObserved, InstanceObserved, InstancePhase, LastEnd};
use model::text::milliseconds;
use model::{InstanceId, ReleaseVersion, RunId, StopReason, Traffic};

use crate::limits::{CRASH_LOOP_RESTARTS, WATCH_ERRORS_BEFORE_PERCENT_MAX, WATCH_ERRORS_PERCENT_MIN, WATCH_REQUESTS_MIN};

/// What was true of the release before, just before traffic moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before {
    /// How its requests had ended; none if nobody knows.
    pub traffic: Option<Traffic>,
    /// Its instances that kept crashing already: going back would not help them.
    pub crashed: BTreeSet<InstanceId>,
}

impl Before {
    /// As a release looks that is about to be replaced.
    pub fn of(version: ReleaseVersion, observed: &AppObserved, traffic: Option<&BTreeMap<RunId, Traffic>>) -> Self {
        let crashed = observed.of(version).filter(|instance| is_crashing(instance)).map(|i| i.instance.clone());
        let traffic = traffic.map(|runs| sum(runs.iter().filter(|(run, _)| run.version == version).map(|(_, traffic)| *traffic)));
        Self { traffic, crashed: crashed.collect() }
    }
}

/// How the requests of a release have ended, over runs that the router may have
/// forgotten in between.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// By run: what was counted before the router began anew, and what it told last.
    runs: BTreeMap<RunId, (Traffic, Traffic)>,
}

impl Tally {
    /// Takes in what the router tells now.
    pub fn read(&mut self, version: ReleaseVersion, told: &BTreeMap<RunId, Traffic>) {
        for (run, now) in told.iter().filter(|(run, _)| run.version == version) {
            let (earlier, last) = self.runs.entry(run.clone()).or_default();
            if now.requests < last.requests || now.errors < last.errors {
                *earlier = sum([*earlier, *last]);
            }
            *last = *now;
        }
    }

    /// All of it.
    pub fn total(&self) -> Traffic {
        sum(self.runs.values().flat_map(|(earlier, last)| [*earlier, *last]))
    }
}

/// What comes of the look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong so far.
    Well,
    /// Something is, and a person should know.
    Warn(String),
    /// It is undone, and why.
    RollBack(String),
}

/// Judges a release that serves since less than a minute. One whose release phase ran is
/// not undone for 5xx: the release before may not know its migrations.
pub fn judge(before: &Before, migrated: bool, version: ReleaseVersion, observed: &AppObserved, traffic: Traffic) -> Verdict {
    let crashing = observed.of(version).find(|instance| is_crashing(instance) && !before.crashed.contains(&instance.instance));
    if let Some(instance) = crashing {
        return Verdict::RollBack(crash_words(instance));
    }
    let Some(why) = too_many_errors(before.traffic, traffic) else { return Verdict::Well };
    if migrated || before.traffic.is_none() { Verdict::Warn(why) } else { Verdict::RollBack(why) }
}

fn is_crashing(instance: &InstanceObserved) -> bool {
    instance.phase == InstancePhase::Backoff || (instance.restarts >= CRASH_LOOP_RESTARTS && instance.phase != InstancePhase::Finished)
}

fn crash_words(instance: &InstanceObserved) -> String {
    let words = |end: &LastEnd| match end.reason {
        StopReason::Exited => format!(": {} after {}", end.status, milliseconds(end.ran_ms)),
        _ => format!(": {}", end.reason),
    };
    let end = instance.last_end.as_ref().map(words).unwrap_or_default();
    format!("{} crashes again and again{end}", instance.instance.name())
}

fn too_many_errors(before: Option<Traffic>, now: Traffic) -> Option<String> {
    let many = now.requests >= WATCH_REQUESTS_MIN && now.errors * 100 >= now.requests * WATCH_ERRORS_PERCENT_MIN;
    let few_before = before.is_none_or(|b| b.requests == 0 || b.errors * 100 < b.requests * WATCH_ERRORS_BEFORE_PERCENT_MAX);
    let told_before = before.map(|b| format!(", {} of {} before", b.errors, b.requests)).unwrap_or_default();
    (many && few_before).then(|| format!("{} of {} requests were answered with 5xx{told_before}", now.errors, now.requests))
}

fn sum(all: impl IntoIterator<Item = Traffic>) -> Traffic {
    all.into_iter().fold(Traffic::default(), |a, b| Traffic { requests: a.requests + b.requests, errors: a.errors + b.errors })
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
