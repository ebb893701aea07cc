use super::*;
use InstanceEvent as E;
use proptest::prelude::*;

fn s(seconds: u64) -> Mono {
    Duration::from_secs(seconds)
}

const GONE: E = E::Gone { exit_zero: false, random: 0 };
const DONE: E = E::Gone { exit_zero: true, random: 0 };

fn web() -> Lifecycle {
    let mut life = Lifecycle::new(true, s(60));
    life.set_mode(false, false);
    life
}

fn serving() -> Lifecycle {
    let mut life = web();
    for (at, event) in [(0, E::Up), (0, E::Started), (1, E::Passed)] {
        life.on_event(s(at), event);
    }
    life.set_mode(false, true);
    assert_eq!(life.phase(), InstancePhase::Ready);
    life
}

#[test]
fn a_web_instance_is_ready_when_it_answers() {
    let mut life = web();
    assert_eq!(life.on_event(s(0), E::Up), Effects::START);
    assert_eq!(life.on_event(s(1), E::Passed), Effects::NONE, "an answer before its start is somebody else's");
    assert_eq!(life.phase(), InstancePhase::Starting);
    life.on_event(s(2), E::Started);
    life.on_event(s(3), E::Passed);
    assert_eq!(life.phase(), InstancePhase::Ready);
}

#[test]
fn a_boot_timeout_kills_and_counts_as_a_crash() {
    let mut life = web();
    life.on_event(s(0), E::Up);
    life.on_event(s(5), E::Started);
    assert_eq!(life.on_event(s(64), E::Tick), Effects::NONE);
    assert_eq!(life.on_event(s(65), E::Tick), Effects::KILL);
    assert_eq!(life.cause(), Some(Cause::BootTimeout));
    assert_eq!(life.on_event(s(66), GONE), Effects::START);
    assert_eq!(life.restarts(), 1);
}

#[test]
fn a_process_without_a_port_is_ready_after_ten_seconds() {
    let mut life = Lifecycle::new(false, s(60));
    life.on_event(s(0), E::Up);
    life.on_event(s(0), E::Started);
    life.on_event(s(9), E::Tick);
    assert_eq!(life.phase(), InstancePhase::Starting);
    life.on_event(s(10), E::Tick);
    assert_eq!(life.phase(), InstancePhase::Ready);
}

#[test]
fn three_quick_exits_with_zero_are_the_end_of_it() {
    for candidate in [false, true] {
        let mut life = Lifecycle::new(false, s(60));
        life.set_mode(candidate, false);
        life.on_event(s(0), E::Up);
        for _ in 0..2 {
            life.on_event(s(0), E::Started);
            assert_eq!(life.on_event(s(2), DONE), Effects::START);
        }
        life.on_event(s(2), E::Started);
        assert_eq!(life.on_event(s(3), DONE), Effects::NONE);
        assert_eq!(life.phase(), InstancePhase::Finished);
        assert_eq!(life.on_event(s(4), E::Restart), Effects::START);
    }
}

#[test]
fn a_candidate_that_crashes_has_failed() {
    let mut life = web();
    life.set_mode(true, false);
    life.on_event(s(0), E::Up);
    life.on_event(s(0), E::Started);
    assert_eq!(life.on_event(s(1), GONE), Effects::NONE);
    assert_eq!(life.phase(), InstancePhase::Failed);
    life.on_event(s(2), E::Down);
    assert_eq!(life.phase(), InstancePhase::Down);
}

#[test]
fn a_serving_instance_is_drained_before_sigterm_and_killed_after_its_grace() {
    let mut life = serving();
    assert_eq!(life.on_event(s(100), E::Down), Effects::NONE);
    assert_eq!(life.phase(), InstancePhase::Draining);
    assert_eq!(life.on_event(s(103), E::Released), Effects::stop(STOP_GRACE));
    // The shim kills at 133 and notes it; only one that did not is overtaken.
    assert_eq!(life.on_event(s(133), E::Tick), Effects::NONE);
    assert_eq!(life.on_event(s(134), E::Tick), Effects::KILL);
    assert_eq!(life.on_event(s(144), E::Tick), Effects::NONE);
    assert_eq!(life.phase(), InstancePhase::Stuck);
    assert!(life.is_occupied(), "its place stays taken");
    life.on_event(s(500), GONE);
    assert_eq!(life.phase(), InstancePhase::Down);
}

#[test]
fn a_router_that_never_answers_delays_a_stop_by_ten_seconds() {
    let mut life = serving();
    life.on_event(s(100), E::Restart);
    assert_eq!(life.on_event(s(110), E::Tick), Effects::stop(STOP_GRACE));
    assert_eq!(life.on_event(s(111), GONE), Effects::START);
    assert_eq!(life.restarts(), 0, "it was asked for");
}

