//! Releases: config changes, rollbacks, history.

use super::support::{Host, RequestLoop, SOON, small, wait_until};

#[test]
fn a_config_change_is_a_release_and_values_survive_unchanged() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let visitors = RequestLoop::start(&host, "small");
    app.paas(&["config:set", "WORD=first"]).expect_ok().expect_text("Setting WORD and restarting small... done, v2");
    assert_eq!(host.facts("small")["word"], "first");
    visitors.stop().expect_no_failure();
    for value in ["with spaces", "$HOME `id` \"quoted\" 'single'", "two\nlines", "ünï=code", ""] {
        app.paas(&["config:set", &format!("WORD={value}")]).expect_ok();
        wait_until("the new value is there", SOON, || (host.facts("small")["word"] == value).then_some(()));
        assert_eq!(app.paas(&["config:get", "WORD"]).expect_ok().stdout, format!("{value}\n"));
    }
    app.paas(&["config:unset", "WORD"]).expect_ok();
    wait_until("the value is gone", SOON, || host.facts("small")["word"].is_null().then_some(()));
    let release = app.release();
    app.paas(&["config:set", "WORD=later", "--no-restart"]).expect_ok();
    assert_eq!((app.release(), host.facts("small")["word"].is_null()), (release, true));
}

#[test]
fn a_config_change_that_breaks_the_app_is_refused_and_not_saved() {
    let host = Host::start();
    let app = small::create(&host, "small");
    app.checkout.replace("bin/web", "VERSION = \"one\"", "VERSION = \"one\"\nassert os.environ.get(\"WORD\") != \"bad\", \"bad word\"");
    app.checkout.commit("Refuse a word");
    app.push().expect_accepted();
    let refused = app.paas(&["config:set", "WORD=bad"]);
    assert_ne!(refused.code, 0, "{}", refused.text());
    refused.expect_text("v1 keeps serving").expect_text("not saved");
    assert_eq!(app.paas(&["config", "--json"]).expect_ok().json()["vars"], serde_json::json!({}));
    assert_eq!((app.release(), host.facts("small")["version"].clone()), ("v1".to_owned(), "one".into()));
}

#[test]
fn a_rollback_is_a_new_release_with_the_old_slug_and_loses_no_request() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.push_change("bin/web", "VERSION = \"one\"", "VERSION = \"two\"").expect_accepted();
    let visitors = RequestLoop::start(&host, "small");
    app.paas(&["rollback"]).expect_ok().expect_text("Rolling back small... done, v3 is v1 again");
    let facts = host.facts("small");
    assert_eq!((&facts["version"], &facts["release"]), (&"one".into(), &"v3".into()));
    app.paas(&["rollback", "v2"]).expect_ok().expect_text("Rolling back small to v2... done, v4");
    assert_eq!(host.facts("small")["version"], "two");
    visitors.stop().expect_no_failure();
    let listed = app.paas(&["releases", "--json"]).expect_ok().json();
    let rows = listed["releases"].as_array().expect("releases");
    let versions: Vec<_> = rows.iter().filter_map(|row| row["version"].as_str()).collect();
    assert_eq!(versions, ["v4", "v3", "v2", "v1"]);
    assert_eq!((&rows[0]["state"], &rows[1]["state"]), (&"current".into(), &"superseded".into()));
    assert_eq!((&rows[0]["slug"], &rows[1]["slug"]), (&rows[2]["slug"], &rows[3]["slug"]));
    app.paas(&["releases:info", "v1"]).expect_ok().expect_text(&app.checkout.git(&["rev-parse", "HEAD~1"]).expect_ok().stdout.trim()[..7]);
}
