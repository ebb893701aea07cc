//! Trees that no git client makes: written as raw objects, pushed by the real client.

use std::io::Write;
use std::process::Stdio;

use super::support::{App, Host, small};

/// Writes an object as it is, without git looking at it.
fn write_object(app: &App<'_>, kind: &str, bytes: &[u8]) -> String {
    let words = ["hash-object", "-t", kind, "-w", "--literally", "--stdin"];
    let mut child = app.checkout.git_command(&words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git");
    child.stdin.take().expect("stdin").write_all(bytes).expect("bytes of an object");
    let output = child.wait_with_output().expect("git");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// An entry of a raw tree.
fn entry(mode: &str, name: &[u8], id: &str) -> Vec<u8> {
    let id = (0..id.len()).step_by(2).map(|at| u8::from_str_radix(&id[at..at + 2], 16).expect("hexadecimal digits"));
    [mode.as_bytes(), b" ", name, b"\0"].concat().into_iter().chain(id).collect()
}

/// Pushes a commit of the small app whose tree has one entry more; it must be refused.
#[track_caller]
fn expect_tree_refused(mode: &str, name: &[u8], is_folder: bool) {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let head = app.remote_head();
    let blob = write_object(&app, "blob", b"owned\n");
    let id = if is_folder { write_object(&app, "tree", &entry("100644", b"config", &blob)) } else { blob };
    let web = app.checkout.git(&["rev-parse", "HEAD:Procfile"]).expect_ok().stdout;
    let tree = [entry(mode, name, &id), entry("100644", b"Procfile", web.trim())].concat();
    let tree = write_object(&app, "tree", &tree);
    let commit = app.checkout.git(&["commit-tree", "-p", "HEAD", "-m", "Hostile", &tree]).expect_ok().stdout;
    let pushed = app.checkout.git(&["push", "paas", &format!("{}:refs/heads/main", commit.trim())]);
    assert_ne!(pushed.code, 0, "{}", pushed.text());
    pushed.expect_text("[remote rejected]");
    assert_eq!(app.remote_head(), head);
    assert_eq!(host.facts("small")["version"], "one");
    let state = app.paas(&["builds", "--json"]).expect_ok().json()["builds"][0]["state"].clone();
    assert!(state == "refused" || state == "failed", "{state}");
    for folder in ["builds", "releases", "repositories"] {
        assert!(!host.root().join(folder).join("config").exists(), "it got out into {folder}");
    }
}

#[test]
fn a_tree_with_a_parent_folder_is_refused() {
    expect_tree_refused("40000", b"..", true);
}

#[test]
fn a_tree_with_a_git_folder_is_refused() {
    expect_tree_refused("40000", b".git", true);
}

#[test]
fn a_tree_with_a_git_folder_in_other_letters_is_refused() {
    expect_tree_refused("40000", b".GiT", true);
}

#[test]
fn a_tree_with_a_slash_in_a_name_is_refused() {
    expect_tree_refused("100644", b"../../config", false);
}
