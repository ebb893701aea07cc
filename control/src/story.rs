//! What happened to an app's instances, told once: a pure comparison of what the
//! engine saw before and now. The lines go to `logs` (`paas[web.1]: …`) and, for what
//! a person should know later, to `events`.

use std::collections::{BTreeMap, BTreeSet};

use model::author::CheckKind;
use model::engine::{AppObserved, CheckObserved, CheckState, InstanceObserved, InstancePhase, LastEnd, LeftBehind};
use model::text::milliseconds;
use model::{InstanceId, PortHint, ReleaseVersion, RunId, StopReason};

use crate::limits::LEFT_PATHS_MAX;
use crate::store::EventCode;

/// What has been told already.
#[derive(Debug, Default)]
pub struct Story {
    seen: BTreeMap<(InstanceId, ReleaseVersion), Seen>,
    /// Paths of `/app` that runs were told to have left.
    left: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    phase: InstancePhase,
    run: Option<RunId>,
    last_end: Option<RunId>,
    /// Checks that fail and only warn.
    warnings: Vec<String>,
    /// A readiness check of its author keeps visitors away.
    kept_out: bool,
    hint: Option<PortHint>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// `web.1`.
    pub process: String,
    /// What happened.
    pub text: String,
    /// The event that it is kept as too, if something went wrong.
    pub trouble: Option<EventCode>,
}

impl Told {
    /// The text of the event: `web.1 restarted: liveness check GET /healthz failed 3 times (503) …`.
    pub fn event_text(&self) -> String {
        match self.text.strip_prefix("Restarting: ") {
            Some(why) => format!("{} restarted: {why}", self.process),
            // Some lines name the instance themselves.
            None if self.text.strip_prefix(&self.process).is_some_and(|rest| rest.starts_with(' ')) => self.text.clone(),
            None => format!("{}: {}", self.process, self.text),
        }
    }
}

impl Story {
    /// The lines for what changed since the last call. The first call after a server
    /// start tells nothing: what is found was told by the server before.
    pub fn tell(&mut self, observed: &AppObserved, silently: bool) -> Vec<Told> {
        let mut lines = Vec::new();
        let mut now = BTreeMap::new();
        for instance in &observed.instances {
            let key = (instance.instance.clone(), instance.version);
            let seen = Seen {
                phase: instance.phase,
                run: instance.run.clone(),
                last_end: instance.last_end.as_ref().map(|end| end.run.clone()),
                warnings: warnings(instance).map(|check| check.check.clone()).collect(),
                kept_out: instance.phase == InstancePhase::Unready && instance.keeps_out().is_some(),
                hint: instance.hint.clone(),
            };
            if !silently && self.seen.get(&key) != Some(&seen) {
                changes(self.seen.get(&key), instance, &mut lines);
            }
            now.insert(key, seen);
        }
        self.seen = now;
        for left in &observed.left {
            lines.extend(self.leavings(left));
        }
        lines
    }
}

impl Story {
    /// What a run left and lost, unless all of it was told of a run before: a restart every
    /// minute loses the same files each time.
    fn leavings(&mut self, left: &LeftBehind) -> Option<Told> {
        let is_news = left.leavings.paths().any(|path| !self.left.contains(path));
        if !is_news || self.left.len() >= LEFT_PATHS_MAX {
            return None;
        }
        self.left.extend(left.leavings.paths().map(str::to_owned));
        let keep = left.leavings.command(&left.instance.app).map(|command| format!("; from now on it stays with: {command}"));
        let text = format!("Left in /app and lost with the run: {}{}", left.leavings.told(), keep.unwrap_or_default());
        Some(Told { process: left.instance.name(), text, trouble: None })
    }
}