#[test]
fn an_instance_that_was_never_routed_is_not_drained() {
    let mut life = web();
    for (at, event) in [(0, E::Up), (0, E::Started), (1, E::Passed)] {
        life.on_event(s(at), event);
    }
    assert_eq!(life.on_event(s(2), E::Down), Effects::stop(STOP_GRACE));
}

#[test]
fn a_silent_instance_is_gone_within_five_seconds_even_if_its_shim_does_nothing() {
    let mut life = serving();
    life.on_event(s(90), E::Unhealthy(Cause::Silent));
    assert_eq!(life.on_event(s(92), E::Tick), Effects::stop(SILENT_STOP_GRACE));
    assert_eq!(life.on_event(s(94), E::Tick), Effects::NONE, "the shim kills now");
    assert_eq!(life.on_event(s(95), E::Tick), Effects::KILL);
    assert_eq!(life.on_event(s(95), GONE), Effects::START);
    assert_eq!((life.restarts(), life.uncured()), (1, 1));
}

#[test]
fn a_run_that_comes_too_late_is_stopped() {
    let mut life = web();
    life.on_event(s(0), E::Up);
    assert_eq!(life.on_event(s(1), E::Down), Effects::NONE);
    assert_eq!(life.next_timer(), None, "there is nothing to kill yet");
    assert_eq!(life.on_event(s(2), E::Started), Effects::stop(STOP_GRACE));
    life.on_event(s(3), GONE);
    assert_eq!(life.phase(), InstancePhase::Down);
}

#[test]
fn the_last_wish_wins_while_it_stops() {
    let mut life = serving();
    for event in [E::Down, E::Released, E::Up] {
        life.on_event(s(100), event);
    }
    assert_eq!(life.on_event(s(101), GONE), Effects::START);
}

#[test]
fn crashes_wait_longer_and_longer_and_a_restart_on_request_forgets_them() {
    let mut life = web();
    life.on_event(s(0), E::Up);
    for _ in 0..3 {
        life.on_event(s(0), E::Started);
        assert_eq!(life.on_event(s(0), GONE), Effects::START);
    }
    life.on_event(s(0), E::Started);
    assert_eq!(life.on_event(s(0), GONE), Effects::NONE);
    assert_eq!((life.phase(), life.next_timer()), (InstancePhase::Backoff, Some(s(1))));
    assert_eq!(life.on_event(s(1), E::Tick), Effects::START);
    life.on_event(s(1), E::Started);
    life.on_event(s(1), GONE);
    assert_eq!(life.next_timer(), Some(s(3)));
    assert_eq!(life.on_event(s(1), E::Restart), Effects::START);
    life.on_event(s(1), E::Started);
    assert_eq!(life.on_event(s(1), GONE), Effects::START);
}

#[test]
fn an_adopted_instance_is_in_the_phase_it_was_in() {
    for (phase, expected) in [
        (AdoptedPhase::Starting, InstancePhase::Starting),
        (AdoptedPhase::Ready, InstancePhase::Ready),
        (AdoptedPhase::Stopping, InstancePhase::Stopping),
    ] {
        let mut life = web();
        let effects = life.on_event(s(0), E::Adopted { phase, age: s(1_000) });
        assert!(!effects.start);
        assert_eq!(life.phase(), expected);
    }
}

#[test]
fn a_worker_that_says_it_is_ready_does_not_wait_for_ten_seconds() {
    let mut life = Lifecycle::new(false, s(60));
    for (at, event) in [(0, E::Up), (0, E::Started), (1, E::Passed)] {
        life.on_event(s(at), event);
    }
    assert_eq!(life.phase(), InstancePhase::Ready);
}

#[test]
fn a_worker_with_startup_checks_is_not_ready_by_staying_up() {
    let mut life = Lifecycle::new(false, s(60));
    life.set_boot(true, s(30), s(30));
    life.on_event(s(0), E::Up);
    life.on_event(s(0), E::Started);
    assert_eq!(life.on_event(s(29), E::Tick), Effects::NONE);
    assert_eq!(life.phase(), InstancePhase::Starting);
    assert_eq!(life.on_event(s(30), E::Tick), Effects::KILL);
}

#[test]
fn a_failed_startup_check_ends_the_start_of_a_candidate() {
    let mut life = web();
    life.set_mode(true, false);
    life.on_event(s(0), E::Up);
    assert_eq!(life.on_event(s(0), E::StartupFailed), Effects::NONE, "there is no run yet that could fail");
    life.on_event(s(0), E::Started);
    assert_eq!(life.on_event(s(9), E::StartupFailed), Effects::KILL);
    assert_eq!(life.cause(), Some(Cause::StartupFailed));
    life.on_event(s(9), GONE);
    assert_eq!(life.phase(), InstancePhase::Failed);
}

