//! A full disk: refused before the build, with the numbers; what serves goes on.

use std::io::Write;

use super::support::{Filler, Host, HostOptions, small};

/// Room for a server, its binary in debug mode, a database cluster and a small app.
const DISK_BYTES: u64 = 900 * 1024 * 1024;
/// What is left when the disk counts as full here.
const LEFT_BYTES: u64 = 512 * 1024;

#[test]
fn a_full_disk_is_refused_before_the_build_and_costs_nothing_that_was_there() {
    if !nix::unistd::geteuid().is_root() {
        // Written past the test's capture, so that nobody takes it for tried.
        let said = "NOT TRIED: disk::a_full_disk_… needs a small disk, and only root can make one (script/test does it with sudo)\n";
        std::io::stderr().write_all(said.as_bytes()).expect("standard error");
        return;
    }
    let host = Host::start_with(HostOptions { disk_bytes: Some(DISK_BYTES), ..HostOptions::default() });
    let app = small::serve(&host, "small");
    let head = app.remote_head();
    let filler = Filler::fill(&host.root(), LEFT_BYTES);

    app.checkout.replace("bin/web", "VERSION = \"one\"", "VERSION = \"two\"");
    app.checkout.commit("Two");
    let refused = app.push();
    assert_ne!(refused.code, 0, "{}", refused.text());
    refused.expect_text("[remote rejected]").expect_text("disk").expect_no_text("Compressing slug");
    assert_eq!((app.remote_head(), app.release()), (head, "v1".to_owned()));
    assert_eq!(host.facts("small")["version"], "one");
    host.paas(&["status"]).expect_ok().expect_text("disk");

    filler.give_back();
    app.push().expect_accepted();
    assert_eq!(host.facts("small")["version"], "two");
}
