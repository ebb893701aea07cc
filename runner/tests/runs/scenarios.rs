//! What a server does in each claim. It runs in a process of its own, as paasd or as an
//! ordinary user, and fails by panicking.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use launch::{Profile, Users};
use logs::reader::{Query, tail};
use model::{AppNumber, ExitStatus};
use runner::runs::{Launcher, LiveRun, Output, RunEnd, RunRequest, Runs, StartError};

pub(crate) const APP: AppNumber = AppNumber(1);
const DEADLINE: Duration = Duration::from_mins(1);
const SLUG: &str = "abababababababababababababababababababababababababababababababab";

pub(crate) struct Server {
    pub(crate) runs: Runs,
    pub(crate) root: PathBuf,
    users: Users,
    is_root: bool,
}

/// Where [`crate::stage::Stage`] enters; does nothing in an ordinary test run.
#[test]
fn inside() {
    let Ok(scenario) = std::env::var("PAAS_TEST_SCENARIO") else { return };
    let variable = |name: &str| std::env::var(name).expect(name);
    let root = PathBuf::from(variable("PAAS_TEST_ROOT"));
    let users = Users { base: variable("PAAS_TEST_BASE").parse().expect("base") };
    let is_root = variable("PAAS_TEST_IS_ROOT") == "true";
    if scenario == "launch" {
        return crate::stage::launch(&root, users, is_root);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(async {
        let launcher = Launcher::default();
        if scenario != "launch_gone" {
            launcher.replace(std::io::stdin().as_fd().try_clone_to_owned().expect("socket"));
        }
        let server = Server { runs: Runs::new(root.clone(), launcher), root, users, is_root };
        let played = tokio::time::timeout(DEADLINE, server.play(&scenario)).await;
        assert!(played.is_ok(), "{scenario} took too long");
    });
}

impl Server {
    async fn play(&self, scenario: &str) {
        match scenario {
            "world" => self.world().await,
            "lines" => self.lines_are_kept().await,
            "ends" => self.ends().await,
            "not_executable" => self.not_executable().await,
            "stops" => self.stops().await,
            "grandchildren" => self.grandchildren().await,
            "layers" => self.layers().await,
            "descriptors" => self.descriptors().await,
            "supervisor" => self.supervisor().await,
            "tasks" => self.tasks().await,
            "failed_start" => self.failed_start().await,
            "wipe_app" => self.wipe_app().await,
            "many" => self.many().await,
            "start_and_leave" => self.start_and_leave().await,
            "adopt_stranger" => self.adopt_stranger().await,
            "adopt_and_stop" => self.adopt_and_stop().await,
            "adopt_lost" => self.adopt_lost().await,
            "adopt_mute" => self.adopt_mute().await,
            "adopt_unclear" => self.adopt_unclear().await,
            "launch_gone" => self.launch_gone().await,
            "reboot" => self.reboot().await,
            "join_world" => self.join_world().await,
            "join_ends" => self.join_ends().await,
            "join_kills" => self.join_kills().await,
            "join_refusals" => self.join_refusals().await,
            "join_terminal" => self.join_terminal().await,
            "notify" => self.notify().await,
            "notify_flood" => self.notify_flood().await,
            "notify_restart_begin" => self.notify_restart_begin().await,
            "notify_restart_end" => self.notify_restart_end().await,
            "input_and_zombies" => self.input_and_zombies().await,
            "own_namespaces" => self.own_namespaces().await,
            "join_often" => self.join_often().await,
            other => panic!("no scenario {other}"),
        }
    }

    pub(crate) fn spec(script: &str) -> shim::Spec {
        shim::Spec {
            argv: ["sh", "-c", script].map(|word| word.as_bytes().to_vec()).to_vec(),
            env: vec![(b"PATH".to_vec(), b"/usr/bin:/bin".to_vec()), (b"GREETING".to_vec(), b"hello".to_vec())],
            working_directory: b"/app".to_vec(),
            stop_signal: 15,
            open_files: 10_000,
            hostname: Vec::new(),
            log_subject: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// An app with a slug of one file.
    pub(crate) async fn prepare(&self) {
        self.runs.prepare_app(APP).await.expect("folders of the app");
        let script = "mkdir -p bin && echo from the slug > file && echo x > bin/tool";
        let spec = shim::Spec { working_directory: b"/target".to_vec(), ..Self::spec(script) };
        let request = RunRequest { profile: Profile::Unpack, spec, ..Self::request("unpack-1", script) };
        let run = self.runs.start(request).await.expect("unpack");
        assert_eq!(run.gone().await.status, ExitStatus::Code(0), "{:?}", self.text("unpack-1"));
        self.runs.forget(APP, "unpack-1").expect("forget");
    }

    pub(crate) fn request(folder: &str, script: &str) -> RunRequest {
        RunRequest {
            profile: Profile::App,
            app: APP,
            folder: folder.to_owned(),
            subject: Some(SLUG.to_owned()),
            output: Output::Log(folder.to_owned()),
            descriptors: Vec::new(),
            spec: Self::spec(script),
        }
    }

    pub(crate) async fn start(&self, folder: &str, script: &str) -> LiveRun {
        let run = self.runs.start(Self::request(folder, script)).await.expect(folder);
        self.note(&run);
        run
    }

    /// So that the stage can end it, whatever happens here.
    pub(crate) fn note(&self, run: &LiveRun) {
        let path = self.root.join("logs/shims");
        let mut file = std::fs::File::options().create(true).append(true).open(path).expect("note");
        writeln!(file, "{}", run.shim_pid()).expect("note");
    }

    pub(crate) async fn run(&self, folder: &str, script: &str) -> RunEnd {
        self.start(folder, script).await.gone().await
    }

    fn lines(&self, name: &str) -> Vec<(logs::Stream, Vec<u8>, bool)> {
        let folder = self.root.join("logs/1").join(name);
        let found = tail(&[&folder], &Query { records: 5_000, ..Query::default() }).expect("log");
        assert!(found.broken.is_empty());
        found.lines.into_iter().map(|line| (line.record.stamp.stream, line.record.text, line.record.stamp.partial)).collect()
    }

    fn text(&self, name: &str) -> Vec<String> {
        self.lines(name).into_iter().map(|(_, text, _)| String::from_utf8_lossy(&text).into_owned()).collect()
    }

    /// Waits until the log holds a line.
    pub(crate) async fn wait_for_line(&self, name: &str, wanted: &str) {
        let until = Instant::now() + Duration::from_secs(10);
        while !self.text(name).iter().any(|line| line == wanted) {
            assert!(Instant::now() < until, "no {wanted:?} in {:?}", self.text(name));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn world(&self) {
        self.prepare().await;
        self.runs.prepare_app(AppNumber(2)).await.expect("another app");
        let before = Instant::now();
        let script = format!(
            "id -u; id -un; pwd; cat file; echo $GREETING; touch written && echo can write; \
             touch /usr/x 2>/dev/null || echo cannot write usr; touch /x 2>/dev/null || echo cannot write root; \
             ls {root} 2>/dev/null || echo no root folder; ls /proc | grep -c '^[0-9]' ; \
             grep -E 'CapEff|NoNewPrivs|SigIgn|SigBlk' /proc/self/status; umask; ulimit -n; ulimit -c; echo x > /data/kept; \
             hostname; getent hosts $(hostname) >/dev/null && echo resolves; echo y > /dev/shm/y && echo shm; \
             echo z > /tmp/z && echo tmp; ls -A /run; ls /proc/self/fd | tr '\\n' ' '; env | sort | tr '\\n' ' '",
            root = self.root.display()
        );
        let run = self.start("web.1-v1-1", &script).await;
        assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
        assert_eq!(run.gone().await.status, ExitStatus::Code(0));
        let text = self.text("web.1-v1-1");
        let user = self.users.run(1).to_string();
        let expected = [
            user.as_str(),
            "app",
            "/app",
            "from the slug",
            "hello",
            "can write",
            "cannot write usr",
            "cannot write root",
            "no root folder",
        ];
        assert_eq!(text[..expected.len()], expected);
        let unset = ["CapEff:\t0000000000000000", "SigIgn:\t0000000000000000", "SigBlk:\t0000000000000000"];
        for line in unset.into_iter().chain(["NoNewPrivs:\t1", "0022", "10000", "web-1-v1-1", "resolves", "shm", "tmp"]) {
            assert!(text.iter().any(|found| found == line), "no {line:?} in {text:?}");
        }
        let last = text.last().expect("a line");
        assert!(last.starts_with("0 1 2 3 GREETING=hello"), "{last}");
        assert!(!last.contains("PAAS_TEST"), "{last}");
    }

    async fn lines_are_kept(&self) {
        self.prepare().await;
        // As a server leaves it that is killed between making it and giving it to the shims.
        std::fs::DirBuilder::new().mode(0o700).create(self.root.join("logs/1/web.1-v1-1")).expect("folder");
        let script = "echo one; echo two >&2; printf begun; sleep 1.3; echo ' ended'; \
            head -c 1048576 /dev/zero | tr '\\0' x; echo; printf unended";
        assert_eq!(self.run("web.1-v1-1", script).await.status, ExitStatus::Code(0));
        let lines = self.lines("web.1-v1-1");
        assert_eq!(lines[0], (logs::Stream::Stdout, b"one".to_vec(), false));
        assert!(lines.contains(&(logs::Stream::Stderr, b"two".to_vec(), false)));
        assert!(lines.contains(&(logs::Stream::Stdout, b"begun".to_vec(), true)), "a line without its end is shown");
        assert!(lines.contains(&(logs::Stream::Stdout, b" ended".to_vec(), false)));
        let long: usize = lines.iter().filter(|(_, text, _)| text.starts_with(b"xx")).map(|(_, text, _)| text.len()).sum();
        assert_eq!(long, 1_048_576);
        assert_eq!(lines.last(), Some(&(logs::Stream::Stdout, b"unended".to_vec(), false)));
    }

    async fn ends(&self) {
        self.prepare().await;
        let cases = [
            ("exit 0", ExitStatus::Code(0)),
            ("exit 3", ExitStatus::Code(3)),
            ("exit 255", ExitStatus::Code(255)),
            ("kill -KILL $$", ExitStatus::Signal { signal: 9, core: false }),
            ("kill -TERM $$", ExitStatus::Signal { signal: 15, core: false }),
            ("kill -SEGV $$", ExitStatus::Signal { signal: 11, core: false }),
            ("kill -34 $$", ExitStatus::Signal { signal: 34, core: false }),
            ("kill -64 $$", ExitStatus::Signal { signal: 64, core: false }),
            // One of another process is no end of the run.
            ("sleep 100 & kill -34 $!; wait $!; sleep 0.1; exit 6", ExitStatus::Code(6)),
            ("(sleep 100 & kill -64 $!; sleep 0.1 &); sleep 0.3; exit 7", ExitStatus::Code(7)),
        ];
        for (number, (script, status)) in cases.into_iter().enumerate() {
            let run = self.start(&format!("web.1-v1-{number}"), script).await;
            let end = run.gone().await;
            assert_eq!((end.status, end.shim_lost, end.stop_timed_out), (status, false, false), "{script}");
            assert!(end.ended_unix_ms >= run.started_unix_ms());
            assert_eq!(run.gone().await, end, "the end stays the same");
        }
    }

    async fn not_executable(&self) {
        self.prepare().await;
        for (number, (word, code, said)) in
            [("no-such-program", 127, "command not found"), ("/etc/passwd", 126, "ermission denied")].into_iter().enumerate()
        {
            let folder = format!("web.1-v1-{number}");
            let mut request = Self::request(&folder, "");
            request.spec.argv = vec![word.as_bytes().to_vec()];
            let end = self.runs.start(request).await.expect("start").gone().await;
            assert_eq!(end.status, ExitStatus::Code(code));
            assert!(self.text(&folder).iter().any(|line| line.contains(word) && line.contains(said)), "{:?}", self.text(&folder));
        }
    }

    async fn stops(&self) {
        self.prepare().await;
        let polite = self.start("web.1-v1-1", "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done").await;
        self.wait_for_line("web.1-v1-1", "up").await;
        polite.stop(Duration::from_secs(20)).await.expect("stop");
        let end = polite.gone().await;
        assert_eq!((end.status, end.stop_timed_out), (ExitStatus::Code(7), false));
        self.wait_for_line("web.1-v1-1", "bye").await;
        polite.stop(Duration::ZERO).await.expect("what is gone is stopped");

        let deaf = self.start("web.1-v1-2", "trap '' TERM; echo up; while :; do sleep 1; done").await;
        self.wait_for_line("web.1-v1-2", "up").await;
        let before = Instant::now();
        deaf.stop(Duration::from_millis(400)).await.expect("stop");
        let end = deaf.gone().await;
        assert_eq!((end.status, end.stop_timed_out), (ExitStatus::Signal { signal: 9, core: false }, true));
        assert!(before.elapsed() >= Duration::from_millis(400));

        let frozen = self.start("web.1-v1-3", "echo up; kill -STOP $$; sleep 100").await;
        self.wait_for_line("web.1-v1-3", "up").await;
        frozen.stop(Duration::from_secs(20)).await.expect("stop");
        assert_eq!(frozen.gone().await.status, ExitStatus::Signal { signal: 15, core: false });

        let killed = self.start("web.1-v1-4", "sleep 100").await;
        killed.kill().await.expect("kill");
        let end = killed.gone().await;
        assert_eq!((end.status, end.stop_timed_out), (ExitStatus::Signal { signal: 9, core: false }, false));

        let signalled = self.start("web.1-v1-5", "trap 'exit 5' INT; echo up; while :; do sleep 0.05; done").await;
        self.wait_for_line("web.1-v1-5", "up").await;
        signalled.signal(2).await.expect("signal");
        assert_eq!(signalled.gone().await.status, ExitStatus::Code(5));
    }

    async fn grandchildren(&self) {
        self.prepare().await;
        let token = format!("31{}", self.users.base);
        let script = format!("(setsid sh -c 'setsid sleep {token} & echo forked; exit 0' &) ; sleep 0.2; exit 4");
        let end = self.run("web.1-v1-1", &script).await;
        assert_eq!(end.status, ExitStatus::Code(4));
        assert_eq!(self.text("web.1-v1-1"), ["forked"]);
        for entry in std::fs::read_dir("/proc").expect("proc") {
            let line = std::fs::read(entry.expect("entry").path().join("cmdline")).unwrap_or_default();
            assert!(!line.windows(token.len()).any(|part| part == token.as_bytes()), "a grandchild is alive");
        }
    }

    async fn layers(&self) {
        self.prepare().await;
        // Wiping it brings more complaints than a pipe holds.
        let script = "touch chatty; echo changed > file; rm -rf bin; mkdir -m 0 locked; echo x > /data/kept; cat file";
        assert_eq!(self.run("web.1-v1-1", script).await.status, ExitStatus::Code(0));
        assert_eq!(self.text("web.1-v1-1"), ["changed"]);
        let script = "cat file; ls bin; ls locked 2>/dev/null || echo forgotten; cat /data/kept";
        assert_eq!(self.run("web.1-v1-2", script).await.status, ExitStatus::Code(0));
        assert_eq!(self.text("web.1-v1-2"), ["from the slug", "tool", "forgotten", "x"]);
        for folder in ["web.1-v1-1", "web.1-v1-2"] {
            let layer = self.root.join("layers/1").join(folder);
            assert!(layer.exists());
            self.runs.wipe(APP, &format!("layers/{folder}")).await.expect("wipe");
            assert!(!layer.exists());
            self.runs.forget(APP, folder).expect("forget");
        }
        assert!(self.runs.folders(APP).expect("folders").is_empty());
    }

    async fn descriptors(&self) {
        self.prepare().await;
        let (reader, mut writer) = std::io::pipe().expect("pipe");
        let (mut answer, answers) = std::io::pipe().expect("pipe");
        let mut request = Self::request("web.1-v1-1", "read word <&3; echo got $word >&4; ls /proc/self/fd | tr '\\n' ' '");
        request.descriptors = vec![reader.into(), answers.into()];
        let run = self.runs.start(request).await.expect("start");
        writer.write_all(b"word\n").expect("write");
        assert_eq!(run.gone().await.status, ExitStatus::Code(0));
        let mut said = String::new();
        answer.read_to_string(&mut said).expect("all copies are closed");
        assert_eq!(said, "got word\n", "{:?}", self.text("web.1-v1-1"));
        assert_eq!(self.text("web.1-v1-1"), ["0 1 2 3 4 5 "]);

        let (mut file, theirs) = Self::terminal();
        let copy = |descriptor: &OwnedFd| descriptor.try_clone().expect("copy");
        let mut request = Self::request("run.1-v1-2", "test -t 0 && echo terminal; echo through > /dev/tty; exit 6");
        request.output = Output::Inherit { stdin: copy(&theirs), stdout: copy(&theirs), stderr: theirs, terminal: true };
        let run = self.runs.start(request).await.expect("start");
        let mut seen = String::new();
        while !seen.contains("through") {
            let mut buffer = [0; 256];
            let count = file.read(&mut buffer).expect("terminal");
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        assert!(seen.contains("terminal"), "{seen}");
        assert_eq!(run.gone().await.status, ExitStatus::Code(6));
    }

    /// Our side of a terminal, and the other one.
    pub(crate) fn terminal() -> (std::fs::File, OwnedFd) {
        let ours = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).expect("terminal");
        rustix::pty::grantpt(&ours).expect("grant");
        rustix::pty::unlockpt(&ours).expect("unlock");
        let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY | rustix::pty::OpenptFlags::CLOEXEC;
        let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, flags).expect("other side");
        (std::fs::File::from(ours), theirs)
    }

    /// Digits that no other test has on this machine.
    pub(crate) fn token(&self) -> u32 {
        self.users.base
    }

    pub(crate) fn is_root(&self) -> bool {
        self.is_root
    }

    async fn supervisor(&self) {
        self.prepare().await;
        let script = "kill -KILL 1 2>/dev/null; cat /proc/1/environ 2>/dev/null && echo read environ; \
            head -c 1 /proc/1/mem 2>/dev/null && echo read memory; ls /proc/1/fd 2>/dev/null && echo read descriptors; \
            ls /proc/1/root/ 2>/dev/null && echo saw root; kill -TERM 1 2>/dev/null; echo done; exit 0";
        assert_eq!(self.run("web.1-v1-1", script).await.status, ExitStatus::Code(0));
        assert_eq!(self.text("web.1-v1-1"), ["done"]);
    }

    async fn tasks(&self) {
        let listener = self.runs.bind("127.0.0.1:0".parse().expect("address")).await.expect("bind");
        let listener = std::net::TcpListener::from(listener);
        std::net::TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        for refused in ["127.0.0.1:22", "127.0.0.1:25"] {
            let error = self.runs.bind(refused.parse().expect("address")).await.expect_err(refused);
            assert!(error.to_string().contains("machine's own services"), "{error}");
        }
        let taken = self.runs.bind(listener.local_addr().expect("address")).await.expect_err("taken");
        assert!(taken.to_string().contains("in use"), "{taken}");
        for text in ["first\n", "second\n"] {
            self.runs.write_authorized_keys(text.as_bytes()).await.expect("keys");
            assert_eq!(std::fs::read_to_string(self.root.join("ssh/authorized_keys")).expect("keys"), text);
        }
        for _ in 0..2 {
            self.runs.prepare_app(AppNumber(0)).await.expect("platform");
            self.runs.prepare_app(APP).await.expect("app");
        }
        self.runs.prepare_app(AppNumber(4_000_000)).await.expect_err("out of range");
        for subject in ["..", "store", "layers/..", "releases/x", "/"] {
            self.runs.wipe(APP, subject).await.expect_err(subject);
        }
    }

    async fn failed_start(&self) {
        self.runs.prepare_app(APP).await.expect("app");
        for (profile, subject) in [
            (Profile::App, Some(SLUG.to_owned())),
            (Profile::App, Some("../..".to_owned())),
            (Profile::App, None),
            (Profile::Router, None),
            (Profile::Exec, None),
        ] {
            let request = RunRequest { profile, subject, ..Self::request("web.1-v1-1", "exit 0") };
            let error = self.runs.start(request).await.expect_err("nothing to run");
            assert!(matches!(error, StartError::Failed { .. }), "{error}");
            assert!(self.runs.folders(APP).expect("folders").is_empty());
            self.runs.wipe(APP, "layers/web.1-v1-1").await.expect("its layer goes too");
        }
        let error = self.runs.start(Self::request("../x", "exit 0")).await.expect_err("name");
        assert!(matches!(error, StartError::Failed { .. }), "{error}");
    }

    async fn wipe_app(&self) {
        self.prepare().await;
        assert_eq!(self.run("web.1-v1-1", "echo x > file; mkdir -m 0 /data/locked").await.status, ExitStatus::Code(0));
        self.runs.wipe(APP, "cache").await.expect("wipe the cache");
        assert!(!self.root.join("cache/1").exists());
        self.runs.prepare_app(APP).await.expect("make it anew");
        self.runs.wipe(APP, "app").await.expect("wipe the app");
        for name in ["layers", "releases", "builds", "cache", "repositories", "data", "runs", "logs"] {
            assert!(!self.root.join(name).join("1").exists(), "{name}");
        }
        self.runs.prepare_app(APP).await.expect("make it anew");
    }

    async fn many(&self) {
        self.prepare().await;
        let starts = (0..20).map(|number| {
            let (runs, request) = (self.runs.clone(), Self::request(&format!("web.1-v1-{number}"), "sleep 1000"));
            tokio::spawn(async move { runs.start(request).await })
        });
        let mut live = Vec::new();
        for start in starts.collect::<Vec<_>>() {
            let run = start.await.expect("task").expect("start");
            self.note(&run);
            live.push(run);
        }
        for run in &live {
            run.kill().await.expect("kill");
        }
        for run in &live {
            assert_eq!(run.gone().await.status, ExitStatus::Signal { signal: 9, core: false });
        }
    }
}
