//! The table as people read it: every state, every event, what follows.

use std::fmt::Write;

use super::*;
use InstanceEvent as E;

const NOW: Mono = Duration::from_secs(1_000);
const PAST: Mono = Duration::from_secs(999);

fn states() -> Vec<(&'static str, State, bool)> {
    let stopping = |running: bool, killed| Stopping { until: running.then_some(PAST), killed, after: After::Crash, cause: Cause::Silent };
    vec![
        ("down", State::Down, false),
        ("starting, no run yet", State::Starting(None), false),
        ("starting, deadline passed", State::Starting(Some(PAST)), true),
        ("ready", State::Ready, true),
        ("unready", State::Unready, true),
        ("draining", State::Draining(PAST, After::Crash, Cause::Silent), true),
        ("stopping, no run yet", State::Stopping(stopping(false, false)), false),
        ("stopping, grace over", State::Stopping(stopping(true, false)), true),
        ("stopping, killed", State::Stopping(stopping(true, true)), true),
        ("stuck", State::Stuck(After::Crash, Cause::Silent), true),
        ("backoff, due", State::Backoff(PAST), false),
        ("failed", State::Failed, false),
        ("finished", State::Finished, false),
    ]
}

fn events() -> Vec<(&'static str, E)> {
    let adopted = |phase| E::Adopted { phase, age: Duration::from_secs(1) };
    vec![
        ("up", E::Up),
        ("down", E::Down),
        ("restart", E::Restart),
        ("adopted starting", adopted(AdoptedPhase::Starting)),
        ("adopted ready", adopted(AdoptedPhase::Ready)),
        ("adopted unready", adopted(AdoptedPhase::Unready)),
        ("adopted stopping", adopted(AdoptedPhase::Stopping)),
        ("started", E::Started),
        ("start failed", E::StartFailed { random: 0 }),
        ("passed", E::Passed),
        ("passed, not ready", E::PassedNotReady),
        ("startup failed", E::StartupFailed),
        ("not ready", E::NotReady),
        ("silent", E::Unhealthy(Cause::Silent)),
        ("unwell", E::Unhealthy(Cause::Unwell)),
        ("watchdog", E::Unhealthy(Cause::Watchdog)),
        ("released", E::Released),
        ("gone", E::Gone { exit_zero: false, random: 0 }),
        ("tick", E::Tick),
    ]
}

/// A web instance of the release that serves, which crashed often enough to be made to wait.
fn life(state: State, running: bool) -> Lifecycle {
    let mut backoff = Backoff::default();
    for _ in 0..3 {
        backoff.after_crash(Duration::ZERO, 0);
    }
    let ready_at = matches!(state, State::Ready | State::Unready).then_some(PAST);
    Lifecycle { state, running, was_routed: running, backoff, ready_at, ..Lifecycle::new(true, Duration::from_mins(1)) }
}

fn words(effects: Effects) -> String {
    let mut words = String::new();
    if effects.abort {
        words.push_str(", SIGABRT");
    }
    if let Some(grace) = effects.stop {
        let _ = write!(words, ", SIGTERM with {} s", grace.as_secs());
    }
    if effects.kill {
        words.push_str(", SIGKILL");
    }
    if effects.start {
        words.push_str(", start");
    }
    words
}

#[test]
fn every_pair_of_state_and_event_has_its_answer() {
    let mut table = String::new();
    for (name, state, running) in states() {
        let _ = writeln!(table, "{name}");
        let mut ignored = Vec::new();
        for (event_name, event) in events() {
            let mut life = life(state, running);
            let effects = life.on_event(NOW, event);
            if life.state() == state && effects == Effects::NONE {
                ignored.push(event_name);
                continue;
            }
            let what_next = life.cause().map_or(String::new(), |cause| format!(" ({cause:?})"));
            let _ = writeln!(table, "  {event_name} -> {:?}{what_next}{}", life.phase(), words(effects));
        }
        let _ = writeln!(table, "  nothing: {}", ignored.join("; "));
    }
    insta::assert_snapshot!(table);
}
