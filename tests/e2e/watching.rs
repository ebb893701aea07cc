//! The first minute after a switch: what goes wrong then is undone by itself.

use super::support::{App, Host, SOON, small, wait_until};

/// `do_GET` of the small app, with something that only some visitors meet.
const ANSWERS: &str = "        self.send_response(200)\n";

#[track_caller]
fn expect_undone(host: &Host, app: &App<'_>, why: &str) {
    assert_eq!(app.release(), "v3");
    assert_eq!(host.facts(&app.name)["version"], "one");
    let told = "v2 was rolled back by itself: ";
    let trouble = host.status()["apps"][0]["trouble"].as_str().unwrap_or_default().to_owned();
    assert!(trouble.starts_with(told) && trouble.contains(why), "{trouble}");
    app.paas(&["releases"]).expect_ok().expect_text("Rollback to v1").expect_text("failed");
    app.paas(&["events"]).expect_ok().expect_text("v2 was rolled back by itself, v3 serves");
    app.wait_for_log("v2 was rolled back by itself to v1, as v3", SOON);
    app.checkout.git(&["revert", "--no-edit", "HEAD"]).expect_ok();
    app.push().expect_accepted().expect_text(told).expect_text(why);
    assert_eq!(host.status()["apps"][0]["trouble"], serde_json::Value::Null);
    app.push_change("bin/web", "VERSION = \"one\"", "VERSION = \"two\"").expect_accepted().expect_no_text("rolled back");
}

#[test]
fn a_release_that_answers_visitors_with_500_is_rolled_back_by_itself() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    for _ in 0..30 {
        assert_eq!(host.get("small", "/cart").status, 200);
    }
    // Its check is well: only visitors see what is wrong.
    app.push_change("bin/web", ANSWERS, "        self.send_response(500 if self.path == \"/cart\" else 200)\n").expect_accepted();
    for _ in 0..30 {
        assert_eq!(host.get("small", "/cart").status, 500);
    }
    wait_until("the old code serves again", SOON, || (host.get("small", "/cart").status == 200).then_some(()));
    expect_undone(&host, &app, " requests were answered with 5xx, 0 of 31 before");
}

#[test]
fn a_release_that_crashes_again_and_again_is_rolled_back_by_itself() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.push_change("bin/web", ANSWERS, "        if self.path == \"/cart\": os._exit(3)\n        self.send_response(200)\n")
        .expect_accepted();
    wait_until("the old code serves again", SOON, || (host.get("small", "/cart").status == 200).then_some(()));
    expect_undone(&host, &app, "web.1 crashes again and again: exited 3 after");
}

#[test]
fn a_release_whose_release_phase_ran_is_left_as_it_is_with_a_warning() {
    let host = Host::start();
    let app = small::create(&host, "small");
    app.checkout.write("Procfile", "web: bin/web\nrelease: true\n");
    app.checkout.commit("Migrate");
    app.push().expect_accepted();
    app.push_change("bin/web", ANSWERS, "        self.send_response(500 if self.path == \"/cart\" else 200)\n").expect_accepted();
    for _ in 0..30 {
        assert_eq!(host.get("small", "/cart").status, 500);
    }
    app.wait_for_log("it is not rolled back, since its release phase ran", SOON);
    assert_eq!(app.release(), "v2");
}
