//! Whatever is killed, in whatever order: the promises hold. The order comes from a fixed
//! seed, so a run that fails can be had again; `PAAS_CHAOS_SEED` names another one and
//! `PAAS_CHAOS_STEPS` another length (`script/test --long` takes a long one).
//!
//! Two promises are not tried here. The wall clock does not jump: a process cannot have one
//! of its own (a time namespace shifts only the clocks that never jump), and the machine's
//! belongs to everybody on it; row 19 of `tests/cases.md` names what proves that nothing is
//! timed by it. And a full disk needs root, who alone can make a small one.

mod evidence;
mod nuisances;
mod steps;
mod visitors;

use std::collections::BTreeSet;

use super::cases::{create, program, running};
use super::support::checkout::Checkout;
use super::support::{App, Host, HostOptions, SOON, found_within, tools, wait_until};
use steps::Chaos;

const STEPS: usize = 20;
/// Every kind of step comes within the short form, the fork bomb once.
const SEED: u64 = 46_757;
/// Room for a server, its binary in debug mode, and the logs of two apps.
const DISK_BYTES: u64 = 900 * 1024 * 1024;

/// A number from the environment.
fn chosen(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

#[test]
fn whatever_is_killed_nothing_is_lost_doubled_or_left() {
    let steps = usize::try_from(chosen("PAAS_CHAOS_STEPS", STEPS as u64)).expect("steps");
    let disk_bytes = nix::unistd::geteuid().is_root().then_some(DISK_BYTES);
    let host = Host::start_with(HostOptions { disk_bytes, ..HostOptions::default() });
    let files = [("Procfile", "web: bin/witness\nworker: bin/witness\n"), ("bin/witness", program!("witness"))];
    let checkout = Checkout::of_files(&host, &files);
    host.paas_in(checkout.folder(), &["apps:create", "chaos", "--no-database"]).expect_ok();
    let app = App::new("chaos", checkout);
    app.push().expect_accepted();
    app.paas(&["ps:scale", "web=2", "worker=2"]).expect_ok();
    let loud = create(
        &host,
        "loud",
        "web: bin/web\nflood: bin/flood\nbomb: bin/bomb\n",
        &[("bin/flood", nuisances::FLOOD), ("bin/bomb", program!("bomb"))],
    );
    loud.push().expect_accepted();
    let mut chaos = Chaos::new(&host, &app, &loud, chosen("PAAS_CHAOS_SEED", SEED));
    chaos.play(steps);
    let formation = chaos.formation();
    let (kills, report) = chaos.end();

    expect_formation(&host, &app, &formation);
    kills.expect_only_in_flight(&report);
    evidence::expect_no_double(&host);
    evidence::expect_every_line(&host, &app, &kills);
    expect_one_truth(&host, &app);
}

/// Waits until what should run does, each once, and nothing else.
#[track_caller]
fn expect_formation(host: &Host, app: &App<'_>, formation: &[(&str, u64)]) {
    let expected: BTreeSet<String> = formation.iter().flat_map(|(kind, count)| (1..=*count).map(move |n| format!("{kind}.{n}"))).collect();
    let found = found_within(SOON * 2, || {
        let up: Vec<String> = states(app).into_iter().filter(|(_, state)| state == "up").map(|(name, _)| name).collect();
        let live = running(host, "bin/witness").len();
        (up.len() == expected.len() && BTreeSet::from_iter(up) == expected && live == expected.len()).then_some(())
    });
    if found.is_none() {
        let (why, events) = (app.paas(&["ps:why"]).text(), app.paas(&["events"]).text());
        panic!("{expected:?} are not all that is up: {:?}, live: {:?}\n{why}\n{events}", states(app), running(host, "bin/witness"));
    }
}

/// Name and state of every instance that `ps` shows.
fn states(app: &App<'_>) -> Vec<(String, String)> {
    let listed = app.paas(&["ps", "--json"]).expect_ok().json();
    let rows = listed["types"].as_array().cloned().unwrap_or_default().into_iter();
    let instances = rows.flat_map(|row| row["instances"].as_array().cloned().unwrap_or_default());
    let word = |row: &serde_json::Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    instances.map(|row| (word(&row, "name"), word(&row, "state"))).collect()
}

/// What serves is what the ref says, nothing is open that nobody works at, and the store
/// is whole.
#[track_caller]
fn expect_one_truth(host: &Host, app: &App<'_>) {
    let builds = app.paas(&["builds", "--json"]).expect_ok().json();
    assert!(builds["builds"].as_array().is_some_and(|all| all.iter().all(|build| build["state"] != "running")), "{builds}");
    let head = app.remote_head().expect("a deployed commit");
    let text = app.checkout.git(&["show", &format!("{head}:bin/witness")]).expect_ok().stdout;
    let version = text.lines().find_map(|line| line.strip_prefix("VERSION = \"")?.strip_suffix('"')).expect("a version");
    assert_eq!(host.facts("chaos")["version"], version, "what serves is not what the ref says");
    app.push_change("bin/witness", &format!("VERSION = \"{}\"", steps::version_of(app)), "VERSION = \"last\"").expect_accepted();
    assert_eq!(host.facts("chaos")["version"], "last");
    host.paas(&["stop", "--all"]).expect_ok();
    host.wait_for_end_of_server();
    wait_until("nothing of it runs", SOON, || host.processes().is_empty().then_some(()));
    let file = host.root().join("store/paas.db");
    let script = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('pragma integrity_check').fetchone()[0])";
    assert_eq!(tools::run("python3", &["-c", script, &file.to_string_lossy()]).trim(), "ok");
}
