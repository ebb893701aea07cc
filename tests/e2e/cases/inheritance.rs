//! What a process gets from whoever started it: what is promised and nothing else.

use super::super::support::{Host, SOON};
use super::{program, scale, serve_with};

#[test]
fn a_process_inherits_nothing_of_the_server() {
    let host = Host::start();
    let app = serve_with(&host, "world", "world", program!("world"));
    scale(&app, "world=1");
    app.wait_for_log("files", SOON);
    let log = app.logs();
    for line in ["stdin /dev/null", "read 0", "blocked 0000000000000000", "ignored 0000000000000000", "umask 0022", "files 10000"] {
        assert!(log.lines().any(|found| found.contains("app[world.1]:") && found.ends_with(line)), "no `{line}` in\n{log}");
    }
}

#[test]
fn a_config_var_that_no_process_can_get_is_refused_when_it_is_set() {
    let host = Host::start();
    let app = serve_with(&host, "large", "other", "#!/bin/sh\nexit 0\n");
    let before = app.release();
    // The kernel's limit for one string is 128 KiB, name and end included.
    let large = format!("LARGE={}", "x".repeat(100 * 1024));
    let refused = app.paas(&["config:set", &large]);
    assert_ne!(refused.code, 0, "{}", refused.text());
    refused.expect_text("LARGE").expect_no_text("xxxxxxxxxx");
    app.paas(&["config:set", "LINES=one\ntwo = 2\n"]).expect_ok();
    assert_eq!(app.paas(&["config:get", "LINES"]).expect_ok().stdout.trim_end(), "one\ntwo = 2");
    assert_ne!(app.release(), before);
    app.paas(&["config:get", "LARGE"]).expect_no_text("xxxxxxxxxx");
}

#[test]
fn what_an_app_prints_cannot_look_like_the_platform_or_drive_the_terminal() {
    let host = Host::start();
    let app = serve_with(&host, "forger", "forger", program!("forger"));
    scale(&app, "forger=1");
    app.wait_for_log("gone (forged)", SOON);
    let log = app.logs();
    let forged: Vec<&str> = log.lines().filter(|line| line.contains("(forged)")).collect();
    assert_eq!(forged.len(), 3, "{log}");
    assert!(forged.iter().all(|line| line.contains(" app[forger.1]: ") && !line.contains('\u{1b}') && !line.contains('\r')), "{forged:#?}");
    let lines = app.paas(&["logs", "-n", "1000", "--json"]).expect_ok().stdout;
    let fields: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let forged: Vec<_> = fields.iter().filter(|line| line["text"].as_str().is_some_and(|text| text.contains("(forged)"))).collect();
    assert_eq!(forged.len(), 3);
    assert!(forged.iter().all(|line| line["source"] == "app" && line["process"] == "forger.1"), "{forged:#?}");
}
