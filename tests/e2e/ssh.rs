//! The SSH way: a private sshd on a loopback port, real keys, real git.

use std::process::Command;

use super::support::host::HostOptions;
use super::support::sshd::Sshd;
use super::support::{Host, Output, SOON, small};

/// A host whose login user exists for the server and for sshd alone.
fn start() -> (Host, Sshd) {
    let host = Host::start_with(HostOptions { login_account: true, ..HostOptions::default() });
    let sshd = Sshd::start(&host);
    (host, sshd)
}

#[test]
fn a_member_pushes_over_ssh_and_a_stranger_does_not() {
    let (host, sshd) = start();
    let app = small::create(&host, "small");
    let key = sshd.key(&host, "anna").to_string_lossy().into_owned();
    app.paas(&["access:add", "anna", "--key", &key, "--role", "deployer", "-a", "small"]).expect_ok();
    sshd.key(&host, "stranger");
    let push = |person: &str, name: &str| {
        let remote = sshd.remote(name);
        let words = ["push", &remote, "main"];
        let mut command = app.checkout.git_command(&words);
        Output::of(
            command.env("GIT_SSH_COMMAND", sshd.ssh_command(person)),
            &format!("git push as {person}"),
            super::support::PUSH_DEADLINE,
        )
    };
    push("stranger", "small").expect_code(128).expect_text("Permission denied (publickey)");
    push("anna", "small").expect_accepted().expect_text("-----> Release v1");
    assert_eq!(host.facts("small")["version"], "one");
    push("anna", "elsewhere").expect_code(128).expect_text("no such app: elsewhere");
    host.paas(&["access:remove", "anna"]).expect_ok();
    app.checkout.commit("After anna was removed");
    push("anna", "small").expect_code(128).expect_text("Permission denied (publickey)");
    assert_eq!(app.release(), "v1");
}

#[test]
fn nothing_but_git_and_its_two_verbs_comes_through_the_door() {
    let (host, sshd) = start();
    small::create(&host, "small");
    let key = sshd.key(&host, "anna").to_string_lossy().into_owned();
    host.paas(&["access:add", "anna", "--key", &key, "--role", "deployer", "-a", "small"]).expect_ok();
    for (words, answer) in [
        ("", "there is no shell"),
        ("id", "there is no command `id` here"),
        ("git-upload-archive 'small'", "there is no command `git-upload-archive` here"),
        ("git-receive-pack 'small'; id", "`;` would need a shell"),
        ("git-lfs-authenticate 'small' upload", "Git LFS is not served here"),
        ("git-upload-pack '../../etc'", "`../../etc` is not a valid app name"),
    ] {
        let mut command = Command::new(super::support::tools::find("ssh"));
        command.args(sshd.client_words("anna")).arg(sshd.destination()).arg(words).stdin(std::process::Stdio::null());
        let output = Output::of(&mut command, &format!("ssh {words}"), SOON);
        assert_ne!(output.code, 0, "`{words}`: {}", output.text());
        output.expect_text(answer).expect_no_text("uid=");
    }
}
