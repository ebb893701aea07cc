//! One app that prints without end, and what the others notice of it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::super::support::asking::pid_of;
use super::super::support::processes::{kill_hard, private_kib};
use super::super::support::{Host, SOON, wait_until};
use super::{create, program, scale, serve_with};

/// Five segments of 10 MB, and the one that is being begun.
const LOG_BYTES_MAX: u64 = 61 * 1024 * 1024;
/// Of a shim through which a flood goes.
const SHIM_KIB_MAX: u64 = 8 * 1024;
const ASKED: usize = 200;

/// The median of many answers, one after the other.
fn median_answer(host: &Host, app: &str) -> Duration {
    let mut times: Vec<Duration> = (0..ASKED)
        .map(|_| {
            let asked = Instant::now();
            assert_eq!(host.get(app, "/").status, 200);
            asked.elapsed()
        })
        .collect();
    times.sort();
    times[ASKED / 2]
}

#[test]
fn a_flood_is_bounded_in_disk_and_memory_and_its_neighbours_answer() {
    let host = Host::start();
    let neighbour = create(&host, "neighbour", "web: bin/web\n", &[]);
    neighbour.push().expect_accepted();
    let app = serve_with(&host, "flood", "flood", program!("flood"));
    let before = median_answer(&host, "neighbour");
    scale(&app, "flood=1");
    let shim = pid_of(&app.up("flood.1")["shim_pid"]);
    let folder = host.root().join("logs/2/flood.1");
    let segments = || {
        let files = std::fs::read_dir(&folder).expect("a log folder").flatten();
        files.map(|file| (file.file_name(), file.metadata().map_or(0, |meta| meta.len()))).collect::<std::collections::BTreeMap<_, _>>()
    };
    let first = wait_until("the flood is kept", SOON, || segments().into_keys().next());
    let mut worst = Duration::ZERO;
    wait_until("the oldest of it is dropped", SOON * 2, || {
        worst = worst.max(median_answer(&host, "neighbour"));
        let bytes: u64 = segments().values().sum();
        assert!(bytes <= LOG_BYTES_MAX, "{bytes} bytes of log");
        (!segments().contains_key(&first)).then_some(())
    });
    assert!(private_kib(shim) <= SHIM_KIB_MAX, "{} KiB in the shim", private_kib(shim));
    // The machine is shared with other tests: twice as slow, and a turn of the scheduler.
    assert!(worst <= before * 2 + Duration::from_millis(25), "{worst:?} during the flood, {before:?} before");
    scale(&app, "flood=0");
}

#[test]
fn a_reader_that_stops_reading_holds_up_no_app() {
    let host = Host::start();
    let app = serve_with(&host, "counter", "counter", program!("counter"));
    scale(&app, "counter=1");
    app.up("counter.1");
    let rest = || app.logs().lines().filter_map(|line| line.split_once("rest at ")?.1.parse::<u64>().ok()).max();
    let mut reader = host.paas_command(&["logs", "-t", "-a", "counter"]).stdout(Stdio::piped()).spawn().expect("a reader");
    let from = wait_until("it counts", SOON, rest);
    let server = host.server_pid();
    // Far more than pipes and sockets between the app and the reader can hold.
    wait_until("it counts on, although nobody reads", SOON * 2, || rest().filter(|now| *now > from + 200_000));
    let kib = private_kib(server);
    assert!(kib < 300 * 1024, "{kib} KiB in the server");
    assert_eq!(app.up("counter.1")["restarts"], 0);
    kill_hard(reader.id());
    reader.wait().expect("the reader");
}
