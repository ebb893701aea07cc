//! Claims about the first minute, in figures alone.

use super::*;
use model::engine::LastEnd;
use model::{ExitStatus, StopReason};
use proptest::prelude::*;

const OLD: ReleaseVersion = ReleaseVersion(1);
const NEW: ReleaseVersion = ReleaseVersion(2);

fn traffic(requests: u64, errors: u64) -> Traffic {
    Traffic { requests, errors }
}

fn run(version: ReleaseVersion, number: u64) -> RunId {
    RunId { instance: InstanceId::parse(&"hello".parse().expect("app"), "web.1").expect("instance"), version, number }
}

fn seen(version: ReleaseVersion, phase: InstancePhase, restarts: u32) -> AppObserved {
    let run = run(version, 1);
    let end = LastEnd {
        run: run.clone(),
        status: ExitStatus::Code(1),
        reason: StopReason::Exited,
        at_unix_ms: 0,
        ran_ms: 300,
        last_lines: vec![],
        flight: model::FlightRecord::default(),
    };
    let instance = InstanceObserved {
        instance: run.instance.clone(),
        version,
        phase,
        run: None,
        port: None,
        shim_pid: None,
        since_unix_ms: 0,
        ready_after_ms: None,
        check: None,
        probe_status: None,
        checks: Vec::new(),
        status: None,
        hint: None,
        restarts,
        last_end: Some(end),
        next_start_unix_ms: None,
    };
    AppObserved { instances: vec![instance.into()], ..AppObserved::default() }
}

fn verdict(before: Option<Traffic>, migrated: bool, now: Traffic) -> Verdict {
    let before = Before { traffic: before, crashed: BTreeSet::new() };
    judge(&before, migrated, NEW, &seen(NEW, InstancePhase::Ready, 0), now)
}

#[test]
fn a_quarter_of_twenty_requests_undoes_a_release_whose_predecessor_did_better() {
    let rolls_back = |before, now| matches!(verdict(Some(before), false, now), Verdict::RollBack(_));
    for (before, now, expected) in [
        ((0, 0), (20, 5), true),
        ((0, 0), (19, 19), false),
        ((0, 0), (20, 4), false),
        ((100, 4), (20, 5), true),
        ((100, 5), (20, 20), false),
        ((1, 1), (20, 20), false),
        ((1_000, 0), (1_000, 249), false),
        ((1_000, 0), (1_000, 250), true),
        ((1_000, 0), (0, 0), false),
    ] {
        assert_eq!(rolls_back(traffic(before.0, before.1), traffic(now.0, now.1)), expected, "{before:?} {now:?}");
    }
    let Verdict::RollBack(why) = verdict(Some(traffic(100, 4)), false, traffic(40, 25)) else { panic!("rolled back") };
    assert_eq!(why, "25 of 40 requests were answered with 5xx, 4 of 100 before");
}

#[test]
fn errors_only_warn_after_a_migration_or_when_nobody_knows_how_it_was() {
    let why = "20 of 20 requests were answered with 5xx";
    assert_eq!(verdict(Some(traffic(0, 0)), true, traffic(20, 20)), Verdict::Warn(format!("{why}, 0 of 0 before")));
    assert_eq!(verdict(None, false, traffic(20, 20)), Verdict::Warn(why.to_owned()));
}

#[test]
fn a_crash_loop_undoes_a_release_unless_it_was_there_before() {
    let judged = |before: &Before, migrated, phase, restarts| judge(before, migrated, NEW, &seen(NEW, phase, restarts), Traffic::default());
    let well = Before::default();
    let why = "web.1 crashes again and again: exited 1 after 0.3 s".to_owned();
    assert_eq!(judged(&well, false, InstancePhase::Backoff, 3), Verdict::RollBack(why.clone()));
    assert_eq!(judged(&well, true, InstancePhase::Starting, 3), Verdict::RollBack(why));
    assert_eq!(judged(&well, false, InstancePhase::Starting, 2), Verdict::Well);
    assert_eq!(judged(&well, false, InstancePhase::Finished, 3), Verdict::Well);
    let crashed = Before::of(OLD, &seen(OLD, InstancePhase::Backoff, 9), None);
    assert_eq!(judged(&crashed, false, InstancePhase::Backoff, 3), Verdict::Well);
    assert_eq!(judge(&well, false, NEW, &seen(OLD, InstancePhase::Backoff, 9), Traffic::default()), Verdict::Well);
}

proptest! {
    #[test]
    fn a_tally_loses_nothing_that_the_router_told(steps in prop::collection::vec((1u64..4, 0u64..50, 0u64..50, any::<bool>()), 0..30)) {
        let mut tally = Tally::default();
        let mut router: BTreeMap<RunId, Traffic> = BTreeMap::new();
        let mut all = Traffic::default();
        for (number, well, ill, forgets) in steps {
            // A router that forgets a run is seen as such only if it tells less than before.
            if forgets {
                router.remove(&run(NEW, number));
            }
            let of = router.entry(run(NEW, number)).or_default();
            *of = traffic(of.requests + well + ill, of.errors + ill);
            let told = *of;
            let before = tally.runs.get(&run(NEW, number)).map(|(_, last)| *last).unwrap_or_default();
            if forgets && (told.requests >= before.requests && told.errors >= before.errors) {
                // Indistinguishable from a run that went on.
                all = traffic(all.requests + told.requests - before.requests, all.errors + told.errors - before.errors);
            } else {
                all = traffic(all.requests + well + ill, all.errors + ill);
            }
            router.insert(run(OLD, 9), traffic(1_000, 1_000));
            tally.read(NEW, &router);
            prop_assert_eq!(tally.total(), all);
        }
    }

    #[test]
    fn more_errors_never_make_a_release_look_better(requests in 0u64..2_000, errors in 0u64..2_000, before in 0u64..200, bad in 0u64..200) {
        let before = Some(traffic(before.max(bad), bad));
        let errors = errors.min(requests);
        let undone = |errors| matches!(verdict(before, false, traffic(requests, errors)), Verdict::RollBack(_));
        prop_assert!(!undone(errors) || undone(requests));
        prop_assert!(requests >= 20 || !undone(errors));
    }
}
