//! The author's checks of one run, together: what is due, what they say about the
//! instance. Pure: time and what came of a try are arguments.

use std::sync::Arc;
use std::time::Duration;

use model::ProcessType;
use model::StopReason;
use model::author::{AppJson, CheckAction, CheckKind, HealthCheck};
use model::engine::{CheckObserved, CheckState};

use crate::checks::author::{AuthorCheck, worst_case};
use crate::checks::tries::Tried;
use crate::lifecycle::Cause;
use crate::limits::STAY_UP;
use crate::silence::Mono;

/// All checks of one run.
#[derive(Debug, Default)]
pub(crate) struct RunChecks {
    entries: Vec<Entry>,
    /// Tries that a person asked for are under way: the others wait.
    manual: bool,
}

#[derive(Debug)]
struct Entry {
    counter: AuthorCheck,
    since_unix_ms: i64,
    last: Option<Tried>,
    /// Held by whoever tries it: never two at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A try that is to be made.
#[derive(Debug)]
pub(crate) struct DueTry {
    pub(crate) index: usize,
    pub(crate) check: Arc<HealthCheck>,
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
}

/// How a start is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Boot {
    /// By checks, not by staying up.
    pub(crate) checked: bool,
    /// The author's startup checks take the place of the default.
    pub(crate) by_author: bool,
    pub(crate) timeout: Duration,
    /// Until visitors may come.
    pub(crate) ready_timeout: Duration,
}

impl Boot {
    /// With the author's checks of a process type and the default time for a boot.
    pub(crate) fn of(app: &AppJson, process_type: &ProcessType, default: Duration) -> Self {
        let longest = |kind| app.checks_of(process_type, kind).filter(|check| !check.warn).map(worst_case).max();
        let (startup, readiness) = (longest(CheckKind::Startup), longest(CheckKind::Readiness));
        let timeout = default.max(startup.unwrap_or_default());
        Self {
            checked: process_type.is_web() || startup.is_some() || readiness.is_some(),
            by_author: startup.is_some(),
            timeout,
            ready_timeout: timeout + readiness.unwrap_or_default(),
        }
    }
}

impl RunChecks {
    /// The checks of a run of this type that was started at `started`.
    pub(crate) fn new(app: &AppJson, process_type: &ProcessType, started: Mono, now: Mono, unix_ms: i64) -> Self {
        let checks = app.checks.get(process_type).into_iter().flatten();
        let entry = |check: &HealthCheck| Entry {
            counter: AuthorCheck::new(Arc::new(check.clone()), started, now),
            since_unix_ms: unix_ms,
            last: None,
            turn: Arc::default(),
        };
        Self { entries: checks.map(entry).collect(), manual: false }
    }

    /// Whether the author has a check of this kind that is more than a warning.
    pub(crate) fn decide(&self, kind: CheckKind) -> bool {
        self.deciding(kind).next().is_some()
    }

