//! Claims about the switch, in releases and observations alone.

use super::*;
use model::{ExitStatus, InstanceId, RunId, StopReason};

const OLD: ReleaseVersion = ReleaseVersion(1);
const NEW: ReleaseVersion = ReleaseVersion(2);

fn formation(counts: &[(&str, u32)]) -> Formation {
    Formation(counts.iter().map(|(t, n)| (t.parse().expect("type"), *n)).collect())
}

fn rollout(old: Option<&[(&str, u32)]>, new: &[(&str, u32)], release_phase: bool) -> Rollout {
    Rollout::new(RolloutPlan {
        old: old.map(|_| OLD),
        old_formation: formation(old.unwrap_or(&[])),
        new: NEW,
        new_formation: formation(new),
        overlap: [ProcessType::web()].into(),
        swap_web: false,
        phases: if release_phase { vec![Phase::Release, Phase::Predeploy] } else { vec![] },
        refuse_5xx: old.is_some(),
    })
}

fn instance(name: &str, version: ReleaseVersion, phase: InstancePhase) -> InstanceObserved {
    let id = InstanceId::parse(&"hello".parse().expect("app"), name).expect("instance");
    let alive = !matches!(phase, InstancePhase::Down | InstancePhase::Failed | InstancePhase::Backoff);
    let run = RunId { instance: id.clone(), version, number: 1 };
    InstanceObserved {
        last_end: (phase == InstancePhase::Failed).then(|| LastEnd {
            run: run.clone(),
            status: ExitStatus::Code(3),
            reason: StopReason::Exited,
            at_unix_ms: 0,
            ran_ms: 10,
            last_lines: vec![],
            flight: model::FlightRecord::default(),
        }),
        instance: id,
        version,
        phase,
        run: alive.then_some(run),
        port: None,
        shim_pid: None,
        since_unix_ms: 0,
        ready_after_ms: Some(800),
        check: Some("GET / -> 200".to_owned()),
        probe_status: Some(200),
        checks: Vec::new(),
        status: None,
        hint: None,
        restarts: 0,
        next_start_unix_ms: None,
    }
}

fn see(rollout: &mut Rollout, instances: &[(&str, ReleaseVersion, InstancePhase)]) -> Vec<RolloutAction> {
    let observed =
        AppObserved { instances: instances.iter().map(|(n, v, p)| instance(n, *v, *p).into()).collect(), ..AppObserved::default() };
    let mut actions = rollout.on_event(RolloutEvent::Observed(&observed));
    actions.retain(|a| !matches!(a, RolloutAction::Say(_)));
    actions
}

fn modes(old: ReleaseMode, new: ReleaseMode) -> RolloutAction {
    RolloutAction::SetModes { old, new }
}

use InstancePhase::{Down, Failed, Ready, Starting, Stopping};

#[test]
fn a_first_web_release_flips_when_every_instance_is_ready() {
    let mut rollout = rollout(None, &[("web", 2), ("worker", 0)], false);
    let start = rollout.on_event(RolloutEvent::Start);
    assert_eq!(start[0], RolloutAction::Say(Told::Starting(vec!["web.1".to_owned(), "web.2".to_owned()])));
    assert_eq!(see(&mut rollout, &[("web.1", NEW, Ready), ("web.2", NEW, Starting)]), []);
    assert_eq!(see(&mut rollout, &[("web.1", NEW, Ready), ("web.2", NEW, Ready)]), [RolloutAction::Flip]);
    let done = rollout.on_event(RolloutEvent::Stored(Ok(())));
    assert_eq!(done, [modes(ReleaseMode::Retire, ReleaseMode::Serve), RolloutAction::Succeeded]);
}

