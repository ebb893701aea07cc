//! A server that is killed at any moment: whatever was answered is there, and nothing
//! is half there.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::store::ReleaseState;

const ROOT_OF_CHILD: &str = "PAAS_TEST_STORE_ROOT";
const ROUNDS: u32 = 4;

/// The child of the test below: deploys for ever, and says what was answered.
#[tokio::test]
#[ignore = "runs as the child of a_killed_server_leaves_what_was_answered_and_nothing_by_half"]
async fn child() {
    let root = PathBuf::from(std::env::var_os(ROOT_OF_CHILD).expect("started by a test below"));
    let store = open(&root.join("store/paas.db"), &root.join("keys/secret.key"));
    store.settle_interrupted(NOW).await.expect("settled");
    let app = match find_app(&store, "hello").await {
        Some(app) => app.number,
        None => create(&store, "hello").await.number,
    };
    store.insert_slug(app, new_slug(1), NOW).await.expect("a slug");
    let deadline = Instant::now() + Duration::from_mins(1);
    while Instant::now() < deadline {
        let wanted = store.insert_config(app, vars(&[("K", "value")]), NOW).await.expect("a set");
        let cause = Cause::Config { keys: vec!["K".to_owned()], set: true };
        let version = candidate_with(&store, app, 1, wanted, cause).await;
        println!("candidate {}", version.0);
        switch(&store, app, version).await;
        println!("switched {}", version.0);
    }
}

/// Kills and reaps, also when the test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts the child and kills it (SIGKILL) after a number of lines; returns what it said.
fn run_and_kill(root: &Path, lines: usize) -> Vec<String> {
    // Not `current_exe()`: a build that runs beside the test replaces that file.
    let child = Command::new("/proc/self/exe")
        .args(["--exact", "store::tests::crash::child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(ROOT_OF_CHILD, root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child");
    let mut child = Killed(child);
    let output = BufReader::new(child.0.stdout.take().expect("its output"));
    let mut said = Vec::new();
    for line in output.lines() {
        let line = line.expect("a line");
        if line.starts_with("candidate ") || line.starts_with("switched ") {
            said.push(line);
        }
        if said.len() == lines {
            child.0.kill().expect("killed");
        }
    }
    said
}

#[tokio::test]
async fn a_killed_server_leaves_what_was_answered_and_nothing_by_half() {
    let root = Root::new();
    let mut switched = 0;
    for round in 0..ROUNDS {
        // An odd count dies between candidate and flip, an even one after a flip.
        let said = run_and_kill(root.0.path(), 20 + round as usize);
        assert!(said.len() >= 20, "the child ended early: {said:?}");
        let answered =
            |word: &str| said.iter().rev().find_map(|line| line.strip_prefix(word)?.trim().parse::<u32>().ok()).expect("a number");
        let store = root.open();
        let app = find_app(&store, "hello").await.expect("the app");
        let current = app.current.expect("a current release").0;
        let releases = store.list_releases(app.number, 10_000).await.expect("releases");
        let newest = releases[0].release.version.0;
        assert!(current >= answered("switched ") && current > switched, "an answered flip is lost");
        assert!(newest >= answered("candidate "), "an answered candidate is lost");
        switched = current;

        let record = &releases[(newest - current) as usize];
        assert_eq!((record.release.version.0, record.state), (current, ReleaseState::Current));
        assert_eq!(record.release.config_version, app.config_version, "the config moved with the flip");
        assert_eq!(store.formation(app.number).await.expect("read"), formation(&[("web", 1)]));
        let undecided = releases.iter().filter(|found| found.state == ReleaseState::Candidate).count();
        assert!(undecided <= 1, "more than one release was in the air");
        let outcomes = releases.iter().filter(|found| found.switched_unix_ms.is_some()).count();
        let events = store.list_events(Some(app.number), 10_000).await.expect("events");
        let flips = events.iter().filter(|event| event.code == "release.switched").count();
        let created = events.iter().filter(|event| event.code == "release.created").count();
        assert_eq!((flips, created), (outcomes, releases.len()), "an event for each change and no other");
    }
}

#[tokio::test]
async fn a_killed_server_leaves_its_write_ahead_log_and_no_copy_of_it_is_needed() {
    let root = Root::new();
    run_and_kill(root.0.path(), 10);
    let copy = Root::new();
    std::fs::create_dir_all(copy.database().parent().expect("a folder")).expect("a folder");
    for suffix in ["", "-wal"] {
        let path = |root: &Root| PathBuf::from(format!("{}{suffix}", root.database().display()));
        std::fs::copy(path(&root), path(&copy)).expect("copied");
    }
    let store = open(&copy.database(), &root.key());
    let app = find_app(&store, "hello").await.expect("the app");
    assert!(app.current.is_some());
}