    fn deciding(&self, kind: CheckKind) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.counter.check().kind == kind && !entry.counter.check().warn)
    }

    /// The startup is over: the other checks begin, and those with a delay go on waiting.
    pub(crate) fn startup_is_over(&mut self, now: Mono) {
        self.entries.iter_mut().for_each(|entry| entry.counter.postpone(now));
    }

    /// An earlier server had found it unready.
    pub(crate) fn resume_unready(&mut self, now: Mono) {
        for entry in self.entries.iter_mut().filter(|entry| entry.counter.check().kind == CheckKind::Readiness) {
            entry.counter.resume_failing(now);
        }
    }

    /// When the next try is due.
    pub(crate) fn next_due(&self, starting: bool) -> Option<Mono> {
        let wanted = self.entries.iter().filter(|entry| !self.manual && is_wanted(&entry.counter, starting));
        wanted.filter_map(|entry| entry.counter.next_due()).min()
    }

    /// The tries to be made now.
    pub(crate) fn begin(&mut self, now: Mono, starting: bool) -> Vec<DueTry> {
        if self.manual {
            return Vec::new();
        }
        let entries = self.entries.iter_mut().enumerate().filter(|(_, entry)| is_wanted(&entry.counter, starting));
        let due = entries.filter_map(|(index, entry)| entry.counter.begin(now).then(|| entry.due_try(index)));
        due.collect()
    }

    /// Every check, for a person; until [`Self::end_manual`] no other try is made.
    pub(crate) fn begin_manual(&mut self) -> Vec<DueTry> {
        self.manual = true;
        self.entries.iter().enumerate().map(|(index, entry)| entry.due_try(index)).collect()
    }

    pub(crate) fn end_manual(&mut self, now: Mono) {
        self.manual = false;
        self.entries.iter_mut().for_each(|entry| entry.counter.postpone(now));
    }

    /// What came of a try that was due; true if the check passes or fails now and did not before.
    pub(crate) fn tried(&mut self, index: usize, now: Mono, unix_ms: i64, tried: Tried) -> bool {
        let Some(entry) = self.entries.get_mut(index) else { return false };
        let changed = entry.counter.tried(now, tried.outcome);
        if changed {
            entry.since_unix_ms = unix_ms;
        }
        entry.last = Some(tried);
        changed
    }

    /// Whether all startup checks have passed.
    pub(crate) fn is_started(&self) -> bool {
        self.deciding(CheckKind::Startup).all(|entry| entry.counter.state() == CheckState::Passing)
    }

    /// Why the start has failed, if it has.
    pub(crate) fn startup_failure(&self) -> Option<StopReason> {
        self.deciding(CheckKind::Startup).find(|entry| entry.counter.state() == CheckState::Failing).map(Entry::reason)
    }

    /// Whether all readiness checks pass.
    pub(crate) fn is_ready(&self) -> bool {
        self.deciding(CheckKind::Readiness).all(|entry| entry.counter.state() == CheckState::Passing)
    }

    /// Whether a readiness check has failed.
    pub(crate) fn is_unready(&self) -> bool {
        self.unready().is_some()
    }

    /// Why it is not ready.
    pub(crate) fn readiness_failure(&self) -> Option<StopReason> {
        let waiting = || self.deciding(CheckKind::Readiness).find(|entry| entry.counter.state() == CheckState::Waiting);
        self.unready().or_else(waiting).map(Entry::reason)
    }

    fn unready(&self) -> Option<&Entry> {
        self.deciding(CheckKind::Readiness).find(|entry| entry.counter.state() == CheckState::Failing)
    }

    /// The liveness check that has failed for long enough, and how to stop its instance.
    pub(crate) fn liveness_failure(&self, now: Mono, uncured: u32) -> Option<(Cause, StopReason)> {
        let failed = self.deciding(CheckKind::Liveness).find(|entry| entry.counter.is_restart_due(now, uncured))?;
        let is_silence = failed.last.as_ref().is_some_and(|last| last.is_silence);
        Some((if is_silence { Cause::Silent } else { Cause::Unwell }, failed.reason()))
    }

    /// When a failing liveness check will have failed for long enough.
    pub(crate) fn liveness_due(&self, now: Mono, uncured: u32) -> Option<Mono> {
        self.entries.iter().filter_map(|entry| entry.counter.restart_due_at(uncured)).filter(|at| *at > now).min()
    }

    /// Whether every liveness check passes.
    pub(crate) fn is_live(&self) -> bool {
        self.deciding(CheckKind::Liveness).all(|entry| entry.counter.state() == CheckState::Passing)
    }

    /// The request of a check that passed, for people: `GET /ready -> 200`.
    pub(crate) fn last_words(&self, index: usize) -> Option<String> {
        let entry = self.entries.get(index)?;
        let last = entry.last.as_ref()?;
        Some(format!("{} -> {}", entry.counter.check(), last.answer))
    }

    /// As they are seen from above.
    pub(crate) fn observed(&self) -> impl Iterator<Item = CheckObserved> {
        self.entries.iter().map(|entry| CheckObserved {
            check: entry.counter.check().to_string(),
            kind: Some(entry.counter.check().kind),
            rule: rule(entry.counter.check()),
            warn: entry.counter.check().warn,
            state: entry.counter.state(),
            since_unix_ms: entry.since_unix_ms,
            answer: entry.last.as_ref().map(|last| last.answer.clone()),
            took_ms: entry.last.as_ref().map(|last| u64::try_from(last.took.as_millis()).unwrap_or(u64::MAX)),
            failures: entry.counter.failures(),
        })
    }
}

impl Entry {
    fn due_try(&self, index: usize) -> DueTry {
        DueTry { index, check: Arc::clone(self.counter.check()), turn: Arc::clone(&self.turn) }
    }

