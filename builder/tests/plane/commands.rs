//! Commands that fail, hang, flood and leave children behind.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use builder::execute::{ExecuteError, Executor, TimeLimits};
use builder::plan::{BuildCommand, EnvValue, Hint, Stage};
use builder::protocol::BuildEvent;

fn stage(script: &str) -> Stage {
    let command = BuildCommand::new(["sh", "-c", script]).hints(vec![Hint::new("no route", "the network is down", "plug it in")]);
    Stage::new("Working", "working", vec![command.env("TOOL_CACHE", EnvValue::CacheFolder("tool".to_owned()))])
}

fn run(stage: &Stage, limits: TimeLimits) -> (Vec<BuildEvent>, Result<(), ExecuteError>) {
    let home = tempfile::tempdir().expect("folder");
    let environment = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
    let mut events = Vec::new();
    let mut executor = Executor::unmasked(home.path(), home.path(), environment, limits);
    let result = executor.stage(stage, &mut |event| events.push(event));
    (events, result)
}

fn texts(events: &[BuildEvent]) -> Vec<String> {
    events.iter().flat_map(BuildEvent::render).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn both_outputs_come_in_their_order_cleaned_with_nothing_of_our_environment() {
    let (events, result) = run(
        &stage("echo one; echo two >&2; printf '\\033[31mred\\033[0m'; echo; env | sort | head -3; ls -d $TOOL_CACHE"),
        TimeLimits::default(),
    );
    result.expect("succeeded");
    let texts = texts(&events);
    assert_eq!(&texts[..3], ["one", "two", "red"]);
    assert!(!texts.iter().any(|text| text.starts_with("CARGO") || text.starts_with("HOME=")), "{texts:?}");
    assert!(texts.last().is_some_and(|text| text.ends_with("/tool")), "{texts:?}");
}

#[test]
fn a_failure_names_the_command_its_end_and_what_it_means() {
    let (_, result) = run(&stage("echo error: no route to host; exit 3"), TimeLimits::default());
    let error = result.expect_err("failed");
    assert!(error.to_string().contains("exited 3"), "{error}");
    let problem = error.problem();
    assert_eq!((problem.why.as_deref(), problem.fix.as_deref()), (Some("the network is down"), Some("plug it in")));
    let (_, killed) = run(&stage("kill -9 $$"), TimeLimits::default());
    assert!(killed.expect_err("killed").to_string().contains("SIGKILL"));
    let missing = Stage { commands: vec![BuildCommand::new(["no-such-program"])], ..stage("") };
    assert!(matches!(run(&missing, TimeLimits::default()).1, Err(ExecuteError::Start { .. })));
}

#[test]
fn a_silent_command_is_ended_with_everything_that_it_started() {
    let noted = tempfile::NamedTempFile::new().expect("file");
    let script = format!("sleep 600 & echo $! > {}; wait", noted.path().display());
    let started = Instant::now();
    let limits = TimeLimits { silence: Duration::from_millis(300), ..TimeLimits::default() };
    let (_, result) = run(&stage(&script), limits);
    assert!(matches!(result, Err(ExecuteError::Silent { .. })));
    let child = std::fs::read_to_string(noted.path()).expect("noted");
    // Whoever reaps it may take a moment: a zombie is as good as gone.
    let lives = || std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).is_ok_and(|stat| !stat.contains(") Z "));
    while lives() {
        assert!(started.elapsed() < Duration::from_secs(20), "the child outlived its command");
        std::thread::yield_now();
    }
}

#[test]
fn a_command_that_takes_too_long_is_ended_although_it_talks() {
    let limits = TimeLimits { total: Duration::from_millis(400), ..TimeLimits::default() };
    let (_, result) = run(&stage("while :; do echo .; sleep 0.05; done"), limits);
    assert!(matches!(result, Err(ExecuteError::TooLong { limit_ms: 400, .. })));
}

#[test]
fn a_quiet_step_says_that_it_goes_on() {
    let limits = TimeLimits { heartbeat: Duration::from_millis(100), ..TimeLimits::default() };
    let (events, result) = run(&stage("sleep 0.5"), limits);
    result.expect("succeeded");
    let progress = texts(&events);
    assert!(progress.len() >= 2 && progress.iter().all(|line| line.starts_with("still working (0.")), "{progress:?}");
}

#[test]
fn a_child_left_behind_does_not_hold_the_build() {
    let started = Instant::now();
    let (events, result) = run(&stage("sleep 600 & echo done"), TimeLimits::default());
    result.expect("succeeded");
    assert_eq!(texts(&events), ["done"]);
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_flood_is_shown_up_to_its_limit() {
    let (events, result) = run(&stage("yes | head -n 30000"), TimeLimits::default());
    result.expect("succeeded");
    assert_eq!(events.len() as u64, builder::limits::OUTPUT_LINES_MAX);
    assert!(matches!(events.last(), Some(BuildEvent::Problem(_))));
}