#[test]
fn only_web_overlaps_and_traffic_flips_last() {
    let mut rollout = rollout(Some(&[("bot", 1), ("web", 1)]), &[("bot", 1), ("web", 1)], false);
    let start = rollout.on_event(RolloutEvent::Start);
    assert_eq!(start[1], modes(ReleaseMode::Serve, ReleaseMode::Prepare));
    let both =
        |old_bot, new_web, new_bot| [("web.1", OLD, Ready), ("bot.1", OLD, old_bot), ("web.1", NEW, new_web), ("bot.1", NEW, new_bot)];
    assert_eq!(see(&mut rollout, &both(Ready, Starting, Down)), []);
    assert_eq!(see(&mut rollout, &both(Ready, Ready, Down)), [modes(ReleaseMode::Yield, ReleaseMode::Handover)]);
    assert_eq!(see(&mut rollout, &both(Stopping, Ready, Ready)), [], "the old bot is still alive");
    assert_eq!(see(&mut rollout, &both(Down, Ready, Starting)), []);
    assert_eq!(see(&mut rollout, &both(Down, Ready, Ready)), [RolloutAction::Flip]);
}

#[test]
fn a_crash_before_the_flip_brings_the_old_release_back_in_full() {
    let mut rollout = rollout(Some(&[("bot", 1), ("web", 1)]), &[("bot", 1), ("web", 1)], false);
    rollout.on_event(RolloutEvent::Start);
    see(&mut rollout, &[("web.1", NEW, Ready)]);
    let actions = see(&mut rollout, &[("web.1", NEW, Ready), ("bot.1", NEW, Failed)]);
    assert_eq!(
        actions,
        [modes(ReleaseMode::Serve, ReleaseMode::Retire), RolloutAction::Failed("bot.1 exited 3 before it was ready".to_owned())]
    );
    assert_eq!(see(&mut rollout, &[("bot.1", NEW, Ready)]), [], "a late observation changes nothing");
}

#[test]
fn a_failed_release_phase_starts_nothing() {
    let mut rollout = rollout(Some(&[("web", 1)]), &[("web", 1)], true);
    assert_eq!(rollout.on_event(RolloutEvent::Start), [RolloutAction::RunPhase(Phase::Release)]);
    let actions = rollout.on_event(RolloutEvent::PhaseEnded(Err("release exited 1".to_owned())));
    assert_eq!(actions, [RolloutAction::Failed("release exited 1".to_owned())]);
}

#[test]
fn a_predeploy_follows_the_release_phase_and_nothing_starts_before_its_end() {
    let mut rollout = rollout(Some(&[("web", 1)]), &[("web", 1)], true);
    rollout.on_event(RolloutEvent::Start);
    assert_eq!(rollout.on_event(RolloutEvent::PhaseEnded(Ok(()))), [RolloutAction::RunPhase(Phase::Predeploy)]);
    assert!(see(&mut rollout, &[("web.1", OLD, Ready)]).is_empty());
    let actions = rollout.on_event(RolloutEvent::PhaseEnded(Ok(())));
    assert_eq!(actions.last(), Some(&modes(ReleaseMode::Serve, ReleaseMode::Prepare)));
}

#[test]
fn a_cancelled_release_phase_is_waited_for_however_it_ends() {
    for ended in [Ok(()), Err("killed".to_owned())] {
        let mut rollout = rollout(Some(&[("web", 1)]), &[("web", 1)], true);
        rollout.on_event(RolloutEvent::Start);
        assert_eq!(rollout.on_event(RolloutEvent::Cancelled("cancelled".to_owned())), []);
        let actions = rollout.on_event(RolloutEvent::PhaseEnded(ended));
        assert_eq!(actions, [RolloutAction::Failed("cancelled".to_owned())]);
    }
}

#[test]
fn an_app_without_web_goes_straight_to_its_workers() {
    let mut rollout = rollout(None, &[("release", 0), ("worker", 1)], false);
    let start = rollout.on_event(RolloutEvent::Start);
    assert_eq!(start.last(), Some(&modes(ReleaseMode::Yield, ReleaseMode::Handover)));
    assert_eq!(see(&mut rollout, &[("worker.1", NEW, Ready)]), [RolloutAction::Flip]);
}

#[test]
fn a_release_with_everything_at_zero_flips_at_once() {
    let mut rollout = rollout(None, &[("web", 0)], false);
    assert_eq!(rollout.on_event(RolloutEvent::Start), [RolloutAction::Flip]);
}

