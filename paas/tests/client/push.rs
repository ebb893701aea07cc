//! Real pushes: git → door → receive-pack → hook, with the server's part played here.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use api::git::{Git, Verb};
use api::wire::FromServer;

use crate::frames::FrameSocket;
use crate::protocol::{FromHook, Hello, ObjectKind, SourceDone, ToHook};
use crate::support::{Conversation, Host, Told, git, run, spawn, succeed, wait};

/// A checkout with one commit on main, and the repository that it pushes to.
struct Pushes {
    host: Host,
}

impl Pushes {
    fn new() -> Self {
        let host = Host::new();
        let pushes = Self { host };
        let repository = pushes.repository();
        succeed(&mut pushes.host.paas(["internal", "repository", "create", "--repository", &repository]));
        let hook = PathBuf::from(&repository).join("hooks/pre-receive");
        assert_eq!(std::fs::read_to_string(&hook).expect("hook"), "#!/bin/sh\nexec /paas internal hook\n");
        // Here the binary is not at /paas.
        std::fs::write(&hook, format!("#!/bin/sh\nexec '{}' internal hook\n", env!("CARGO_BIN_EXE_paas"))).expect("hook");
        succeed(&mut pushes.host.git(["init", "--quiet", "--initial-branch=main"]));
        let work = pushes.host.work();
        std::fs::create_dir(work.join("folder")).expect("folder");
        std::fs::write(work.join("Procfile"), "web: python app.py\n").expect("file");
        std::fs::write(work.join("folder/run.sh"), "#!/bin/sh\n").expect("file");
        std::fs::set_permissions(work.join("folder/run.sh"), PermissionsExt::from_mode(0o755)).expect("mode");
        std::os::unix::fs::symlink("folder/run.sh", work.join("link")).expect("link");
        pushes.git(&["add", "."]);
        pushes.git(&["commit", "--quiet", "--message=first"]);
        pushes.git(&["remote", "add", "paas", "file:///hello"]);
        for (key, flag) in [("receivepack", "--receive-pack"), ("uploadpack", "--upload-pack")] {
            let door = format!("'{}' --root '{}' internal door {flag}", env!("CARGO_BIN_EXE_paas"), pushes.host.root().display());
            pushes.git(&["config", &format!("remote.paas.{key}"), &door]);
        }
        pushes
    }

    fn repository(&self) -> String {
        self.host.root().join("repository").to_string_lossy().into_owned()
    }

    #[track_caller]
    fn git(&self, words: &[&str]) -> String {
        succeed(&mut self.host.git(words))
    }

    fn commit(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    fn remote_ref(&self, name: &str) -> String {
        succeed(&mut self.host.paas(["internal", "repository", "resolve", name, "--repository", &self.repository()])).trim().to_owned()
    }

    /// Serves so many pushes; `decide` is the server's part of each.
    fn serve<T: Send + 'static>(
        &self,
        count: usize,
        decide: impl Fn(Hello, FrameSocket) -> T + Send + 'static,
    ) -> JoinHandle<Vec<Option<T>>> {
        let repository = self.repository();
        self.host.answer("operator.sock", count, move |_, client| serve_git(&repository, client, &decide))
    }

    fn push(&self, words: &[&str]) -> Told {
        run(self.host.git(["push"]).args(words))
    }
}