fn changes(before: Option<&Seen>, instance: &InstanceObserved, lines: &mut Vec<Told>) {
    let process = instance.instance.name();
    if let Some(end) = &instance.last_end
        && before.and_then(|b| b.last_end.as_ref()) != Some(&end.run)
    {
        let goes_on = !matches!(instance.phase, InstancePhase::Failed | InstancePhase::Down);
        let (text, trouble) = ended(end, goes_on);
        lines.push(Told { process: process.clone(), text, trouble });
        // What the doctor said while it lived was told then.
        let told = before.and_then(|b| b.hint.as_ref());
        if let Some(hint) = end.flight.hint.as_ref().filter(|hint| told != Some(hint)) {
            lines.push(diagnosis(&process, hint));
        }
        if end.flight.out_of_memory {
            lines.push(out_of_memory(&process));
        }
    }
    if let Some(hint) = instance.hint.as_ref().filter(|hint| before.and_then(|b| b.hint.as_ref()) != Some(hint)) {
        lines.push(diagnosis(&process, hint));
    }
    let phase_before = before.map_or(InstancePhase::Down, |b| b.phase);
    if phase_before != instance.phase
        && let Some(text) = entered(phase_before, before.is_some_and(|b| b.kept_out), instance)
    {
        let trouble = (instance.phase == InstancePhase::Stuck).then_some(EventCode::InstanceStuck);
        lines.push(Told { process: process.clone(), text, trouble });
    }
    let told: &[String] = before.map_or(&[], |b| &b.warnings);
    for check in warnings(instance).filter(|check| !told.contains(&check.check)) {
        lines.push(Told { process: process.clone(), text: format!("Warning: {}", check_words(check)), trouble: None });
    }
    let is_same_run = before.is_some_and(|b| b.run == instance.run);
    for over in told.iter().filter(|name| is_same_run && warnings(instance).all(|check| check.check != **name)) {
        lines.push(Told { process: process.clone(), text: format!("Passes again: {over}"), trouble: None });
    }
}

fn warnings(instance: &InstanceObserved) -> impl Iterator<Item = &CheckObserved> {
    instance.checks.iter().filter(|check| check.warn && check.state == CheckState::Failing)
}

/// `readiness check GET /ready failed 3 times (503)`.
fn check_words(check: &CheckObserved) -> String {
    let kind = check.kind.map_or("default", CheckKind::word);
    let answer = check.answer.as_deref().unwrap_or("not tried yet");
    match check.failures {
        0 => format!("{kind} check {} has not passed yet ({answer})", check.check),
        1 => format!("{kind} check {} failed 1 time ({answer})", check.check),
        times => format!("{kind} check {} failed {times} times ({answer})", check.check),
    }
}

/// `web.1 listens on 127.0.0.1:5000, not on $PORT=20017: start it with --port $PORT`
fn diagnosis(process: &str, hint: &PortHint) -> Told {
    Told { process: process.to_owned(), text: format!("{process} {hint}"), trouble: Some(EventCode::InstancePort) }
}

fn out_of_memory(process: &str) -> Told {
    let text = "Killed while the machine was out of memory: the kernel ended processes to free some".to_owned();
    Told { process: process.to_owned(), text, trouble: Some(EventCode::InstanceOutOfMemory) }
}

fn ended(end: &LastEnd, goes_on: bool) -> (String, Option<EventCode>) {
    let code = end.reason.code().map(|c| format!("Error {c}: ")).unwrap_or_default();
    let restarting = if goes_on { "Restarting: " } else { "" };
    let ran = milliseconds(end.ran_ms);
    match end.reason {
        StopReason::Exited => (format!("Process {} after {ran}", end.status), Some(EventCode::InstanceCrashed)),
        StopReason::Asked => (format!("Stopped ({})", end.status), None),
        StopReason::StopTimeout { .. } => (format!("{code}{} ({})", end.reason, end.status), Some(EventCode::InstanceCrashed)),
        StopReason::Silent { .. } | StopReason::BootTimeout { .. } | StopReason::CheckFailed { .. } | StopReason::Watchdog { .. } => {
            (format!("{code}{restarting}{} ({}, ran {ran})", end.reason, end.status), Some(EventCode::InstanceRestarted))
        }
        _ => (format!("{code}{restarting}{} ({}, ran {ran})", end.reason, end.status), Some(EventCode::InstanceCrashed)),
    }
}

