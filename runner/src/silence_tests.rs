use super::*;
use proptest::prelude::*;

fn at(seconds: u64) -> Mono {
    Duration::from_secs(seconds)
}

const WINDOW: Duration = Duration::from_mins(1);

/// Lets time pass in steps of half a second; `seen` answers looks, probes that fail take
/// their whole timeout. Returns when each look began.
fn live(clock: &mut SilenceClock, from: Mono, until: Mono, mut seen: impl FnMut(Mono, Look) -> Seen) -> Vec<(Mono, Look)> {
    let mut looks = Vec::new();
    let mut pending: Option<(Mono, Seen)> = None;
    let mut now = from;
    while now <= until {
        if let Some((when, what)) = pending.filter(|(when, _)| *when <= now) {
            clock.seen(when, what);
            pending = None;
        }
        if let Some(look) = clock.look(now) {
            looks.push((now, look));
            let what = seen(now, look);
            let takes = if what == Seen::Nothing { look.probe_timeout.unwrap_or_default() } else { Duration::ZERO };
            pending = Some((now + takes, what));
        }
        now += Duration::from_millis(500);
    }
    looks
}

#[test]
fn an_idle_instance_is_probed_every_thirty_seconds() {
    let mut clock = SilenceClock::new(at(0), WINDOW);
    let looks = live(&mut clock, at(0), at(100), |_, _| Seen::Answer);
    // Answers are noticed at the next step of this test.
    assert_eq!(looks.len(), 3);
    assert_eq!(looks[0].0, at(30));
    assert!(!clock.is_failing());
}

#[test]
fn traffic_that_proves_life_makes_probes_needless() {
    let mut clock = SilenceClock::new(at(0), WINDOW);
    let looks = live(&mut clock, at(0), at(29), |_, _| Seen::Nothing);
    assert!(looks.is_empty());
    clock.life(at(29), Duration::ZERO);
    assert_eq!(clock.next_due(), Some(at(59)));
    let look = clock.look(at(59)).expect("due");
    assert_eq!(look.fresh_within, PROBE_EVERY_WHEN_IDLE);
    clock.seen(at(59), Seen::Traffic(at(10)));
    assert_eq!(clock.next_due(), Some(at(79)));
}

#[test]
fn an_idle_hang_is_unready_after_45_seconds_and_due_for_restart_after_90() {
    let mut clock = SilenceClock::new(at(0), WINDOW);
    let mut states = Vec::new();
    let looks = live(&mut clock, at(0), at(91), |_, _| Seen::Nothing);
    let times: Vec<u64> = looks.iter().map(|(when, _)| when.as_secs()).collect();
    assert_eq!(times[..4], [30, 35, 40, 45]);
    let (last, look) = looks.iter().find(|(_, look)| look.probe_timeout.is_none()).expect("a last look");
    assert_eq!((last.as_secs(), look.fresh_within), (90, WINDOW), "it asks the router only");
    assert!(clock.is_restart_due());
    for until in [44, 45, 89] {
        let mut clock = SilenceClock::new(at(0), WINDOW);
        live(&mut clock, at(0), at(until), |_, _| Seen::Nothing);
        states.push((clock.is_unready_due(at(until)), clock.is_restart_due()));
    }
    assert_eq!(states, [(false, false), (true, false), (true, false)]);
}

#[test]
fn a_byte_in_the_last_moment_saves_it() {
    let mut clock = SilenceClock::new(at(0), WINDOW);
    live(
        &mut clock,
        at(0),
        at(91),
        |_, look| {
            if look.probe_timeout.is_none() { Seen::Traffic(Duration::from_millis(1)) } else { Seen::Nothing }
        },
    );
    assert!(!clock.is_restart_due() && !clock.is_failing());
}

#[test]
fn a_byte_to_a_visitor_while_a_probe_waits_is_life() {
    let mut clock = SilenceClock::new(at(0), WINDOW);
    clock.look(at(30)).expect("due");
    clock.life(at(33), Duration::ZERO);
    clock.seen(at(35), Seen::Nothing);
    assert!(!clock.is_failing());
    assert_eq!(clock.next_due(), Some(at(63)));
}

