//! Starts that cannot work, and one that only takes long.

use super::super::support::processes::kill_hard;
use super::super::support::{Host, RequestLoop, SOON, small, wait_until};
use super::{create, program, serve_with};

#[test]
fn a_program_for_another_machine_is_refused_with_the_shells_words() {
    let host = Host::start();
    let app = serve_with(&host, "format", "other", "#!/bin/sh\nexit 0\n");
    // An ELF head of a machine that does not exist, and nothing behind it.
    app.checkout.write("bin/web", "\u{7f}ELF\u{2}\u{1}\u{1}\0\0\0\0\0\0\0\0\0\u{2}\0\u{f}\u{f}");
    app.checkout.commit("A web process for another machine");
    app.push().expect_refused().expect_text("web.1").expect_text("exited 126").expect_text("xec format error");
    app.checkout.write("bin/web", "#!/no/such/interpreter\n");
    app.checkout.commit("A web process whose interpreter is missing");
    app.push().expect_refused().expect_text("web.1 exited 127").expect_text("required file not found");
    assert_eq!(host.facts("format")["release"], "v1");
}

#[test]
fn a_slow_start_is_waited_for_while_the_old_release_serves() {
    let host = Host::start();
    let app = serve_with(&host, "slow", "other", "#!/bin/sh\nexit 0\n");
    let visitors = RequestLoop::start(&host, "slow");
    app.checkout.write("bin/quick", &small::WEB.replace("VERSION = \"one\"", "VERSION = \"two\""));
    app.checkout.write("bin/web", program!("slow_start"));
    app.checkout.commit("A web process that starts slowly");
    app.push().expect_accepted();
    let report = visitors.stop();
    report.expect_no_failure();
    assert_eq!(host.facts("slow")["version"], "two");
    assert_eq!(app.up("web.1")["restarts"], 0, "its start was taken for a hang");
    // The same once it is the only one: requests wait or are told, and it is not killed.
    kill_hard(app.process("web.1"));
    wait_until("it is back", SOON, || app.instance("web.1").filter(|row| row["restarts"] == 1 && row["state"] == "up"));
}

#[test]
fn an_instance_whose_slug_cannot_be_read_says_so_and_is_not_started_again_and_again() {
    let host = Host::start();
    let app = create(&host, "lost", "web: bin/web\n", &[]);
    app.push().expect_accepted();
    let number = |name: &str| std::fs::read_dir(host.root().join(name)).expect("a folder of the server").flatten();
    for file in number("slugs") {
        std::fs::write(file.path(), b"no slug any more").expect("a damaged slug");
    }
    for entry in number("releases").flat_map(|app| std::fs::read_dir(app.path()).expect("releases of an app").flatten()) {
        if entry.path().extension().is_some() {
            std::fs::remove_file(entry.path()).expect("the mark of a whole release");
        }
    }
    kill_hard(app.process("web.1"));
    let row = wait_until("it waits before it tries again", SOON, || {
        app.instance("web.1")
            .filter(|row| row["state"] == "crashed" && row["next_start_unix_ms"].is_u64() && row["restarts"].as_u64() >= Some(4))
    });
    assert!(row["last_end"].as_str().is_some_and(|end| end.contains("could not be started: unpacking slug")), "{row}");
    app.paas(&["ps:why", "web.1"]).expect_ok().expect_text("the slug cannot be unpacked");
}
