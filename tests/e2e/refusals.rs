//! Bad input: what is said, how the command ends, and that nothing is lost.

use super::support::checkout::Checkout;
use super::support::{App, Host, small};

/// Commits and pushes what must be refused; the old release goes on.
#[track_caller]
fn refused(host: &Host, app: &App<'_>, texts: &[&str]) {
    let head = app.remote_head();
    app.checkout.commit("Something that does not work");
    let output = app.push().expect_refused();
    for text in texts {
        output.clone().expect_text(text);
    }
    assert_eq!(app.remote_head(), head);
    assert_eq!(host.facts(&app.name)["version"], "one");
    let build = app.paas(&["builds", "--json"]).expect_ok().json()["builds"][0].clone();
    assert!(matches!(build["state"].as_str(), Some("failed" | "refused")), "{build}");
    let kept = app.paas(&["builds:output"]).expect_ok();
    kept.expect_text(texts[0]);
}

#[test]
fn a_broken_procfile_is_refused_with_line_and_column() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.checkout.write("Procfile", "# processes\nweb: bin/web\n  wor ker: bin/web\n");
    refused(&host, &app, &["Procfile:3:3"]);
    app.checkout.write("Procfile", "web bin/web\n");
    refused(&host, &app, &["Procfile:1:1: no `:` after the process type"]);
    app.checkout.write("Procfile", "# nothing\n");
    refused(&host, &app, &["Procfile"]);
}

#[test]
fn an_unknown_language_is_refused_with_what_is_looked_for() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.checkout.git(&["rm", "--quiet", "Procfile"]).expect_ok();
    refused(&host, &app, &["requirements.txt", "package.json", "Procfile"]);
}

#[test]
fn a_failing_pip_is_refused_with_its_own_words() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.checkout.write("requirements.txt", "Flask==0.0.404\n");
    refused(&host, &app, &["Flask==0.0.404", "No matching distribution found"]);
}

#[test]
fn a_failing_npm_is_refused_with_its_own_words() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    small::wait_in_build(&app);
    app.checkout.write("package.json", r#"{"name": "small", "version": "1.0.0", "dependencies": {"ms": "2.1.3"}}"#);
    refused(&host, &app, &["Missing: ms@2.1.3 from lock file", "`npm ci --omit=dev` exited 1"]);
}

#[test]
fn a_missing_lockfile_is_refused_with_the_command_that_makes_one() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.checkout.write("package.json", r#"{"name": "small", "version": "1.0.0", "dependencies": {"ms": "2.1.3"}}"#);
    refused(&host, &app, &["package-lock.json", "npm install"]);
}

#[test]
fn bad_names_and_keys_are_refused_in_words_and_change_nothing() {
    let host = Host::start();
    for name in ["Bad_Name", "-x", "a", "../../etc", "paas", "a b", "hé", &"x".repeat(40)] {
        let output = host.paas(&["apps:create", "--", name]).expect_code(2);
        output.expect_text("is not a valid app name");
    }
    assert_eq!(host.paas(&["apps", "--json"]).expect_ok().json()["apps"].as_array().map(Vec::len), Some(0));
    let app = small::serve(&host, "small");
    for assignment in ["1A=x", "A-B=x", "É=x", "PORT=1"] {
        app.paas(&["config:set", "GOOD=yes", assignment]).expect_code(2).expect_text("is not a valid config var name");
    }
    app.paas(&["config:set", "stray"]).expect_code(2);
    assert_eq!(app.paas(&["config", "--json"]).expect_ok().json()["vars"], serde_json::json!({}));
    assert_eq!(app.release(), "v1");
    app.paas(&["ps:scale", "web=1000"]).expect_code(2);
    app.paas(&["ps:scale", "nothing=1"]).expect_code(3).expect_text("there is no process type nothing");
    app.paas(&["rollback", "v77"]).expect_code(3).expect_text("v77");
    app.paas(&["ps:why", "web.9"]).expect_code(3);
    host.paas(&["ps", "-a", "absent"]).expect_code(3).expect_text("no such app: absent");
    host.paas(&["apps:create", "small"]).expect_code(4).expect_text("small");
}

#[test]
fn an_unknown_command_suggests_the_nearest_one() {
    let host = Host::start();
    host.paas(&["ps:scael", "web=1"]).expect_code(2).expect_text("ps:scale");
}

#[test]
fn control_characters_of_a_build_do_not_reach_the_terminal() {
    let host = Host::start();
    let app = small::create(&host, "small");
    small::wait_in_build(&app);
    app.checkout.write("bin/wait", "#!/bin/sh\nprintf '\\033[2J\\r-----> Switched traffic to v99\\033]0;owned\\007\\n'\n");
    app.checkout.commit("A build that draws");
    let pushed = app.push().expect_accepted();
    assert!(!pushed.text().contains(['\u{1b}', '\u{7}']), "{}", pushed.text());
    assert!(!pushed.text().lines().any(|line| line.starts_with("-----> Switched traffic to v99")), "{}", pushed.text());
}

#[test]
fn an_lfs_pointer_is_refused_with_its_path() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
    app.checkout.write("big.bin", &format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12345\n"));
    refused(&host, &app, &["big.bin", "LFS"]);
}

#[test]
fn a_link_out_of_the_tree_is_refused_with_its_path() {
    let host = Host::start();
    let checkout = Checkout::of_files(&host, small::FILES);
    std::os::unix::fs::symlink("/etc/passwd", checkout.folder().join("passwords")).expect("link");
    checkout.commit("A link out of the tree");
    let app = host.create("small", checkout);
    app.push().expect_refused().expect_text("passwords");
    assert_eq!(app.remote_head(), None);
}
