use super::*;
use model::engine::ReleaseMode;
use model::{AppNumber, ConfigVars, Formation, SlugId, SlugManifest};

/// `v7 Serve web=2 bot=1`
fn release(text: &str) -> (ReleaseVersion, ReleaseTarget) {
    let mut words = text.split(' ');
    let version = words.next().expect("version").parse().expect("version");
    let mode = match words.next().expect("mode") {
        "Prepare" => ReleaseMode::Prepare,
        "Handover" => ReleaseMode::Handover,
        "Serve" => ReleaseMode::Serve,
        "Yield" => ReleaseMode::Yield,
        _ => ReleaseMode::Retire,
    };
    let counts = words.map(|word| word.split_once('=').expect("count"));
    let formation: BTreeMap<ProcessType, u32> =
        counts.map(|(name, count)| (name.parse().expect("type"), count.parse().expect("count"))).collect();
    let manifest = SlugManifest {
        commands: formation.keys().map(|t| (t.clone(), "run it".to_owned())).collect(),
        app_json: model::author::AppJson::default(),
        env: BTreeMap::new(),
        path: vec![],
        buildpack: "none".to_owned(),
        interpreter: None,
        host_paths: vec![],
        shared_libraries: vec![],
        source_version: String::new(),
        entries: 0,
        unpacked_bytes: 0,
    };
    let target = ReleaseTarget {
        mode,
        slug: SlugId([0; 32]),
        manifest,
        config: ConfigVars::default(),
        addon_env: ConfigVars::default(),
        formation: Formation(formation),
        kept: Vec::new(),
    };
    (version, target)
}

pub(crate) fn target(releases: &[&str]) -> AppTarget {
    AppTarget {
        app: "hello".parse().expect("app"),
        number: AppNumber(17),
        releases: releases.iter().map(|text| release(text)).collect(),
        overlap: [ProcessType::web()].into(),
        limits: BTreeMap::new(),
        restarts: BTreeMap::new(),
        probe_host: "hello.box.example".parse().expect("host"),
    }
}

fn key(text: &str) -> SlotKey {
    let (version, instance) = text.split_once(' ').expect("key");
    let (process_type, ordinal) = instance.split_once('.').expect("instance");
    SlotKey {
        version: version.parse().expect("version"),
        process_type: process_type.parse().expect("type"),
        ordinal: ordinal.parse().expect("ordinal"),
    }
}

/// `v7 web.1 Ready`: wanted and in that phase; `v7 web.1 Ready unwanted`.
fn known(slots: &[&str]) -> BTreeMap<SlotKey, Known> {
    slots
        .iter()
        .map(|text| {
            let words: Vec<&str> = text.split(' ').collect();
            let phase = match words[2] {
                "Ready" => InstancePhase::Ready,
                "Stopping" => InstancePhase::Stopping,
                "Failed" => InstancePhase::Failed,
                "Backoff" => InstancePhase::Backoff,
                _ => InstancePhase::Down,
            };
            let known = Known {
                wanted: !words.contains(&"unwanted"),
                occupied: matches!(phase, InstancePhase::Ready | InstancePhase::Stopping),
                phase,
                restart_seen: 0,
                restarting: words.contains(&"restarting"),
            };
            (key(&format!("{} {}", words[0], words[1])), known)
        })
        .collect()
}

fn steps_towards(target: &AppTarget, known: &BTreeMap<SlotKey, Known>) -> Vec<Step> {
    reconcile(target, &Plan::of(target), known)
}

fn steps(releases: &[&str], slots: &[&str]) -> Vec<String> {
    shown(&steps_towards(&target(releases), &known(slots)))
}

fn shown(steps: &[Step]) -> Vec<String> {
    let name = |key: &SlotKey| format!("{} {}.{}", key.version, key.process_type, key.ordinal);
    let show = |step: &Step| match step {
        Step::Create(key) => format!("create {}", name(key)),
        Step::Up(key) => format!("up {}", name(key)),
        Step::Down(key) => format!("down {}", name(key)),
        Step::Restart(key) => format!("restart {}", name(key)),
        Step::Forget(key) => format!("forget {}", name(key)),
    };
    steps.iter().map(show).collect()
}

#[test]
fn a_release_that_serves_has_every_instance_of_its_formation_up() {
    assert_eq!(steps(&["v1 Serve bot=1 web=2"], &[]), ["create v1 bot.1", "create v1 web.1", "create v1 web.2"]);
    let slots = ["v1 bot.1 Down unwanted", "v1 web.1 Down unwanted", "v1 web.2 Ready"];
    assert_eq!(steps(&["v1 Serve bot=1 web=2"], &slots), ["up v1 bot.1", "up v1 web.1"]);
}

#[test]
fn scaling_down_stops_the_highest_and_then_forgets_it() {
    assert_eq!(steps(&["v1 Serve web=1"], &["v1 web.1 Ready", "v1 web.2 Ready"]), ["down v1 web.2"]);
    assert_eq!(steps(&["v1 Serve web=1"], &["v1 web.1 Ready", "v1 web.2 Stopping unwanted"]), Vec::<String>::new());
    assert_eq!(steps(&["v1 Serve web=1"], &["v1 web.1 Ready", "v1 web.2 Down unwanted"]), ["forget v1 web.2"]);
}

