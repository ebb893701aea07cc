//! Where requests of an app go: a pure function of its releases' modes and what the
//! engine sees.

use std::collections::BTreeMap;

use model::engine::{AppObserved, InstanceObserved, InstancePhase, ReleaseMode};
use model::{Pool, ReleaseVersion, RoutedInstance};

/// What the router should do for an app.
///
/// Instances of routed releases that are ready; if none is, those that were ready and
/// fell silent (a slow answer beats none), unless a readiness check of their author keeps
/// visitors away; if none is there but one is on its way, the
/// request is held.
pub fn pool(
    modes: &BTreeMap<ReleaseVersion, ReleaseMode>,
    observed: &AppObserved,
    web_wanted: bool,
    hold_ms: u64,
    now_unix_ms: i64,
) -> Pool {
    let web: Vec<&InstanceObserved> = observed.instances.iter().map(AsRef::as_ref).filter(|i| i.instance.process_type.is_web()).collect();
    let routed = |phase: InstancePhase| -> Vec<RoutedInstance> {
        // Its author has said when visitors may not come; silence is only a guess.
        let may_come = |i: &InstanceObserved| i.phase == InstancePhase::Ready || i.keeps_out().is_none();
        let serving = |i: &&&InstanceObserved| i.phase == phase && may_come(i) && modes.get(&i.version).is_some_and(|m| m.is_routed());
        let address = |i: &&InstanceObserved| Some(RoutedInstance { run: i.run.clone()?, port: i.port? });
        web.iter().filter(serving).filter_map(address).collect()
    };
    for phase in [InstancePhase::Ready, InstancePhase::Unready] {
        let instances = routed(phase);
        if !instances.is_empty() {
            return Pool::Serve(instances);
        }
    }
    if !web_wanted {
        return Pool::Stopped;
    }
    let of_routed: Vec<_> = web.iter().filter(|i| modes.get(&i.version).is_some_and(|m| m.is_routed())).collect();
    let soon = |i: &&&&InstanceObserved| match i.phase {
        InstancePhase::Backoff => i.next_start_unix_ms.is_some_and(|at| at - now_unix_ms <= i64::try_from(hold_ms).unwrap_or(i64::MAX)),
        InstancePhase::Stuck | InstancePhase::Failed | InstancePhase::Finished => false,
        _ => true,
    };
    if of_routed.is_empty() || of_routed.iter().any(|i| soon(&i)) { Pool::Hold { for_at_most_ms: hold_ms } } else { Pool::Crashed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::HOLD_MAX_MS;
    use model::author::CheckKind;
    use model::engine::{CheckObserved, CheckState};
    use model::{InstanceId, RunId};

    fn seen(name: &str, version: u32, phase: InstancePhase) -> InstanceObserved {
        let instance = InstanceId::parse(&"hello".parse().expect("app"), name).expect("instance");
        let version = ReleaseVersion(version);
        let live = !matches!(phase, InstancePhase::Backoff | InstancePhase::Down);
        InstanceObserved {
            run: live.then(|| RunId { instance: instance.clone(), version, number: 1 }),
            port: live.then_some(20_000 + u16::try_from(version.0).expect("small")),
            instance,
            version,
            phase,
            shim_pid: None,
            since_unix_ms: 0,
            ready_after_ms: None,
            check: None,
            probe_status: None,
            checks: Vec::new(),
            status: None,
            hint: None,
            restarts: 0,
            last_end: None,
            next_start_unix_ms: Some(60_000),
        }
    }

    fn pool_of(modes: &[(u32, ReleaseMode)], instances: Vec<InstanceObserved>, now: i64) -> Pool {
        let modes = modes.iter().map(|(v, m)| (ReleaseVersion(*v), *m)).collect();
        pool(
            &modes,
            &AppObserved { instances: instances.into_iter().map(Into::into).collect(), ..AppObserved::default() },
            true,
            HOLD_MAX_MS,
            now,
        )
    }

    fn ports(pool: &Pool) -> Vec<u16> {
        match pool {
            Pool::Serve(instances) => instances.iter().map(|i| i.port).collect(),
            _ => vec![],
        }
    }

    use InstancePhase::{Backoff, Draining, Ready, Starting, Unready};
    use ReleaseMode::{Prepare, Retire, Serve};

    #[test]
    fn a_candidate_gets_no_traffic_however_ready_it_is() {
        let pool = pool_of(&[(1, Serve), (2, Prepare)], vec![seen("web.1", 1, Ready), seen("web.1", 2, Ready)], 0);
        assert_eq!(ports(&pool), [20_001]);
    }

    #[test]
    fn at_the_flip_only_the_new_release_is_routed() {
        let pool = pool_of(&[(1, Retire), (2, Serve)], vec![seen("web.1", 1, Ready), seen("web.1", 2, Ready)], 0);
        assert_eq!(ports(&pool), [20_002]);
    }

    #[test]
    fn a_silent_instance_is_routed_around_only_while_another_is_ready() {
        let both = vec![seen("web.1", 1, Unready), seen("web.2", 1, Ready)];
        assert_eq!(ports(&pool_of(&[(1, Serve)], both, 0)).len(), 1);
        assert_eq!(ports(&pool_of(&[(1, Serve)], vec![seen("web.1", 1, Unready)], 0)).len(), 1);
    }

    #[test]
    fn a_readiness_check_keeps_visitors_from_the_last_instance_too() {
        let mut alone = seen("web.1", 1, Unready);
        alone.checks.push(CheckObserved {
            check: "GET /ready".to_owned(),
            kind: Some(CheckKind::Readiness),
            rule: String::new(),
            warn: false,
            state: CheckState::Failing,
            since_unix_ms: 0,
            answer: None,
            took_ms: None,
            failures: 3,
        });
        assert!(matches!(pool_of(&[(1, Serve)], vec![alone.clone()], 0), Pool::Hold { .. }));
        alone.checks[0].warn = true;
        assert_eq!(ports(&pool_of(&[(1, Serve)], vec![alone], 0)).len(), 1, "a warning keeps nobody away");
    }

    #[test]
    fn requests_wait_while_the_only_instance_restarts_and_not_when_it_crash_loops() {
        assert!(matches!(pool_of(&[(1, Serve)], vec![seen("web.1", 1, Starting)], 0), Pool::Hold { .. }));
        assert!(matches!(pool_of(&[(1, Serve)], vec![seen("web.1", 1, Draining)], 0), Pool::Hold { .. }));
        assert!(matches!(pool_of(&[(1, Serve)], vec![seen("web.1", 1, Backoff)], 55_000), Pool::Hold { .. }));
        assert_eq!(pool_of(&[(1, Serve)], vec![seen("web.1", 1, Backoff)], 0), Pool::Crashed);
    }

    #[test]
    fn an_app_that_should_not_run_is_stopped() {
        assert_eq!(pool(&BTreeMap::new(), &AppObserved::default(), false, HOLD_MAX_MS, 0), Pool::Stopped);
    }
}
