use super::*;
use model::author::CheckAction;
use proptest::prelude::*;

fn s(seconds: u64) -> Mono {
    Duration::from_secs(seconds)
}

pub(crate) fn check(kind: CheckKind, attempts: u32, timeout_s: u32, wait_s: u32, initial_delay_s: u32) -> Arc<HealthCheck> {
    let action = CheckAction::Http { path: "/healthz".to_owned(), statuses: Vec::new(), content: None, headers: Vec::new() };
    Arc::new(HealthCheck { name: None, kind, action, port: None, attempts, timeout_s, wait_s, initial_delay_s, warn: false })
}

fn liveness() -> AuthorCheck {
    AuthorCheck::new(check(CheckKind::Liveness, 3, 5, 10, 0), s(0), s(0))
}

/// Tries once, at the moment that it wants, with an answer after a second.
#[track_caller]
fn once(check: &mut AuthorCheck, outcome: TryOutcome) -> Mono {
    let at = check.next_due().expect("due");
    assert!(check.begin(at), "a try at {at:?}");
    check.tried(at + s(1), outcome);
    at
}

#[test]
fn three_failures_in_a_row_fail_it_and_one_success_forgets_them() {
    let mut check = liveness();
    once(&mut check, TryOutcome::Passed);
    once(&mut check, TryOutcome::Failed);
    once(&mut check, TryOutcome::Failed);
    assert_eq!(check.state(), CheckState::Passing, "below the threshold nothing changes");
    once(&mut check, TryOutcome::Passed);
    assert_eq!(check.failures(), 0);
    for expected in [CheckState::Passing, CheckState::Passing, CheckState::Failing] {
        once(&mut check, TryOutcome::Failed);
        assert_eq!(check.state(), expected);
    }
    assert!(check.is_restart_due(check.since(), 0));
    once(&mut check, TryOutcome::Passed);
    assert_eq!(check.state(), CheckState::Passing);
}

#[test]
fn a_wait_counts_from_the_end_of_a_try_and_the_delay_from_the_start() {
    let mut late = AuthorCheck::new(check(CheckKind::Liveness, 3, 5, 10, 30), s(100), s(105));
    assert_eq!(late.next_due(), Some(s(130)));
    assert!(!late.begin(s(129)));
    assert!(late.begin(s(130)) && !late.begin(s(131)), "never two at a time");
    assert_eq!(late.next_due(), None);
    late.tried(s(134), TryOutcome::Failed);
    assert_eq!(late.next_due(), Some(s(144)));
    let past = AuthorCheck::new(check(CheckKind::Liveness, 3, 5, 10, 3), s(100), s(105));
    assert_eq!(past.next_due(), Some(s(105)));
}

#[test]
fn what_a_sleeping_machine_saw_is_thrown_away() {
    let mut check = liveness();
    once(&mut check, TryOutcome::Failed);
    once(&mut check, TryOutcome::Failed);
    let due = check.next_due().expect("due");
    assert!(!check.begin(due + s(600)), "the timer is late");
    assert_eq!((check.failures(), check.next_due()), (0, Some(due + s(610))));
    assert!(check.begin(due + s(610)));
    check.tried(due + s(617), TryOutcome::Failed);
    assert_eq!(check.failures(), 0, "it slept in the middle of a try");
    once(&mut check, TryOutcome::NotMade);
    assert_eq!((check.failures(), check.state()), (0, CheckState::Waiting));
}

#[test]
fn a_startup_check_says_its_word_once() {
    for (outcome, state) in [(TryOutcome::Passed, CheckState::Passing), (TryOutcome::Failed, CheckState::Failing)] {
        let mut startup = AuthorCheck::new(check(CheckKind::Startup, 1, 5, 10, 0), s(0), s(0));
        once(&mut startup, outcome);
        assert_eq!((startup.state(), startup.next_due(), startup.is_over()), (state, None, true));
    }
}

#[test]
fn restarts_that_do_not_cure_double_the_window_up_to_ten_minutes() {
    let check = check(CheckKind::Liveness, 3, 5, 10, 0);
    let windows: Vec<u64> = (0..7).map(|uncured| restart_window(&check, uncured).as_secs()).collect();
    assert_eq!(windows, [0, 90, 180, 360, 600, 600, 600]);
    assert_eq!(worst_case(&check), s(45));
}

#[test]
fn a_check_that_only_warns_restarts_nothing() {
    let warns = HealthCheck { warn: true, ..(*check(CheckKind::Liveness, 1, 5, 10, 0)).clone() };
    let mut warns = AuthorCheck::new(Arc::new(warns), s(0), s(0));
    once(&mut warns, TryOutcome::Failed);
    assert_eq!((warns.state(), warns.restart_due_at(0)), (CheckState::Failing, None));
}

/// The reference: the outcomes that counted, as a list.
fn reference(counted: &[bool], attempts: usize) -> CheckState {
    let mut state = CheckState::Waiting;
    for end in 1..=counted.len() {
        let failures = counted[..end].iter().rev().take_while(|passed| !**passed).count();
        if failures == 0 {
            state = CheckState::Passing;
        } else if failures >= attempts {
            state = CheckState::Failing;
        }
    }
    state
}

proptest! {
    #[test]
    fn it_counts_as_the_list_of_outcomes_says(
        attempts in 1_u32..5,
        wait in 1_u32..20,
        story in proptest::collection::vec((0_u8..4, 0_u64..4_000, 0_u64..8_000), 0..80),
    ) {
        let mut subject = AuthorCheck::new(check(CheckKind::Liveness, attempts, 5, wait, 0), s(0), s(0));
        let mut counted = Vec::new();
        let mut now = s(0);
        for (choice, late_ms, took_ms) in story {
            let due = subject.next_due().expect("nothing is under way");
            prop_assert!(due >= now, "never before the wait is over");
            now = due + Duration::from_millis(late_ms);
            if !subject.begin(now) {
                prop_assert!(now > due + TIMER_LATE);
                // A late timer forgets what was counted in this row.
                while counted.last() == Some(&false) && subject.state() != CheckState::Failing {
                    counted.pop();
                }
                prop_assert_eq!(subject.failures(), 0);
                continue;
            }
            prop_assert_eq!((subject.begin(now), subject.next_due()), (false, None), "never two tries at a time");
            let sent = now;
            now += Duration::from_millis(took_ms);
            let outcome = [TryOutcome::Passed, TryOutcome::Failed, TryOutcome::Failed, TryOutcome::NotMade][usize::from(choice)];
            let before = subject.state();
            let changed = subject.tried(now, outcome);
            prop_assert_eq!(changed, subject.state() != before);
            let slept = now > sent + s(5) + TIMER_LATE;
            match outcome {
                TryOutcome::Passed => counted.push(true),
                TryOutcome::Failed if slept => {
                    while counted.last() == Some(&false) && subject.state() != CheckState::Failing {
                        counted.pop();
                    }
                }
                TryOutcome::Failed => counted.push(false),
                TryOutcome::NotMade => {}
            }
            if subject.state() != CheckState::Failing || subject.failures() > 0 {
                prop_assert_eq!(subject.state(), reference(&counted, usize::try_from(attempts).expect("small")));
            }
            prop_assert!(subject.failures() < attempts || subject.state() == CheckState::Failing);
            prop_assert_eq!(subject.next_due(), Some(now + seconds(wait)));
        }
    }
}