#[test]
fn a_switch_goes_through_its_modes_without_two_bots() {
    let old = ["v1 bot.1 Ready", "v1 web.1 Ready"];
    let with = |more: &[&'static str]| -> Vec<&str> { old.iter().copied().chain(more.iter().copied()).collect() };
    let prepare = ["v1 Serve bot=1 web=1", "v2 Prepare bot=1 web=1"];
    assert_eq!(steps(&prepare, &with(&["v2 bot.1 Down unwanted", "v2 web.1 Down unwanted"])), ["up v2 web.1"]);
    let handover = ["v1 Yield bot=1 web=1", "v2 Handover bot=1 web=1"];
    assert_eq!(steps(&handover, &with(&["v2 bot.1 Down unwanted", "v2 web.1 Ready"])), ["down v1 bot.1"]);
    let stopping = ["v1 bot.1 Stopping unwanted", "v1 web.1 Ready", "v2 bot.1 Down unwanted", "v2 web.1 Ready"];
    assert_eq!(steps(&handover, &stopping), Vec::<String>::new(), "the new bot waits until the old one is gone");
    let gone = ["v1 bot.1 Down unwanted", "v1 web.1 Ready", "v2 bot.1 Down unwanted", "v2 web.1 Ready"];
    assert_eq!(steps(&handover, &gone), ["up v2 bot.1"]);
    let flip = ["v1 Retire bot=1 web=1", "v2 Serve bot=1 web=1"];
    assert_eq!(steps(&flip, &["v1 bot.1 Down unwanted", "v1 web.1 Ready", "v2 bot.1 Ready", "v2 web.1 Ready"]), ["down v1 web.1"]);
}

#[test]
fn a_failed_switch_brings_the_old_bot_back_once_the_new_one_is_gone() {
    let back = ["v1 Serve bot=1", "v2 Retire bot=1"];
    assert_eq!(steps(&back, &["v1 bot.1 Down unwanted", "v2 bot.1 Ready"]), ["down v2 bot.1"]);
    assert_eq!(steps(&back, &["v1 bot.1 Down unwanted", "v2 bot.1 Stopping unwanted"]), Vec::<String>::new());
    assert_eq!(steps(&back, &["v1 bot.1 Down unwanted", "v2 bot.1 Down unwanted"]), ["up v1 bot.1"]);
}

#[test]
fn a_type_may_be_let_overlap() {
    let mut target = target(&["v1 Serve bot=1", "v2 Prepare bot=1"]);
    target.overlap.insert("bot".parse().expect("type"));
    let known = known(&["v1 bot.1 Ready", "v2 bot.1 Down unwanted"]);
    assert_eq!(shown(&steps_towards(&target, &known)), ["up v2 bot.1"]);
}

#[test]
fn a_release_line_is_never_kept_running() {
    assert_eq!(steps(&["v1 Serve release=1"], &[]), Vec::<String>::new());
}

#[test]
fn a_failed_candidate_is_tried_again_only_once_it_is_kept() {
    assert_eq!(steps(&["v2 Handover web=1"], &["v2 web.1 Failed"]), Vec::<String>::new());
    assert_eq!(steps(&["v2 Serve web=1"], &["v2 web.1 Failed"]), ["up v2 web.1"]);
    assert_eq!(steps(&["v2 Retire web=1"], &["v2 web.1 Failed"]), ["down v2 web.1"]);
}

#[test]
fn several_webs_are_restarted_one_after_another_and_bots_at_once() {
    let mut target = target(&["v1 Serve bot=2 web=2"]);
    for name in ["web.1", "web.2", "bot.1", "bot.2"] {
        target.restarts.insert(InstanceId::parse(&target.app, name).expect("instance"), 1);
    }
    let all = ["v1 bot.1 Ready", "v1 bot.2 Ready", "v1 web.1 Ready", "v1 web.2 Ready"];
    assert_eq!(shown(&steps_towards(&target, &known(&all))), ["restart v1 bot.1", "restart v1 bot.2", "restart v1 web.1"]);
    let busy = ["v1 web.1 Stopping restarting", "v1 web.2 Ready"];
    let mut busy = known(&busy);
    busy.get_mut(&key("v1 web.1")).expect("slot").restart_seen = 1;
    target.releases = super::tests::target(&["v1 Serve web=2"]).releases;
    assert!(steps_towards(&target, &busy).is_empty());
    let crashed = known(&["v1 web.1 Backoff", "v1 web.2 Stopping restarting"]);
    assert!(shown(&steps_towards(&target, &crashed)).contains(&"restart v1 web.1".to_owned()), "what does not serve need not wait");
}

#[test]
fn of_two_releases_that_want_the_same_bot_the_newer_one_has_it() {
    let both = ["v1 Serve bot=1", "v2 Serve bot=1"];
    assert_eq!(steps(&both, &["v1 bot.1 Ready", "v2 bot.1 Down unwanted"]), ["down v1 bot.1"]);
}