#[test]
fn a_candidate_that_never_gets_ready_ends_and_one_that_serves_waits() {
    for candidate in [true, false] {
        let mut life = web();
        life.set_mode(candidate, !candidate);
        life.set_boot(true, s(60), s(90));
        for (at, event) in [(0, E::Up), (0, E::Started), (1, E::PassedNotReady)] {
            life.on_event(s(at), event);
        }
        assert_eq!(life.phase(), InstancePhase::Unready);
        assert_eq!(life.next_timer(), candidate.then_some(s(90)));
        let effects = life.on_event(s(90), E::Tick);
        assert_eq!(effects, if candidate { Effects::KILL } else { Effects::NONE });
        assert_eq!(life.cause(), candidate.then_some(Cause::NeverReady));
    }
}

#[test]
fn one_that_answers_is_drained_and_stopped_with_patience_and_a_missed_watchdog_aborts() {
    for (cause, drained_at, effects) in [
        (Cause::Unwell, 110, Effects::stop(STOP_GRACE)),
        (Cause::Silent, 102, Effects::stop(SILENT_STOP_GRACE)),
        (Cause::Watchdog, 102, Effects { abort: true, ..Effects::stop(SILENT_STOP_GRACE) }),
    ] {
        let mut life = serving();
        assert_eq!(life.on_event(s(100), E::Unhealthy(cause)), Effects::NONE);
        assert_eq!(life.next_timer(), Some(s(drained_at)));
        assert_eq!(life.on_event(s(drained_at), E::Tick), effects);
        assert_eq!(life.on_event(s(drained_at), GONE), Effects::START);
        assert_eq!((life.restarts(), life.uncured()), (1, 1));
    }
}

#[test]
fn a_hundred_that_crash_together_do_not_restart_in_step() {
    let mut random = 7_u64;
    let mut lives = vec![web(); 100];
    for life in &mut lives {
        life.on_event(s(0), E::Up);
    }
    let mut starts = vec![s(0); 100];
    for round in 0..10 {
        for (life, start) in lives.iter_mut().zip(&mut starts) {
            life.on_event(*start, E::Started);
            // xorshift: any spread of numbers will do.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            life.on_event(*start, E::Gone { exit_zero: false, random });
            if let Some(due) = life.next_timer() {
                *start = due;
                assert_eq!(life.on_event(due, E::Tick), Effects::START);
            }
        }
        let mut slices: std::collections::BTreeMap<u128, usize> = std::collections::BTreeMap::new();
        for start in &starts {
            *slices.entry(start.as_millis() / 100).or_default() += 1;
        }
        let most = slices.into_values().max().unwrap_or(0);
        let wait_slices = [100, 100, 100, 60, 40, 30][round.min(5)];
        assert!(most <= wait_slices, "round {round}: {most} of 100 start within 100 ms");
    }
}

/// The reference: which phases may follow, written down once more and without time.
fn may_follow(before: InstancePhase, event: E) -> &'static [InstancePhase] {
    use InstancePhase as P;
    match (before, event) {
        (P::Down, E::Up) => &[P::Starting],
        (P::Failed | P::Finished, E::Up | E::Restart) => &[P::Starting],
        (P::Failed | P::Finished | P::Backoff, E::Down) => &[P::Down],
        (P::Backoff, E::Restart) => &[P::Starting],
        (P::Backoff, E::Tick) => &[P::Starting, P::Backoff],
        (P::Starting, E::Passed) => &[P::Ready],
        (P::Starting, E::PassedNotReady) => &[P::Unready],
        (P::Starting, E::StartupFailed) => &[P::Stopping],
        (P::Unready, E::Tick) => &[P::Stopping],
        (P::Starting, E::Tick) => &[P::Starting, P::Ready, P::Stopping],
        (P::Starting, E::Down) => &[P::Stopping],
        (P::Starting, E::Restart) => &[P::Starting, P::Stopping],
        (P::Starting, E::StartFailed { .. }) => &[P::Starting, P::Backoff, P::Failed],
        (P::Starting | P::Ready | P::Unready, E::Gone { .. }) => &[P::Starting, P::Backoff, P::Failed, P::Finished],
        (P::Ready, E::NotReady) => &[P::Unready],
        (P::Unready, E::Passed) => &[P::Ready],
        (P::Ready | P::Unready, E::Down | E::Restart | E::Unhealthy(_)) => &[P::Draining, P::Stopping],
        (P::Draining, E::Released) => &[P::Stopping],
        (P::Draining, E::Tick) => &[P::Draining, P::Stopping],
        (P::Stopping, E::Tick) => &[P::Stopping, P::Stuck],
        (P::Draining | P::Stuck | P::Stopping, E::Gone { .. }) => &[P::Down, P::Starting, P::Backoff, P::Failed],
        (P::Stopping, E::StartFailed { .. }) => &[P::Down, P::Starting, P::Backoff, P::Failed],
        _ => &[],
    }
}

