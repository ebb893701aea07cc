//! Many at once, and very often.

use std::time::{Duration, Instant};

use super::super::support::processes::{children, cpu_time, descriptors, kill_hard, private_kib, threads};
use super::super::support::{Host, SOON, wait_until};
use super::{create, program, scale, serve_with};

/// As many as a small box may have by mistake.
const CROWD: usize = 60;
/// Restarts between two looks at what the server holds.
const RESTARTS: u32 = 60;

#[test]
fn a_crowd_that_crashes_costs_its_neighbours_and_the_server_little() {
    let host = Host::start();
    let neighbour = create(&host, "neighbour", "web: bin/web\n", &[]);
    neighbour.push().expect_accepted();
    let app = serve_with(&host, "crowd", "crash", program!("crash"));
    scale(&app, &format!("crash={CROWD}"));
    let waiting = || {
        let listed = app.paas(&["ps", "--json"]).expect_ok().json();
        let rows: Vec<_> = listed["types"]
            .as_array()
            .expect("types")
            .iter()
            .flat_map(|row| row["instances"].as_array().cloned().unwrap_or_default())
            .collect();
        rows.iter().filter(|row| row["state"] == "crashed" && row["restarts"].as_u64() >= Some(5)).count()
    };
    wait_until("all of them wait between their crashes", SOON * 2, || (waiting() >= CROWD - CROWD / 10).then_some(()));
    // A start among them is as quick as ever.
    let asked = Instant::now();
    kill_hard(neighbour.process("web.1"));
    wait_until("the neighbour is back", SOON, || neighbour.instance("web.1").filter(|row| row["restarts"] == 1 && row["state"] == "up"));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let (server, looked) = (host.server_pid(), Instant::now());
    let before = cpu_time(server);
    wait_until("the server was watched for a while", SOON, || (looked.elapsed() > Duration::from_secs(10)).then_some(()));
    let share = cpu_time(server).saturating_sub(before).as_secs_f64() / looked.elapsed().as_secs_f64();
    assert!(share < 0.25, "the server takes {:.0} % of a core", share * 100.0);
    let said = app.paas(&["logs", "-n", "5000", "-p", "crash"]).expect_ok().stdout;
    assert!(said.lines().filter(|line| line.contains("start of crash.")).count() >= CROWD * 5, "the output of a start is missing");
    scale(&app, "crash=0");
}

#[test]
fn restarts_without_end_leave_nothing_behind() {
    let host = Host::start();
    let app = create(&host, "often", "web: bin/web\n", &[]);
    app.push().expect_accepted();
    let server = host.server_pid();
    let launch = host.launch_pid().expect("launch");
    let round = |count: u32| {
        for _ in 0..count {
            let before = app.process("web.1");
            app.paas(&["ps:restart", "web.1"]).expect_ok();
            wait_until("another process is there", SOON, || {
                app.instance("web.1").filter(|row| row["state"] == "up" && app.process("web.1") != before)
            });
        }
    };
    let held = || {
        let entries = |folder: &str| std::fs::read_dir(host.root().join(folder)).expect("a folder of the app").count();
        (
            descriptors(server).len(),
            descriptors(launch).len(),
            threads(server),
            entries("runs/1"),
            entries("layers/1"),
            children(launch).len(),
        )
    };
    round(10);
    let before = wait_until("what is done is tidied", SOON, || Some(held()).filter(|held| held.4 <= 1));
    let kib = private_kib(server);
    round(RESTARTS);
    wait_until("nothing more is held than before", SOON, || {
        let now = held();
        (now.0 <= before.0 && now.1 <= before.1 && now.2 <= before.2 && now.3 <= before.3 && now.4 <= before.4 && now.5 <= before.5)
            .then_some(())
    });
    let grown = private_kib(server).saturating_sub(kib);
    assert!(grown < 16 * 1024, "the server has grown by {grown} KiB in {RESTARTS} restarts");
}
