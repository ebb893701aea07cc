//! What the processes themselves wrote about their lives.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::support::{App, Host, SOON, wait_until};
use super::steps::Kills;

/// Lines of a log that can be asked for at once.
const LINES_MAX: &str = "10000";

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
    let doubled: Vec<&str> = text.lines().filter(|line| line.starts_with("doubled")).collect();
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

/// Run → the numbers of its lines in the log.
fn logged(app: &App<'_>) -> BTreeMap<String, Vec<u64>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for number in 1..=3 {
        for kind in ["web", "worker"] {
            let lines = app.paas(&["logs", "-n", LINES_MAX, "-p", &format!("{kind}.{number}")]).expect_ok().stdout;
            for line in lines.lines() {
                let words = line.split_once("]: line ").and_then(|(_, rest)| rest.split_once(' '));
                let Some((run, number)) = words else { continue };
                found.entry(run.to_owned()).or_default().push(number.parse().expect("the number of a line"));
            }
        }
    }
    found
}

/// Fails the test if a line is missing, or there twice. With a killed shim goes what was
/// in the pipe.
#[track_caller]
pub(super) fn expect_every_line(host: &Host, app: &App<'_>, kills: &Kills) {
    let printed = printed(host);
    wait_until("the log has every line that was printed", SOON, || {
        let logged = logged(app);
        let wrong: Vec<String> = printed
            .iter()
            .filter_map(|(run, count)| {
                let lines = logged.get(run).cloned().unwrap_or_default();
                let in_order = lines.iter().copied().eq(1..=lines.len() as u64);
                let all = lines.len() as u64 >= *count || kills.cut.contains(run);
                (!in_order || !all).then(|| format!("{run}: {count} printed, {} logged, last {:?}", lines.len(), lines.last()))
            })
            .collect();
        if !wrong.is_empty() {
            eprintln!("{wrong:#?}");
        }
        wrong.is_empty().then_some(())
    });
}