/// The run that belongs to the instance, as the world would have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    None,
    BeingStarted,
    Alive { told_at: Option<Mono>, killed: bool },
}

fn event_of(choice: u8, run: Run, random: u64) -> E {
    match (choice % 15, run) {
        (0, _) => E::Up,
        (1, _) => E::Down,
        (2, _) => E::Restart,
        (3, Run::BeingStarted) => E::StartFailed { random },
        (4 | 5, Run::BeingStarted) => E::Started,
        (3, Run::Alive { .. }) => E::Gone { exit_zero: random.is_multiple_of(2), random },
        (6, _) => E::Passed,
        (7, _) => E::NotReady,
        (8, _) => E::Unhealthy([Cause::Silent, Cause::Unwell, Cause::Watchdog][usize::try_from(random % 3).expect("small")]),
        (9, _) => E::Released,
        (10, _) => E::PassedNotReady,
        (11, _) => E::StartupFailed,
        _ => E::Tick,
    }
}

proptest! {
    #[test]
    fn it_keeps_its_promises_whatever_happens(
        is_web: bool,
        has_checks: bool,
        story in proptest::collection::vec((any::<u8>(), 0_u64..40, any::<u64>(), any::<bool>(), any::<bool>()), 1..200),
    ) {
        let mut life = Lifecycle::new(is_web, s(60));
        let checked = is_web || has_checks;
        life.set_boot(checked, s(60), s(90));
        let mut run = Run::None;
        let mut now = s(0);
        let mut since_start = s(0);
        let mut was_ready = false;
        for (choice, pause, random, candidate, routed) in story {
            now += s(pause);
            life.set_mode(candidate, routed);
            let event = event_of(choice, run, random);
            let before = life.phase();
            let effects = life.on_event(now, event);
            let after = life.phase();
            let allowed = may_follow(before, event);
            prop_assert!(after == before || allowed.contains(&after), "{before:?} {event:?} {after:?}");
            if after == InstancePhase::Ready && before != after {
                let stayed_up = event == E::Tick && !checked && now >= since_start + STAY_UP;
                prop_assert!(event == E::Passed || stayed_up, "nobody is routed before a check has passed");
                was_ready = true;
            }
            if (event, before) == (E::Tick, InstancePhase::Unready) {
                let overdue = candidate && !was_ready && now >= since_start + s(90);
                prop_assert_eq!(after == InstancePhase::Stopping, overdue, "a candidate is ready in time or ends");
            }
            if before == InstancePhase::Down && event != E::Up {
                prop_assert_eq!((after, effects), (before, Effects::NONE), "nothing is done after Down");
            }
            if matches!(event, E::Started) && run == Run::BeingStarted {
                (since_start, was_ready) = (now, false);
            }
            match event {
                E::Started => run = Run::Alive { told_at: None, killed: false },
                E::StartFailed { .. } | E::Gone { .. } => run = Run::None,
                _ => {}
            }
            if effects.start {
                prop_assert_eq!(run, Run::None, "never two runs");
                run = Run::BeingStarted;
            }
            if let Run::Alive { told_at, killed } = &mut run {
                if effects.stop.is_some() {
                    told_at.get_or_insert(now);
                }
                if effects.kill {
                    *killed = true;
                }
                if let (E::Tick, Some(told), false) = (event, *told_at, *killed) {
                    prop_assert!(now < told + STOP_GRACE + SHIM_KILL_MARGIN, "a shim that does not kill is overtaken");
                }
            } else {
                prop_assert!(effects.stop.is_none() && !effects.kill, "nothing to signal");
            }
            prop_assert_eq!(life.is_occupied(), run != Run::None);
            prop_assert!(!effects.abort || effects.stop == Some(SILENT_STOP_GRACE), "an abort is the first step of a stop");
            let waits = matches!(after, InstancePhase::Draining | InstancePhase::Backoff)
                || (matches!(after, InstancePhase::Starting | InstancePhase::Stopping) && matches!(run, Run::Alive { .. }));
            prop_assert!(!waits || life.next_timer().is_some(), "every wait has its end: {after:?}");
            if after == InstancePhase::Draining {
                prop_assert!(is_web && life.next_timer().is_some());
            }
        }
        // From anywhere, Down leads to Down once the run obeys.
        life.on_event(now, E::Down);
        if run == Run::BeingStarted {
            life.on_event(now, E::Started);
        }
        if life.is_occupied() {
            life.on_event(now + s(100), E::Tick);
            life.on_event(now + s(200), E::Tick);
            life.on_event(now + s(201), GONE);
        }
        prop_assert_eq!(life.phase(), InstancePhase::Down);
        prop_assert_eq!(life.on_event(now + s(999), E::Tick), Effects::NONE);
    }
}
