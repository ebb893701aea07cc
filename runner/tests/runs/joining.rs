//! Commands inside a live run.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use launch::protocol::Frame;
use model::ExitStatus;
use runner::runs::{Captured, JoinEnd, JoinRequest, Joined};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use shim::control::{Reply, Request};
use shim::{Report, wire_socket};

use crate::scenarios::{APP, Server};

const OUTPUT_BYTES_MAX: usize = 64 * 1024;
const SOON: Duration = Duration::from_secs(10);

/// Everything that a process was given or has lost: user, groups, capabilities, signals,
/// limits, environment, namespaces, mounts, descriptors.
const FACTS: &str = "id; grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:|SigBlk|SigIgn)' /proc/self/status; umask; ulimit -a; \
    cat /proc/self/limits /proc/self/oom_score_adj; nice; hostname; pwd; env | sort; \
    for n in cgroup ipc mnt net pid pid_for_children user uts; do readlink /proc/self/ns/$n; done; \
    ls /proc/self/fd | tr '\\n' ' '; cat /proc/self/mountinfo; cat file";

impl Server {
    async fn capture(&self, folder: &str, script: &str, timeout: Duration) -> Captured {
        let captured = self.runs.join_captured(APP, folder, Self::spec(script), OUTPUT_BYTES_MAX, timeout).await;
        captured.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// What a command said that ended well.
    async fn said(&self, folder: &str, script: &str) -> String {
        match self.capture(folder, script, SOON).await {
            Captured::Ended(JoinEnd { status: Some(ExitStatus::Code(0)), left: false }, output) => String::from_utf8(output).expect("text"),
            other => panic!("{script}: {other:?}"),
        }
    }

    /// One that nobody has to wait for.
    async fn join(&self, folder: &str, script: &str) -> Joined {
        let null = || OwnedFd::from(std::fs::File::options().read(true).write(true).open("/dev/null").expect("null"));
        let (stdin, stdout, stderr) = (null(), null(), null());
        let request = JoinRequest { app: APP, folder: folder.to_owned(), spec: Self::spec(script), stdin, stdout, stderr, terminal: false };
        self.runs.join(request).await.expect("join")
    }

    pub(crate) async fn join_world(&self) {
        self.prepare().await;
        self.start("web.1-v1-1", &format!("{{ {FACTS}; }} > /tmp/facts 2>&1; echo up; sleep 1000")).await;
        self.wait_for_line("web.1-v1-1", "up").await;
        let found =
            self.said("web.1-v1-1", &format!("{{ {FACTS}; }} > /tmp/facts-too 2>&1; diff /tmp/facts /tmp/facts-too; cat /tmp/facts")).await;
        assert!(found.contains("GREETING=hello") && found.ends_with("from the slug\n"), "{found}");
        assert_eq!(self.said("web.1-v1-1", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 1000'").await, "1\n");
        // Neither the keeper nor the run's supervisor is the app's to touch.
        let touch = "for p in 1 $PPID; do kill -CONT $p; cat /proc/$p/environ; head -c 1 /proc/$p/mem; ls /proc/$p/fd /proc/$p/root/; done 2>/dev/null; true";
        let touched = self.said("web.1-v1-1", touch).await;
        assert_eq!(touched, "", "a process of the app reads its keeper");
    }

    pub(crate) async fn join_ends(&self) {
        self.prepare().await;
        let run = self.start("web.1-v1-1", "echo up; trap '' TERM; sleep 1000").await;
        self.wait_for_line("web.1-v1-1", "up").await;
        for (script, status) in [
            ("exit 0", ExitStatus::Code(0)),
            ("echo said; exit 255", ExitStatus::Code(255)),
            ("kill -KILL $$", ExitStatus::Signal { signal: 9, core: false }),
            ("kill -34 $$", ExitStatus::Signal { signal: 34, core: false }),
            ("no-such-command", ExitStatus::Code(127)),
            ("/etc/passwd", ExitStatus::Code(126)),
        ] {
            let captured = self.capture("web.1-v1-1", script, SOON).await;
            let Captured::Ended(end, _) = &captured else { panic!("{script}: {captured:?}") };
            assert_eq!((end.status, end.left), (Some(status), false), "{script}");
        }
        // Far more than is kept, and more than a pipe holds.
        let Captured::Ended(end, output) = self.capture("web.1-v1-1", "head -c 1000000 /dev/zero | tr '\\0' x", SOON).await else {
            panic!("it ends")
        };
        assert_eq!((end.status, output.len()), (Some(ExitStatus::Code(0)), OUTPUT_BYTES_MAX));
        let signalled = self.join("web.1-v1-1", "exec sleep 1000").await;
        signalled.signal(2).await.expect("signal");
        assert_eq!(signalled.end().await.status, Some(ExitStatus::Signal { signal: 2, core: false }));
        run.kill().await.expect("kill");
    }

    /// Processes on this machine whose command line holds a word.
    fn alive(word: &str) -> usize {
        let holds = |line: Vec<u8>| line.windows(word.len()).any(|part| part == word.as_bytes());
        let processes = std::fs::read_dir("/proc").expect("proc").flatten();
        processes.filter(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(holds)).count()
    }

    /// Its own input is empty, whatever the server's is; nobody's dead children stay.
    pub(crate) async fn input_and_zombies(&self) {
        self.prepare().await;
        let script = "read word; echo \"read: $?\"; readlink /proc/self/fd/0; \
            for n in 1 2 3 4 5 6 7 8 9 10; do (sh -c 'sh -c \"exit 3\" & exit 0' &); done; \
            for n in $(seq 200); do cat /proc/[0-9]*/stat 2>/dev/null | grep -q ') Z ' || break; sleep 0.02; done; \
            cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z '; exit 0";
        self.run("web.1-v1-1", script).await;
        self.wait_for_line("web.1-v1-1", "read: 1").await;
        self.wait_for_line("web.1-v1-1", "/dev/null").await;
        self.wait_for_line("web.1-v1-1", "0").await;
    }

    /// An app that makes namespaces of its own is in ours all the same.
    pub(crate) async fn own_namespaces(&self) {
        self.prepare().await;
        let token = format!("45{}", self.token());
        let script = format!(
            "unshare --user --map-root-user --pid --fork setsid sh -c \"trap '' TERM; echo inside \\$\\$; setsid sleep {token}\" & \
             echo up; trap '' TERM; while :; do sleep 1; done"
        );
        let run = self.start("web.1-v1-1", &script).await;
        self.wait_for_line("web.1-v1-1", "inside 1").await;
        run.stop(Duration::from_millis(300)).await.expect("stop");
        assert!(run.gone().await.stop_timed_out);
        Self::until_none(&token).await;
    }

    async fn until_none(word: &str) {
        let until = Instant::now() + SOON;
        while Self::alive(word) > 0 {
            assert!(Instant::now() < until, "{word} is alive");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sleepers of a command with a token of their own: a child, one in a session of its
    /// own, one that lost its parent, one that is stopped.
    fn sleepers(&self, number: u32) -> (String, String) {
        let token = format!("{number}{}", self.token());
        let script = format!(
            "sleep {token} & setsid sleep {token} & (setsid sh -c 'setsid sleep {token} & exit 0' &) ; \
             sh -c 'kill -STOP $$; sleep {token}' & "
        );
        (token, script)
    }

    pub(crate) async fn join_kills(&self) {
        self.prepare().await;
        let (of_app, _) = self.sleepers(40);
        let run = self.start("web.1-v1-1", &format!("sleep {of_app} & echo up; wait")).await;
        self.wait_for_line("web.1-v1-1", "up").await;

        let (token, script) = self.sleepers(41);
        let before = Instant::now();
        let captured = self.capture("web.1-v1-1", &format!("{script} echo begun; sleep {token}"), Duration::from_millis(500)).await;
        assert_eq!(captured, Captured::TimedOut(b"begun\n".to_vec()));
        assert!(before.elapsed() < Duration::from_secs(4), "{:?}", before.elapsed());
        Self::until_none(&token).await;

        let (token, script) = self.sleepers(42);
        assert_eq!(self.said("web.1-v1-1", &format!("{script} echo done")).await, "done\n", "what it leaves behind holds up nobody");
        Self::until_none(&token).await;

        let (token, script) = self.sleepers(43);
        let dropped = self.join("web.1-v1-1", &format!("{script} touch /tmp/begun; sleep {token}")).await;
        self.said("web.1-v1-1", "while ! test -e /tmp/begun; do sleep 0.01; done").await;
        drop(dropped);
        Self::until_none(&token).await;

        assert_eq!(Self::alive(&of_app), 1 + 1, "the app goes on: its shell and its sleeper");
        let (token, script) = self.sleepers(44);
        let ended = self.join("web.1-v1-1", &format!("trap '' TERM; {script} touch /tmp/deaf; sleep {token}")).await;
        self.said("web.1-v1-1", "while ! test -e /tmp/deaf; do sleep 0.01; done").await;
        let before = Instant::now();
        run.stop(Duration::from_secs(20)).await.expect("stop");
        run.gone().await;
        assert!(before.elapsed() < Duration::from_secs(5), "the end of a run waits for nobody outside: {:?}", before.elapsed());
        Self::until_none(&token).await;
        assert_eq!(ended.end().await, JoinEnd { status: None, left: false });
    }

    pub(crate) async fn join_refusals(&self) {
        self.prepare().await;
        let error = self.runs.join_captured(APP, "web.1-v1-1", Self::spec("true"), 1, SOON).await.expect_err("never started");
        assert!(error.to_string().contains("does not run"), "{error}");
        let run = self.start("web.1-v1-1", "echo up; sleep 1000").await;
        let other = self.start("web.1-v1-2", "echo up; sleep 1000").await;
        self.wait_for_line("web.1-v1-1", "up").await;
        let (own, of_other) = (self.namespaces("web.1-v1-1"), self.namespaces("web.1-v1-2"));
        assert!(matches!(Self::ask_to_join(1, &own).as_slice(), [Report::Ready { .. }, Report::Ended { .. }]), "the frame itself is right");
        let refused = |reports: Vec<Report>, why: &str| match reports.as_slice() {
            [Report::Failed { step, detail }, ..] => assert!(format!("{step}: {detail}").contains(why), "{step}: {detail}"),
            other => panic!("{other:?}"),
        };
        refused(Self::ask_to_join(2, &own), "belongs to user");
        refused(Self::ask_to_join(0, &own), "refused");
        refused(Self::ask_to_join(4_000_000, &own), "no app");
        refused(Self::ask_to_join(1, &own[..4]), "descriptor is missing");
        if self.is_root() {
            let mixed: Vec<OwnedFd> = own.iter().take(4).chain(of_other.get(4)).map(|one| one.try_clone().expect("copy")).collect();
            refused(Self::ask_to_join(1, &mixed), "another one's");
            let ours =
                ["user", "mnt", "ipc", "uts", "pid"].map(|name| std::fs::File::open(format!("/proc/self/ns/{name}")).expect("ours").into());
            refused(Self::ask_to_join(1, &ours), "/app");
        }
        for run in [run, other] {
            run.kill().await.expect("kill");
            run.gone().await;
        }
        let error = self.runs.join_captured(APP, "web.1-v1-1", Self::spec("true"), 1, SOON).await.expect_err("it is over");
        assert!(error.to_string().contains("does not run"), "{error}");
    }

    fn namespaces(&self, folder: &str) -> Vec<OwnedFd> {
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("socket");
        let address = SocketAddrUnix::new(self.root.join("runs/1").join(folder).join("sock")).expect("address");
        rustix::net::connect(&socket, &address).expect("connect");
        wire_socket::send(socket.as_fd(), &Request::Namespaces.encode(), &[]).expect("send");
        let mut buffer = [0; 4096];
        let (count, descriptors) = wire_socket::receive(socket.as_fd(), &mut buffer).expect("answer").expect("answer");
        assert_eq!(Reply::decode(&buffer[..count]), Ok(Reply::HandedOut));
        descriptors
    }

    /// A frame as a server gone wrong could send it; every report that comes back.
    fn ask_to_join(app: u32, namespaces: &[OwnedFd]) -> Vec<Report> {
        let null = std::fs::File::open("/dev/null").expect("null");
        let spec = Self::sealed(&Self::spec("true").encode());
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("pair");
        let mut all: Vec<BorrowedFd<'_>> = vec![theirs.as_fd(), spec.as_fd()];
        all.extend(namespaces.iter().map(AsFd::as_fd));
        all.extend([null.as_fd(), null.as_fd(), null.as_fd()]);
        wire_socket::send(std::io::stdin().as_fd(), &Frame::Join { app, terminal: false }.encode(), &all).expect("send");
        drop(theirs);
        let mut buffer = [0; 4096];
        let mut reports = Vec::new();
        while let Ok(Some((count, _))) = wire_socket::receive(ours.as_fd(), &mut buffer) {
            reports.push(Report::decode(&buffer[..count]).expect("report"));
        }
        reports
    }

    fn sealed(bytes: &[u8]) -> OwnedFd {
        let flags = rustix::fs::MemfdFlags::ALLOW_SEALING;
        let memfd = rustix::fs::memfd_create("spec", flags).expect("memfd");
        rustix::io::write(&memfd, bytes).expect("write");
        let seals = rustix::fs::SealFlags::WRITE | rustix::fs::SealFlags::SHRINK | rustix::fs::SealFlags::GROW;
        rustix::fs::fcntl_add_seals(&memfd, seals).expect("seal");
        memfd
    }

    pub(crate) async fn join_terminal(&self) {
        self.prepare().await;
        let run = self.start("web.1-v1-1", "sleep 1000").await;
        let (mut ours, theirs) = Self::terminal();
        let copy = |descriptor: &OwnedFd| descriptor.try_clone().expect("copy");
        let script = "test -t 0 && echo terminal; echo through > /dev/tty; exec sleep 1000";
        let (stdin, stdout, stderr) = (copy(&theirs), copy(&theirs), theirs);
        let request =
            JoinRequest { app: APP, folder: "web.1-v1-1".to_owned(), spec: Self::spec(script), stdin, stdout, stderr, terminal: true };
        let joined = self.runs.join(request).await.expect("join");
        let mut seen = String::new();
        while !seen.contains("through") {
            let mut buffer = [0; 256];
            let count = ours.read(&mut buffer).expect("terminal");
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        assert!(seen.contains("terminal"), "{seen}");
        std::io::Write::write_all(&mut ours, b"\x03").expect("Ctrl-C");
        assert_eq!(joined.end().await.status, Some(ExitStatus::Signal { signal: 2, core: false }));
        run.kill().await.expect("kill");
    }

    /// Thousands of descriptors and processes would be left otherwise.
    pub(crate) async fn join_often(&self) {
        self.prepare().await;
        let run = self.start("web.1-v1-1", "echo up; sleep 1000").await;
        self.wait_for_line("web.1-v1-1", "up").await;
        let open = || std::fs::read_dir("/proc/self/fd").expect("fd").count();
        let inside = |text: String| text.lines().map(ToOwned::to_owned).collect::<BTreeSet<_>>().len();
        self.said("web.1-v1-1", "true").await;
        let before = open();
        for _ in 0..50 {
            self.said("web.1-v1-1", "true").await;
        }
        assert_eq!(open(), before);
        let processes = self.said("web.1-v1-1", "ls -d /proc/[0-9]*").await;
        assert!(inside(processes) <= 6, "PID 1, the app and its sleep, the keeper, sh and ls");
        run.kill().await.expect("kill");
    }
}