/// What launch does in the sandbox, without one.
fn serve_git<T>(repository: &str, client: Conversation, decide: &impl Fn(Hello, FrameSocket) -> T) -> Option<T> {
    let asked: Git = serde_json::from_value(client.request.body).expect("git");
    assert_eq!(asked.repository, "hello");
    let verb = if asked.verb == Verb::ReceivePack { "receive-pack" } else { "upload-pack" };
    let [stdin, stdout, _] = <[OwnedFd; 3]>::try_from(client.descriptors).expect("three descriptors");
    let (ours, theirs) = UnixStream::pair().expect("pair");
    // The shell moves the socket from descriptor 2 to 3, where the sandbox has it.
    let settings = git(Path::new(repository));
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec 3<&2 2>/dev/null; exec git {verb} .")]).current_dir(repository).env_clear().env("PAAS_HOOK_FD", "3");
    shell.envs(settings.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = spawn(shell.stdin(stdin).stdout(stdout).stderr(OwnedFd::from(theirs)));
    drop(shell);
    let hook = FrameSocket::new(ours).expect("socket");
    let decided = match hook.receive::<FromHook>() {
        Ok(Some(received)) => match received.message {
            FromHook::Hello(hello) => Some(decide(hello, hook)),
            other => panic!("{other:?} came first"),
        },
        // git ended before its hook.
        _ => None,
    };
    let code = wait(&mut child).unwrap_or(255);
    // A client that is gone needs no exit code.
    let _ = client.socket.send(&FromServer::Exit(u8::try_from(code).unwrap_or(255)), &[]);
    decided
}

fn verdict(hook: &FrameSocket, accept: bool) {
    hook.send(&ToHook::Verdict { accept }, &[]).expect("verdict");
}

/// Asks for the source and reads it whole: path → content and mode.
fn source(hook: &FrameSocket, commit: &str, folder: Option<&str>) -> (SourceDone, BTreeMap<String, (u32, String)>) {
    let (reader, writer) = std::io::pipe().expect("pipe");
    hook.send(&ToHook::SendSource { commit: commit.to_owned(), folder: folder.map(str::to_owned) }, &[writer.as_fd()]).expect("asked");
    drop(writer);
    let mut archive = tar::Archive::new(reader);
    let mut files = BTreeMap::new();
    for entry in archive.entries().expect("tar") {
        let mut entry = entry.expect("entry");
        let path = entry.path().expect("path").to_string_lossy().trim_end_matches('/').to_owned();
        let mut content = String::new();
        entry.read_to_string(&mut content).expect("content");
        if let Some(target) = entry.link_name().expect("link") {
            content = format!("-> {}", target.display());
        }
        files.insert(path, (entry.header().mode().expect("mode") & 0o777, content));
    }
    match hook.receive().expect("received").expect("there").message {
        FromHook::SourceDone(done) => (done, files),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_push_streams_its_tree_shows_lines_and_moves_the_ref_with_the_verdict() {
    let pushes = Pushes::new();
    let commit = pushes.commit();
    let server = pushes.serve(1, |hello, hook| {
        hook.send(&ToHook::Line("-----> Python app detected".to_owned()), &[]).expect("line");
        let whole = source(&hook, &hello.refs[0].new, None);
        let part = source(&hook, &hello.refs[0].new, Some("folder"));
        verdict(&hook, true);
        (hello, whole, part)
    });
    let told = pushes.push(&["paas", "main", "-o", "accept-5xx"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stderr.lines().any(|line| line.trim_end() == "remote: -----> Python app detected"), "{}", told.stderr);
    assert_eq!(pushes.remote_ref("refs/heads/main"), commit);
    let (hello, (done, files), (_, part)) = server.join().expect("server").remove(0).expect("decided");
    assert_eq!(
        (hello.options.as_slice(), hello.shallow, hello.head.as_deref()),
        (["accept-5xx".to_owned()].as_slice(), false, Some("refs/heads/main"))
    );
    let update = &hello.refs[0];
    assert_eq!(
        (update.name.as_str(), update.facts.commit.as_deref(), update.facts.kind),
        ("refs/heads/main", Some(commit.as_str()), Some(ObjectKind::Commit))
    );
    assert!(update.facts.old_is_current && !update.facts.locked && update.facts.conflict.is_none());
    assert_eq!(done.commit, commit);
    assert_eq!(files["Procfile"], (0o644, "web: python app.py\n".to_owned()));
    assert_eq!(files["folder/run.sh"], (0o755, "#!/bin/sh\n".to_owned()));
    assert_eq!(files["link"].1, "-> folder/run.sh");
    assert_eq!(part.keys().collect::<Vec<_>>(), ["run.sh"]);
}

#[test]
fn a_refused_push_leaves_the_ref_and_git_says_so() {
    let pushes = Pushes::new();
    let server = pushes.serve(1, |_, hook| {
        hook.send(&ToHook::Line(" !     no".to_owned()), &[]).expect("line");
        verdict(&hook, false);
    });
    let told = pushes.push(&["paas", "main"]);
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("[remote rejected] main -> main (pre-receive hook declined)"), "{}", told.stderr);
    assert_eq!(pushes.remote_ref("refs/heads/main"), "0".repeat(40));
    server.join().expect("server");
}

#[test]
fn a_server_that_vanishes_in_the_middle_of_a_push_leaves_the_ref() {
    let pushes = Pushes::new();
    let server = pushes.serve(1, |_, hook| {
        hook.send(&ToHook::Line("-----> Building".to_owned()), &[]).expect("line");
        drop(hook);
    });
    let told = pushes.push(&["paas", "main"]);
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("the server restarted while it held this push"), "{}", told.stderr);
    assert!(told.stderr.contains("push again"), "{}", told.stderr);
    assert_eq!(pushes.remote_ref("refs/heads/main"), "0".repeat(40));
    server.join().expect("server");
}

#[test]
fn what_git_would_refuse_afterwards_is_told_beforehand() {
    let pushes = Pushes::new();
    let server = pushes.serve(5, |hello, hook| {
        verdict(&hook, hello.refs.iter().all(|update| update.name == "refs/heads/main" && !update.facts.deletion));
        hello
    });
    let first = pushes.commit();
    assert_eq!(pushes.push(&["paas", "main"]).code, Some(0));
    pushes.push(&["paas", "main:main/x"]);
    pushes.push(&["paas", "+HEAD^{tree}:refs/tags/tree"]);
    pushes.git(&["tag", "--annotate", "--message=one", "v1"]);
    std::fs::write(PathBuf::from(pushes.repository()).join("refs/tags/v1.lock"), "").expect("lock");
    pushes.push(&["paas", "v1"]);
    pushes.push(&["paas", ":main"]);
    assert_eq!(pushes.remote_ref("refs/heads/main"), first);
    let told: Vec<Hello> = server.join().expect("server").into_iter().map(|hello| hello.expect("decided")).collect();
    let facts = |number: usize| &told[number].refs[0].facts;
    assert_eq!(facts(1).conflict.as_deref(), Some("refs/heads/main"));
    assert_eq!((facts(2).kind, facts(2).commit.as_deref()), (Some(ObjectKind::Tree), None));
    assert_eq!((facts(3).kind, facts(3).commit.as_deref(), facts(3).locked), (Some(ObjectKind::Tag), Some(first.as_str()), true));
    assert!(facts(4).deletion && facts(4).old_is_current && facts(4).kind.is_none());
    let left = succeed(&mut pushes.host.paas(["internal", "repository", "clean", "--repository", &pushes.repository()]));
    assert!(left.contains("refs/tags/v1.lock"), "{left}");
}

#[test]
fn a_shallow_push_is_told_as_one() {
    let pushes = Pushes::new();
    std::fs::write(pushes.host.work().join("more"), "").expect("file");
    pushes.git(&["add", "."]);
    pushes.git(&["commit", "--quiet", "--message=second"]);
    let url = format!("file://{}", pushes.host.work().display());
    succeed(git(&pushes.host.root()).args(["clone", "--quiet", "--depth=1", &url, "shallow"]));
    let shallow = pushes.host.root().join("shallow");
    let door = pushes.git(&["config", "remote.paas.receivepack"]);
    let server = pushes.serve(1, |hello, hook| {
        verdict(&hook, false);
        hello.shallow
    });
    run(git(&shallow).args(["push", "--receive-pack", door.trim(), "file:///hello", "main"]));
    assert_eq!(server.join().expect("server"), [Some(true)]);
}

#[test]
fn only_branches_and_tags_reach_the_hook() {
    let pushes = Pushes::new();
    let server = pushes.serve(1, |hello, hook| {
        verdict(&hook, true);
        hello.refs.len()
    });
    let told = pushes.push(&["paas", "HEAD:refs/notes/x"]);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    assert!(told.stderr.contains("hidden ref"), "{}", told.stderr);
    server.join().expect("server");
}

#[test]
fn what_was_pushed_can_be_fetched_through_the_door() {
    let pushes = Pushes::new();
    let server = pushes.serve(2, |_, hook| verdict(&hook, true));
    assert_eq!(pushes.push(&["paas", "main"]).code, Some(0));
    pushes.git(&["fetch", "--quiet", "paas"]);
    assert_eq!(pushes.git(&["rev-parse", "paas/main"]).trim(), pushes.commit());
    server.join().expect("server");
}

#[test]
fn a_push_past_the_door_is_refused_by_the_hook() {
    let pushes = Pushes::new();
    let told = pushes.push(&[&pushes.repository(), "main"]);
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("takes pushes through paas alone"), "{}", told.stderr);
}