/// What is told of a phase that an instance has come to.
fn entered(before: InstancePhase, kept_out: bool, instance: &InstanceObserved) -> Option<String> {
    Some(match instance.phase {
        InstancePhase::Starting => format!("Starting ({})", instance.version),
        InstancePhase::Ready if kept_out => "Passes its readiness checks, in the routes".to_owned(),
        InstancePhase::Ready if before == InstancePhase::Unready => "Answers again, back in the routes".to_owned(),
        InstancePhase::Ready => {
            let check = instance.check.as_ref().map(|c| format!(" ({c})")).unwrap_or_default();
            let after = instance.ready_after_ms.map(|ms| format!(" after {}", milliseconds(ms))).unwrap_or_default();
            format!("State changed from starting to up{after}{check}")
        }
        InstancePhase::Unready if let Some(check) = instance.keeps_out() => format!("Out of the routes: {}", check_words(check)),
        InstancePhase::Unready => "Silent: out of the routes until it answers, if another one is there".to_owned(),
        InstancePhase::Backoff => format!("State changed to crashed, restart {} follows", instance.restarts + 1),
        InstancePhase::Failed => "Failed, not started again".to_owned(),
        InstancePhase::Finished => "Finished: ended with 0 three times at once, not started again".to_owned(),
        InstancePhase::Stuck => "Stuck: does not end even after SIGKILL; its slot and ports stay taken".to_owned(),
        InstancePhase::Stopping => "Stopping with SIGTERM".to_owned(),
        InstancePhase::Draining | InstancePhase::Down => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use model::{ExitStatus, Leaving, Leavings};

    fn seen(phase: InstancePhase, run: u64, ended: Option<(u64, StopReason)>) -> AppObserved {
        let instance = InstanceId::parse(&"hello".parse().expect("app"), "web.1").expect("instance");
        let run_of = |number| RunId { instance: instance.clone(), version: ReleaseVersion(7), number };
        AppObserved {
            instances: vec![Arc::new(InstanceObserved {
                run: Some(run_of(run)),
                last_end: ended.map(|(number, reason)| LastEnd {
                    run: run_of(number),
                    status: ExitStatus::Signal { signal: 9, core: false },
                    reason,
                    at_unix_ms: 0,
                    ran_ms: 75_000,
                    last_lines: vec![],
                    flight: model::FlightRecord::default(),
                }),
                instance: instance.clone(),
                version: ReleaseVersion(7),
                phase,
                port: None,
                shim_pid: None,
                since_unix_ms: 0,
                ready_after_ms: Some(812),
                check: Some("GET / -> 200".to_owned()),
                probe_status: Some(200),
                checks: Vec::new(),
                status: None,
                hint: None,
                restarts: 1,
                next_start_unix_ms: None,
            })],
            left: Vec::new(),
        }
    }

    #[test]
    fn a_restart_for_silence_is_told_once_with_its_reason() {
        let mut story = Story::default();
        story.tell(&seen(InstancePhase::Ready, 1, None), false);
        let reason = StopReason::Silent { seconds: 60, probe: "GET / timed out".to_owned() };
        let after = seen(InstancePhase::Starting, 2, Some((1, reason)));
        let told: Vec<_> = story.tell(&after, false).into_iter().map(|t| t.text).collect();
        assert_eq!(told, ["Restarting: silent for 60 s (GET / timed out) (killed by SIGKILL, ran 75 s)", "Starting (v7)"]);
        assert_eq!(story.tell(&after, false), []);
    }

    fn check(kind: CheckKind, warn: bool, state: CheckState) -> CheckObserved {
        CheckObserved {
            check: "GET /healthz".to_owned(),
            kind: Some(kind),
            rule: String::new(),
            warn,
            state,
            since_unix_ms: 0,
            answer: Some("503".to_owned()),
            took_ms: Some(3),
            failures: if state == CheckState::Failing { 3 } else { 0 },
        }
    }

    #[test]
    fn what_the_authors_checks_lead_to_is_told_in_their_words() {
        let mut story = Story::default();
        story.tell(&seen(InstancePhase::Ready, 1, None), false);
        let answer = "503".to_owned();
        let reason = StopReason::CheckFailed { kind: CheckKind::Liveness, check: "GET /healthz".to_owned(), times: 3, answer };
        let told = story.tell(&seen(InstancePhase::Starting, 2, Some((1, reason))), false);
        assert_eq!(told[0].text, "Restarting: liveness check GET /healthz failed 3 times (503) (killed by SIGKILL, ran 75 s)");
        assert_eq!(told[0].event_text(), "web.1 restarted: liveness check GET /healthz failed 3 times (503) (killed by SIGKILL, ran 75 s)");
        let mut story = Story::default();
        let with = |phase, kind, warn, state| {
            let mut observed = seen(phase, 1, None);
            Arc::make_mut(&mut observed.instances[0]).checks.push(check(kind, warn, state));
            observed
        };
        let mut told = Vec::new();
        for (phase, kind, warn, state) in [
            (InstancePhase::Ready, CheckKind::Readiness, false, CheckState::Passing),
            (InstancePhase::Unready, CheckKind::Readiness, false, CheckState::Failing),
            (InstancePhase::Ready, CheckKind::Readiness, false, CheckState::Passing),
            (InstancePhase::Ready, CheckKind::Liveness, true, CheckState::Failing),
            (InstancePhase::Ready, CheckKind::Liveness, true, CheckState::Failing),
            (InstancePhase::Ready, CheckKind::Liveness, true, CheckState::Passing),
        ] {
            told.extend(story.tell(&with(phase, kind, warn, state), false).into_iter().map(|told| told.text));
        }
        assert_eq!(
            told[1..],
            [
                "Out of the routes: readiness check GET /healthz failed 3 times (503)",
                "Passes its readiness checks, in the routes",
                "Warning: liveness check GET /healthz failed 3 times (503)",
                "Passes again: GET /healthz",
            ]
        );
    }

    #[test]
    fn what_the_port_doctor_found_is_told_once_and_kept_as_an_event() {
        let hint =
            PortHint { found: "listens on 127.0.0.1:5000, not on $PORT=20017".to_owned(), fix: "start it with --port $PORT".to_owned() };
        let mut story = Story::default();
        let mut now = seen(InstancePhase::Starting, 1, None);
        story.tell(&now, false);
        Arc::make_mut(&mut now.instances[0]).hint = Some(hint.clone());
        let told = story.tell(&now, false);
        let text = "web.1 listens on 127.0.0.1:5000, not on $PORT=20017: start it with --port $PORT";
        assert_eq!(told, [Told { process: "web.1".to_owned(), text: text.to_owned(), trouble: Some(EventCode::InstancePort) }]);
        let mut after = seen(InstancePhase::Failed, 1, Some((1, StopReason::BootTimeout { seconds: 60 })));
        Arc::make_mut(&mut after.instances[0]).last_end.as_mut().expect("an end").flight.hint = Some(hint);
        assert!(!story.tell(&after, false).iter().any(|told| told.text.contains("listens on")), "told before");
    }

    #[test]
    fn what_runs_leave_is_told_once_and_again_when_it_is_something_else() {
        let left = |paths: &[&str]| {
            let found =
                paths.iter().map(|path| Leaving { path: (*path).to_owned(), is_folder: false, bytes: 10, files: 1, is_kept: false });
            let mut now = seen(InstancePhase::Ready, 1, None);
            let (instance, version) = (now.instances[0].instance.clone(), now.instances[0].version);
            now.left.push(LeftBehind { instance, version, leavings: Leavings::of(found.collect(), 0, &[]) });
            now
        };
        let mut story = Story::default();
        story.tell(&seen(InstancePhase::Ready, 1, None), false);
        let told = story.tell(&left(&["app.db"]), false);
        let text = "Left in /app and lost with the run: app.db (10 B); from now on it stays with: paas storage:keep app.db -a hello";
        assert_eq!(told, [Told { process: "web.1".to_owned(), text: text.to_owned(), trouble: None }]);
        assert_eq!(story.tell(&left(&["app.db"]), false), [], "the same of the next run");
        assert_eq!(story.tell(&left(&["app.db", "b"]), false).len(), 1, "there is more");
    }

    #[test]
    fn what_a_new_server_finds_is_not_told_again() {
        let mut story = Story::default();
        assert_eq!(story.tell(&seen(InstancePhase::Ready, 1, None), true), []);
        assert_eq!(story.tell(&seen(InstancePhase::Ready, 1, None), false), []);
    }
}