#[test]
fn an_old_byte_from_before_the_silence_proves_nothing() {
    let mut clock = SilenceClock::new(at(0), WINDOW);
    clock.look(at(30)).expect("due");
    clock.seen(at(35), Seen::Nothing);
    clock.life(at(36), at(10));
    assert!(clock.is_failing());
}

#[test]
fn trouble_at_the_router_probes_at_once_but_not_more_than_every_five_seconds() {
    let mut clock = SilenceClock::new(at(0), WINDOW);
    clock.trouble(at(3));
    assert_eq!(clock.next_due(), Some(at(3)));
    let look = clock.look(at(3)).expect("due");
    assert_eq!(look.fresh_within, Duration::ZERO, "only a byte after the trouble would do");
    clock.trouble(at(4));
    assert_eq!(clock.next_due(), None, "never two at a time");
    clock.seen(at(4), Seen::Answer);
    clock.trouble(at(5));
    assert_eq!(clock.next_due(), Some(at(8)));
}

#[test]
fn a_timer_that_fires_late_starts_the_window_afresh() {
    let mut clock = SilenceClock::new(at(0), WINDOW);
    live(&mut clock, at(0), at(80), |_, _| Seen::Nothing);
    assert!(clock.is_unready_due(at(80)));
    // The machine slept.
    clock.seen(at(500), Seen::Nothing);
    assert!(!clock.is_failing());
    let mut clock = SilenceClock::new(at(0), WINDOW);
    clock.look(at(30)).expect("due");
    clock.seen(at(35), Seen::Nothing);
    clock.look(at(500)).expect("due");
    assert!(!clock.is_failing());
}

#[test]
fn a_probe_that_could_not_be_made_is_thrown_away() {
    let mut clock = SilenceClock::new(at(0), WINDOW);
    live(&mut clock, at(0), at(85), |_, _| Seen::Nothing);
    clock.seen(at(86), Seen::Void);
    assert!(!clock.is_failing());
}

#[test]
fn the_window_doubles_up_to_ten_minutes() {
    let windows: Vec<u64> = (0..6).map(|n| restart_window(Duration::from_secs(30), n).as_secs()).collect();
    assert_eq!(windows, [60, 120, 240, 480, 600, 600]);
    assert_eq!(restart_window(Duration::from_secs(100), 0).as_secs(), 200);
}

proptest! {
    /// However looks end, probes of one instance never overlap and keep their distance.
    #[test]
    fn probes_are_at_least_five_seconds_apart(script in proptest::collection::vec((0_u8..4, any::<bool>()), 1..60)) {
        let mut clock = SilenceClock::new(at(0), WINDOW);
        let mut now = at(0);
        let mut sent: Vec<Mono> = Vec::new();
        for (outcome, trouble) in script {
            if trouble {
                clock.trouble(now);
            }
            let Some(due) = clock.next_due() else { break };
            now = now.max(due);
            let look = clock.look(now).expect("due");
            if look.probe_timeout.is_some() {
                sent.push(now);
            }
            let (takes, seen) = match outcome {
                0 => (Duration::ZERO, Seen::Answer),
                1 => (look.probe_timeout.unwrap_or_default(), Seen::Nothing),
                2 => (Duration::from_millis(3), Seen::Nothing),
                _ => (Duration::ZERO, Seen::Void),
            };
            now += takes;
            clock.seen(now, seen);
        }
        for pair in sent.windows(2) {
            prop_assert!(pair[1].saturating_sub(pair[0]) >= PROBE_EVERY_AFTER_SILENCE, "{:?}", sent);
        }
    }

    /// A restart needs a whole window in which every look came back empty.
    #[test]
    fn one_sign_of_life_in_the_window_prevents_a_restart(alive_at in 30_u64..90) {
        let mut clock = SilenceClock::new(at(0), WINDOW);
        live(&mut clock, at(0), at(alive_at), |_, _| Seen::Nothing);
        clock.life(at(alive_at), Duration::ZERO);
        live(&mut clock, at(alive_at), at(alive_at + 59), |_, _| Seen::Nothing);
        prop_assert!(!clock.is_restart_due());
    }
}