#[test]
fn a_cancel_counts_until_the_flip_and_not_after() {
    let mut early = rollout(Some(&[("web", 1)]), &[("web", 1)], false);
    early.on_event(RolloutEvent::Start);
    assert_eq!(
        early.on_event(RolloutEvent::Cancelled("cancelled".to_owned())).last(),
        Some(&RolloutAction::Failed("cancelled".to_owned()))
    );
    let mut late = rollout(Some(&[("web", 1)]), &[("web", 1)], false);
    late.on_event(RolloutEvent::Start);
    see(&mut late, &[("web.1", NEW, Ready)]);
    assert_eq!(late.on_event(RolloutEvent::Cancelled("cancelled".to_owned())), []);
}

#[test]
fn a_flip_that_cannot_be_stored_fails_the_release() {
    let mut rollout = rollout(Some(&[("web", 1)]), &[("web", 1)], false);
    rollout.on_event(RolloutEvent::Start);
    see(&mut rollout, &[("web.1", NEW, Ready)]);
    let actions = rollout.on_event(RolloutEvent::Stored(Err("disk full".to_owned())));
    assert_eq!(actions, [modes(ReleaseMode::Serve, ReleaseMode::Retire), RolloutAction::Failed("disk full".to_owned())]);
}

#[test]
fn a_candidate_that_answers_5xx_is_refused_where_the_old_release_did_not() {
    let ill = |version| {
        let mut web = instance("web.1", version, Ready);
        (web.probe_status, web.check) = (Some(500), Some("GET / -> 500".to_owned()));
        AppObserved { instances: vec![web.into()], ..AppObserved::default() }
    };
    let mut second = rollout(Some(&[("web", 1)]), &[("web", 1)], false);
    second.on_event(RolloutEvent::Start);
    let actions = second.on_event(RolloutEvent::Observed(&ill(NEW)));
    assert_eq!(actions, [modes(ReleaseMode::Serve, ReleaseMode::Retire), RolloutAction::Failed("GET / -> 500".to_owned())]);
    let mut first = rollout(None, &[("web", 1)], false);
    first.on_event(RolloutEvent::Start);
    assert_eq!(first.on_event(RolloutEvent::Observed(&ill(NEW))).last(), Some(&RolloutAction::Flip));
}

#[test]
fn a_web_that_may_not_run_twice_is_handed_over_last_and_alone() {
    let counts: &[(&str, u32)] = &[("bot", 1), ("web", 1)];
    let plan = RolloutPlan { swap_web: true, overlap: BTreeSet::new(), ..rollout(Some(counts), counts, false).plan().clone() };
    let mut rollout = Rollout::new(plan);
    let handover = modes(ReleaseMode::Yield, ReleaseMode::Handover);
    let mut start = rollout.on_event(RolloutEvent::Start);
    start.retain(|a| !matches!(a, RolloutAction::Say(_)));
    assert_eq!(start, [RolloutAction::Web(Web::Later), handover.clone()]);
    assert!(see(&mut rollout, &[("web.1", OLD, Ready), ("bot.1", OLD, Stopping), ("bot.1", NEW, Down)]).is_empty());
    let others_ready = see(&mut rollout, &[("web.1", OLD, Ready), ("bot.1", NEW, Ready)]);
    assert_eq!(others_ready, [RolloutAction::Web(Web::Alone), handover]);
    assert!(see(&mut rollout, &[("web.1", OLD, Stopping), ("bot.1", NEW, Ready), ("web.1", NEW, Down)]).is_empty());
    assert!(see(&mut rollout, &[("web.1", OLD, Stopping), ("bot.1", NEW, Ready), ("web.1", NEW, Ready)]).is_empty());
    let mut failing = rollout.clone();
    assert_eq!(see(&mut rollout, &[("bot.1", NEW, Ready), ("web.1", NEW, Ready)]), [RolloutAction::Flip]);
    let failed = see(&mut failing, &[("bot.1", NEW, Ready), ("web.1", NEW, Failed)]);
    assert_eq!(failed[0], modes(ReleaseMode::Serve, ReleaseMode::Retire));
}
