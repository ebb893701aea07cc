//! The case list of supervision has a test for every row.

use std::collections::BTreeMap;
use std::path::Path;

use super::{files, is_rust, text};

/// Rows of the list.
const CASES: usize = 50;
/// Those that nothing proves yet. This list only gets shorter.
const OPEN: [usize; 1] = [37];
/// Where the wall clock is read, to stamp what people see and nothing else.
const READ_THE_WALL_CLOCK: [&str; 6] = [
    "paas/src/server/app_logs.rs",
    "paas/src/server/mod.rs",
    "router/src/access_log.rs",
    "router/src/client.rs",
    "runner/shim/src/supervisor.rs",
    "runner/src/machine.rs",
];

/// Row → its last cell.
fn rows() -> BTreeMap<usize, String> {
    let table = text(Path::new("tests/cases.md"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let [number, _, proof] = cells[..] else { return None };
        Some((number.parse().ok()?, proof.to_owned()))
    };
    table.lines().filter_map(row).collect()
}

/// Whether a source has this test: its name behind the attribute that makes it one.
fn has_test(source: &str, name: &str) -> bool {
    source.match_indices(&format!("fn {name}(")).any(|(at, _)| {
        let above = source[..at].rsplit_once('\n').map_or("", |(above, _)| above);
        let mut attributes = above.lines().rev().map(str::trim_start).take_while(|line| line.starts_with("#["));
        attributes.any(|line| line.contains("test"))
    })
}

#[test]
fn every_case_of_supervision_is_proved_by_tests_that_exist() {
    let rows = rows();
    assert_eq!(rows.keys().copied().collect::<Vec<_>>(), (1..=CASES).collect::<Vec<_>>(), "rows of tests/cases.md");
    let sources: Vec<String> = files().iter().filter(|file| is_rust(file)).map(|file| text(file)).collect();
    let mut missing = Vec::new();
    for (number, proof) in &rows {
        let is_open = proof.starts_with("open: ");
        assert_eq!(is_open, OPEN.contains(number), "case {number}: {proof}");
        let names: Vec<&str> = proof.split('`').skip(1).step_by(2).filter(|_| !is_open).collect();
        assert!(is_open || !names.is_empty(), "case {number} names no test");
        let unknown = |name: &&&str| !sources.iter().any(|source| has_test(source, name));
        missing.extend(names.iter().filter(unknown).map(|name| format!("{number}: {name}")));
    }
    assert!(missing.is_empty(), "tests/cases.md names tests that are not there: {missing:#?}");
}

#[test]
fn what_is_timed_is_timed_by_a_clock_that_never_jumps() {
    let wall_clock = concat!("SystemTime", "::now");
    let found: Vec<String> = files()
        .iter()
        .filter(|file| is_rust(file) && !super::is_test(file))
        .filter(|file| super::without_tests(&text(file)).contains(wall_clock))
        .map(|file| file.to_string_lossy().into_owned())
        .collect();
    let unexpected: Vec<_> = found.iter().filter(|file| !READ_THE_WALL_CLOCK.contains(&file.as_str())).collect();
    assert!(unexpected.is_empty(), "reads the wall clock, which jumps: {unexpected:?}");
}
