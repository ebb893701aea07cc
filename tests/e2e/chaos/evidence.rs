//! What the processes themselves wrote about their lives.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::support::{App, Host, SOON, wait_until};
use super::steps::Kills;

/// Lines of a log that can be asked for at once.
const LINES_MAX: &str = "10000";
/// The runs by how their names begin: the lines of all together can be more than that.
const RUNS: [&str; 4] = ["line [0-3]", "line [4-7]", "line [89ab]", "line [c-f]"];

fn folder(host: &Host) -> PathBuf {
    host.root().join("data/1")
}

/// The name that a live witness gave itself: it holds the file that it counts in.
pub(super) fn run_of(pid: u32) -> Option<String> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let mut targets = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets.find_map(|target| target.file_name()?.to_str()?.strip_prefix("count-").map(str::to_owned))
}

/// Fails the test if two of one instance ever lived at the same time.
#[track_caller]
pub(super) fn expect_no_double(host: &Host) {
    let text = std::fs::read_to_string(folder(host).join("evidence")).expect("evidence");
    let doubled: Vec<&str> = text.lines().filter(|line| line.contains("doubled")).collect();
    assert!(doubled.is_empty(), "two at a time: {doubled:#?}");
    assert!(text.lines().count() > 4, "{text}");
}

/// How many lines each run has printed, as it says itself.
fn printed(host: &Host) -> BTreeMap<String, u64> {
    let files = std::fs::read_dir(folder(host)).expect("the data folder").flatten();
    let counts = files.filter_map(|file| {
        let run = file.file_name().to_str()?.strip_prefix("count-")?.to_owned();
        Some((run, std::fs::read_to_string(file.path()).ok()?.trim().parse().unwrap_or(0)))
    });
    counts.collect()
}

/// What the log has of a run.
#[derive(Default)]
struct Logged {
    /// The numbers of its lines.
    lines: Vec<u64>,
    /// Lines of its instance that the log says were lost.
    lost: u64,
}

/// Run → what the log has of it.
fn logged(app: &App<'_>) -> BTreeMap<String, Logged> {
    let mut found: BTreeMap<String, Logged> = BTreeMap::new();
    let instances = (1..=3).flat_map(|number| ["web", "worker"].map(|kind| format!("{kind}.{number}")));
    for instance in instances {
        let ask = |pattern: &str| app.paas(&["logs", "-n", LINES_MAX, "-p", &instance, "--grep", pattern]).expect_ok().stdout;
        let told = ask("lost: the log");
        let lost = told.lines().filter_map(|line| line.split_once("]: ")?.1.split(' ').next()?.parse::<u64>().ok()).sum();
        for line in RUNS.iter().flat_map(|runs| ask(runs).lines().map(str::to_owned).collect::<Vec<_>>()) {
            let words = line.split_once("]: line ").and_then(|(_, rest)| rest.split_once(' '));
            let Some((run, number)) = words else { continue };
            let run = found.entry(run.to_owned()).or_default();
            run.lines.push(number.parse().expect("the number of a line"));
            run.lost = lost;
        }
    }
    found
}

/// What is wrong with the log of a run that has printed so many lines.
fn wrong(run: &str, printed: u64, log: &Logged, kills: &Kills) -> bool {
    let lines = &log.lines;
    let is_cut = kills.cut.contains(run);
    if kills.on_full_disk.contains(run) {
        let all = printed.max(lines.last().copied().unwrap_or(0));
        let missing = all.saturating_sub(lines.len() as u64);
        return !lines.is_sorted_by(|one, next| one < next) || (missing > log.lost && !is_cut);
    }
    !lines.iter().copied().eq(1..=lines.len() as u64) || ((lines.len() as u64) < printed && !is_cut)
}

/// Fails the test if a line is missing, or there twice. With a killed shim goes what was
/// in the pipe; what found no room on the disk is counted.
#[track_caller]
pub(super) fn expect_every_line(host: &Host, app: &App<'_>, kills: &Kills) {
    let printed = printed(host);
    wait_until("the log has every line that was printed", SOON, || {
        let logged = logged(app);
        let wrong: Vec<String> = printed
            .iter()
            .filter_map(|(run, count)| {
                let nothing = Logged::default();
                let log = logged.get(run).unwrap_or(&nothing);
                let told = || format!("{run}: {count} printed, {} logged, last {:?}, {} lost", log.lines.len(), log.lines.last(), log.lost);
                wrong(run, *count, log, kills).then(told)
            })
            .collect();
        if !wrong.is_empty() {
            eprintln!("{wrong:#?}");
        }
        wrong.is_empty().then_some(())
    });
}
