//! Finding log lines again.

use super::support::{Host, SOON, small, wait_until};

#[test]
fn lines_are_found_by_time_release_and_pattern() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.push_change("bin/web", "VERSION = \"one\"", "VERSION = \"two\"").expect_accepted();
    app.wait_for_log("serving version two", SOON);
    let texts = |words: &[&str]| {
        let output = app.paas(&[&["logs"], words].concat()).expect_ok();
        output.stdout.lines().filter_map(|line| line.split_once("]: ").map(|(_, text)| text.to_owned())).collect::<Vec<_>>()
    };
    let first = wait_until("both releases said something", SOON, || Some(texts(&["--release", "v1"])).filter(|lines| !lines.is_empty()));
    assert_eq!(first, ["serving version one"]);
    assert_eq!(texts(&["--grep", "serving version (one|two)$", "-s", "app"]), ["serving version one", "serving version two"]);
    assert_eq!(texts(&["--grep", "serving", "-n", "1"]), ["serving version two"]);
    assert_eq!(texts(&["--until", "1h"]), Vec::<String>::new());
    let since = app.paas(&["logs", "--since", "2h", "-p", "web", "-s", "app"]).expect_ok();
    assert!(since.stdout.contains("serving version one"), "{}", since.stdout);
    let _ = since.expect_text("the oldest line that is kept is of ");
    let json = app.paas(&["logs", "--json", "--release", "2"]).expect_ok();
    let line: serde_json::Value = serde_json::from_str(json.stdout.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&line["release"], &line["process"]), (&"v2".into(), &"web.1".into()));
    app.paas(&["logs", "--grep", "("]).expect_code(2).expect_text("no regular expression");
    app.paas(&["logs", "--since", "some day"]).expect_code(2).expect_text("write it as 2h");
    assert!(!is_coloured(&app.paas(&["logs"]).expect_ok().stdout), "colour is for terminals");
}

fn is_coloured(text: &str) -> bool {
    text.contains('\u{1b}')
}