    fn reason(&self) -> StopReason {
        let answer = self.last.as_ref().map_or_else(|| "not tried yet".to_owned(), |last| last.answer.clone());
        let check = self.counter.check();
        StopReason::CheckFailed { kind: check.kind, check: check.to_string(), times: self.counter.failures(), answer }
    }
}

/// Startup checks first; the others once they have passed, and with them startup checks
/// that only warn and have not said their word yet.
fn is_wanted(counter: &AuthorCheck, starting: bool) -> bool {
    counter.check().kind == CheckKind::Startup || !starting
}

/// How a check is counted, for people: `every 5 s, 5 s for an answer, 3 failures in a row`.
fn rule(check: &HealthCheck) -> String {
    let mut parts = Vec::new();
    if let CheckAction::Http { statuses, content, .. } = &check.action {
        let statuses = statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ");
        let wanted = if statuses.is_empty() { "200 to 399".to_owned() } else { statuses };
        let content = content.as_ref().map(|content| format!(" and `{}` in it", model::text::clean(content, 40))).unwrap_or_default();
        parts.push(format!("expects {wanted}{content}"));
    }
    if let Some(port) = check.port {
        parts.push(format!("port {port}"));
    }
    parts.push(format!("every {} s", check.wait_s));
    parts.push(format!("{} s for an answer", check.timeout_s));
    if check.initial_delay_s > 0 {
        parts.push(format!("from {} s after the start", check.initial_delay_s));
    }
    parts.push(if check.attempts == 1 { "one failure counts".to_owned() } else { format!("{} failures in a row count", check.attempts) });
    if check.warn {
        parts.push("only told".to_owned());
    }
    parts.join(", ")
}

/// When a process without startup checks counts as started, if it has no port to ask.
pub(crate) fn stays_up_at(started: Mono) -> Mono {
    started + STAY_UP
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(text: &str) -> AppJson {
        AppJson::parse(text.as_bytes()).expect("app.json").0
    }

    fn boot(text: &str, process_type: &str) -> Boot {
        Boot::of(&app(text), &process_type.parse().expect("type"), Duration::from_mins(1))
    }

    #[test]
    fn the_authors_startup_checks_give_a_start_the_time_that_they_take() {
        let s = Duration::from_secs;
        assert_eq!(boot("{}", "web"), Boot { checked: true, by_author: false, timeout: s(60), ready_timeout: s(60) });
        assert!(!boot("{}", "worker").checked);
        let slow = r#"{"healthchecks": {"web": [{"type": "startup", "path": "/", "attempts": 30, "timeout": 5, "wait": 10, "initialDelay": 20},
            {"type": "readiness", "path": "/", "attempts": 2, "timeout": 1, "wait": 4}]}}"#;
        assert_eq!(boot(slow, "web"), Boot { checked: true, by_author: true, timeout: s(470), ready_timeout: s(480) });
        let warns = r#"{"healthchecks": {"worker": [{"type": "startup", "command": ["x"], "warn": true}]}}"#;
        assert!(!boot(warns, "worker").checked, "a warning decides nothing");
        let uptime = r#"{"healthchecks": {"worker": [{"type": "startup", "uptime": 300}]}}"#;
        assert_eq!(boot(uptime, "worker").timeout, s(330));
    }

    #[test]
    fn how_a_check_is_counted_is_told_in_words() {
        let text = r#"{"healthchecks": {"web": [
            {"type": "liveness", "path": "/x"},
            {"type": "readiness", "path": "/y", "status": [200, 204], "content": "ok", "attempts": 1, "initialDelay": 9, "warn": true},
            {"type": "liveness", "listening": true}]}}"#;
        let checks = RunChecks::new(&app(text), &ProcessType::web(), Mono::ZERO, Mono::ZERO, 0);
        let rules: Vec<String> = checks.observed().map(|check| format!("{}: {}", check.check, check.rule)).collect();
        insta::assert_snapshot!(rules.join("\n"), @r"
        GET /x: expects 200 to 399, every 5 s, 5 s for an answer, 3 failures in a row count
        GET /y: expects 200 or 204 and `ok` in it, every 5 s, 5 s for an answer, from 9 s after the start, one failure counts, only told
        listening: every 5 s, 5 s for an answer, 3 failures in a row count
        ");
    }
}
