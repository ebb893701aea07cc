//! What a server does in each claim, in a process of its own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use launch::Users;
use launch::folders::RootFolder;
use logs::reader::{Query, tail};
use model::engine::{AppObserved, AppTarget, InstanceObserved, InstancePhase, OneOff, OneOffCommand, ReleaseMode, ReleaseTarget};
use model::{
    AppName, AppNumber, ConfigVars, ExitStatus, Formation, InstanceId, ProcessType, ReleaseVersion, RunId, SlugId, SlugManifest, StopReason,
};
use runner::runs::{Launcher, Runs};
use runner::{BoxFuture, OneOffOutput, OneOffRun, Runner, RunnerConfig, TrafficSource};

const NUMBER: AppNumber = AppNumber(7);
const DEADLINE: Duration = Duration::from_mins(1);
const SLUG: SlugId = SlugId([0xab; 32]);
/// What `paas internal unpack` and `wipe` do, without needing the binary.
const PAAS: &str = "#!/bin/sh\ncase \"$*\" in\n'internal unpack') exec tar xz -C /target <&3 ;;\n\
    'internal wipe') find /target -mindepth 1 -type d -exec chmod u+rwx {} +\n\
    find /target -mindepth 1 -delete 2>/dev/null; [ -z \"$(find /target -mindepth 2)\" ] ;;\n*) exit 9 ;;\nesac\n";
/// A web server in a few words (Debian package: python3).
const WEB: &str = "echo serving on $PORT as $DYNO; exec python3 -m http.server --bind 127.0.0.1 $PORT";

struct NoRouter;

impl TrafficSource for NoRouter {
    fn last_byte(&self, _: &RunId) -> BoxFuture<'_, Option<Duration>> {
        Box::pin(async { None })
    }
}

struct Server {
    runner: Runner,
    root: PathBuf,
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
        RootFolder::open(&root, users, is_root).expect("root").make_layout().expect("layout");
        let paas = root.join("libexec/paas-test");
        std::fs::write(&paas, PAAS).expect("written");
        std::fs::set_permissions(&paas, PermissionsExt::from_mode(0o755)).expect("mode");
        return crate::stage::launch(&root, users, is_root);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(async {
        let launcher = Launcher::default();
        launcher.replace(std::io::stdin().as_fd().try_clone_to_owned().expect("socket"));
        let first: u16 = std::fs::read_to_string(root.join("first-port")).expect("ports").parse().expect("a port");
        let config = RunnerConfig {
            root: root.clone(),
            runs: Runs::new(root.clone(), launcher),
            lease_ports: first..=first + crate::PORTS - 1,
            uid_base: is_root.then_some(users.base),
            traffic: Arc::new(NoRouter),
        };
        let server = Server { runner: Runner::start(config), root };
        let played = tokio::time::timeout(DEADLINE, server.play(&scenario)).await;
        assert!(played.is_ok(), "{scenario} took too long");
    });
}

fn app() -> AppName {
    "hello".parse().expect("app")
}

fn release(mode: ReleaseMode, command: &str, count: u32) -> ReleaseTarget {
    ReleaseTarget {
        mode,
        slug: SLUG,
        manifest: SlugManifest {
            commands: [(ProcessType::web(), command.to_owned())].into(),
            app_json: model::author::AppJson::default(),
            env: BTreeMap::new(),
            path: vec![],
            buildpack: "none".to_owned(),
            interpreter: None,
            host_paths: vec![],
            shared_libraries: vec![],
            source_version: "00".repeat(20),
            entries: 10,
            unpacked_bytes: 1_000,
        },
        config: ConfigVars::default(),
        addon_env: ConfigVars::default(),
        formation: Formation([(ProcessType::web(), count)].into()),
        kept: Vec::new(),
    }
}

fn target(mode: ReleaseMode, command: &str, count: u32) -> AppTarget {
    AppTarget {
        app: app(),
        number: NUMBER,
        releases: [(ReleaseVersion(1), release(mode, command, count))].into(),
        overlap: [ProcessType::web()].into(),
        limits: BTreeMap::new(),
        restarts: BTreeMap::new(),
        probe_host: "hello.example".parse().expect("host"),
    }
}

impl Server {
    async fn play(&self, scenario: &str) {
        match scenario {
            "serve_and_leave" => self.serve_and_leave().await,
            "return_and_stop" => self.return_and_stop().await,
            "return_unclear" => self.return_unclear().await,
            "destroy" => self.destroy().await,
            "unclaimed" => self.unclaimed().await,
            "crash" => self.crash().await,
            other => panic!("no scenario {other}"),
        }
    }

    fn pack(&self) {
        let tree = tempfile::tempdir().expect("folder");
        std::fs::create_dir(tree.path().join(".profile.d")).expect("folder");
        std::fs::write(tree.path().join(".profile.d/a.sh"), "export GREETING=\"hello from the profile\"\n").expect("file");
        std::fs::write(tree.path().join("index.html"), "it works\n").expect("file");
        let slug = self.root.join("slugs").join(format!("{SLUG}.tar.gz"));
        let tar = Command::new("tar").arg("czf").arg(slug).arg("-C").arg(tree.path()).arg(".").status().expect("tar");
        assert!(tar.success());
    }

    async fn wait(&self, what: &str, wanted: impl FnMut(&AppObserved) -> bool) -> Vec<Arc<InstanceObserved>> {
        let mut observed = self.runner.observed(&app());
        let waited = tokio::time::timeout(Duration::from_secs(30), observed.wait_for(wanted)).await;
        let in_time = waited.is_ok_and(|seen| seen.is_ok());
        let seen = self.runner.observed(&app()).borrow().instances.clone();
        self.note(&seen);
        assert!(in_time, "not {what}: {seen:?}");
        seen
    }

    /// So that the stage can end them, whatever happens here.
    fn note(&self, seen: &[Arc<InstanceObserved>]) {
        let mut notes = std::fs::File::options().create(true).append(true).open(self.root.join("logs/shims")).expect("notes");
        for shim in seen.iter().filter_map(|instance| instance.shim_pid) {
            writeln!(notes, "{shim}").expect("note");
        }
    }

    async fn ready(&self, count: usize) -> Vec<Arc<InstanceObserved>> {
        let all_ready =
            |seen: &AppObserved| seen.instances.len() == count && seen.instances.iter().all(|i| i.phase == InstancePhase::Ready);
        self.wait("ready", all_ready).await
    }

    async fn serve_and_leave(&self) {
        assert_eq!(self.runner.adopt().await.expect("adopt").live, 0);
        self.runner.prepare_app(NUMBER).await.expect("folders");
        self.pack();
        self.runner.set_target(target(ReleaseMode::Serve, WEB, 2));
        let seen = self.ready(2).await;
        let answer = get(seen[0].port.expect("a port"));
        assert!(answer.contains("it works"), "{answer}");
        assert_eq!(seen[0].check.as_deref(), Some("GET / -> 200"));
        self.one_offs().await;
        let pids: Vec<String> = seen.iter().map(|i| format!("{:?} {:?}", i.shim_pid, i.port)).collect();
        std::fs::write(self.root.join("runs/seen"), pids.join("\n")).expect("note");
    }

    /// A destroyed app's one-off is killed and tidied before its folders go.
    async fn destroy(&self) {
        self.runner.prepare_app(NUMBER).await.expect("folders");
        self.pack();
        let line = "mkdir many; cd many; seq 1000 | xargs touch; echo made; sleep 100".to_owned();
        let session = self.one_off(OneOffCommand::Shell(line), None).await;
        let log = self.root.join("logs/7/run.1");
        let until = tokio::time::Instant::now() + Duration::from_secs(20);
        let query = Query { records: 10, ..Query::default() };
        while !tail(&[&log], &query).is_ok_and(|found| found.lines.iter().any(|line| line.record.text == b"made")) {
            assert!(tokio::time::Instant::now() < until, "it does not run");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.runner.remove_app(NUMBER).await.expect("removed");
        assert_eq!(session.end().await.expect("an end").status, ExitStatus::Signal { signal: 9, core: false });
        for kind in ["runs", "layers", "releases", "logs"] {
            assert!(!self.root.join(kind).join("7").exists(), "{kind}");
        }
    }

    async fn one_off(&self, command: OneOffCommand, timeout_s: Option<u64>) -> OneOffRun {
        let one_off = OneOff {
            app: app(),
            number: NUMBER,
            version: ReleaseVersion(1),
            release: release(ReleaseMode::Serve, WEB, 2),
            instance: InstanceId::parse(&app(), "run.1").expect("instance"),
            command,
            env: BTreeMap::new(),
            timeout_s,
        };
        self.runner.run_once(one_off, OneOffOutput::Log).await.expect("started")
    }

    async fn one_offs(&self) {
        let line = "[ \"$GREETING\" = 'hello from the profile' ] && [ -r index.html ] && exit 3".to_owned();
        let session = self.one_off(OneOffCommand::Shell(line), None).await;
        assert_eq!(session.end().await.expect("an end").status, ExitStatus::Code(3));
        let sleeper = self.one_off(OneOffCommand::Words(vec!["sleep".to_owned(), "100".to_owned()]), Some(1)).await;
        assert_eq!(sleeper.end().await.expect("an end").status, ExitStatus::Signal { signal: 9, core: false });
    }

    async fn return_and_stop(&self) {
        assert_eq!(self.runner.adopt().await.expect("adopt").live, 2);
        self.runner.set_target(target(ReleaseMode::Serve, WEB, 2));
        let first = self.wait("anything", |seen| !seen.instances.is_empty()).await;
        assert!(first.iter().all(|i| i.phase == InstancePhase::Ready), "{first:?}");
        let pids: Vec<String> = first.iter().map(|i| format!("{:?} {:?}", i.shim_pid, i.port)).collect();
        assert_eq!(std::fs::read_to_string(self.root.join("runs/seen")).expect("note"), pids.join("\n"));
        let mut restarted = target(ReleaseMode::Serve, WEB, 1);
        restarted.restarts.insert(first[0].instance.clone(), 1);
        self.runner.set_target(restarted);
        let mut observed = self.runner.observed(&app());
        loop {
            let seen = observed.borrow_and_update().clone();
            for draining in seen.instances.iter().filter(|i| i.phase == InstancePhase::Draining) {
                self.runner.released(draining.run.as_ref().expect("a run"));
            }
            if let [only] = seen.instances.as_slice()
                && only.phase == InstancePhase::Ready
                && only.port != first[0].port
            {
                break;
            }
            observed.changed().await.expect("observed");
        }
        self.ready(1).await;
        assert_eq!(self.runner.stop_all(Duration::from_secs(5)).await, 1);
        self.nothing_is_left().await;
        self.runner.remove_app(NUMBER).await.expect("removed");
        assert!(!self.root.join("releases/7").exists() && !self.root.join("runs/7").exists());
    }

    async fn return_unclear(&self) {
        let processes = || -> Vec<String> { self.left("runs").into_iter().filter(|folder| folder.contains('.')).collect() };
        let before = processes();
        let first = before.iter().find(|folder| folder.starts_with("web.1-")).expect("web.1");
        let process = self.root.join("runs/7").join(first).join("process");
        let record = std::fs::read(&process).expect("process");
        std::fs::remove_file(&process).expect("the shim's own file");
        std::fs::write(&process, "broken").expect("written");
        assert_eq!(self.runner.adopt().await.expect("adopt").live, 2);
        self.runner.set_target(target(ReleaseMode::Serve, WEB, 2));
        let seen = self.ready(2).await;
        assert_eq!((seen[0].shim_pid, seen[1].shim_pid.is_some()), (None, true));
        assert!(processes().iter().all(|folder| before.contains(folder)), "nothing was started");
        self.runner.set_target(target(ReleaseMode::Serve, WEB, 0));
        std::fs::write(&process, record).expect("known again");
        let mut observed = self.runner.observed(&app());
        while !observed.borrow_and_update().instances.is_empty() {
            for draining in observed.borrow().instances.iter().filter(|i| i.phase == InstancePhase::Draining) {
                self.runner.released(draining.run.as_ref().expect("a run"));
            }
            observed.changed().await.expect("observed");
        }
        self.nothing_is_left().await;
    }

    /// What ended while nobody looked is tidied beside everything else.
    async fn nothing_is_left(&self) {
        let until = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let left = [self.left("runs"), self.left("layers")].concat();
            if left.is_empty() {
                return;
            }
            assert!(tokio::time::Instant::now() < until, "{left:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn left(&self, kind: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join(kind).join("7")).expect(kind);
        let names = entries.map(|entry| entry.expect("entry"));
        names.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    async fn unclaimed(&self) {
        assert_eq!(self.runner.adopt().await.expect("adopt").live, 2);
        self.runner.stop_unclaimed().await;
        self.nothing_is_left().await;
    }

    async fn crash(&self) {
        self.runner.prepare_app(NUMBER).await.expect("folders");
        self.pack();
        self.runner.set_target(target(ReleaseMode::Prepare, "echo going; echo wrong >&2; exit 7", 1));
        let seen = self.wait("failed", |seen| seen.instances.iter().any(|i| i.phase == InstancePhase::Failed)).await;
        let end = seen[0].last_end.clone().expect("an end");
        assert_eq!((end.status, end.reason), (ExitStatus::Code(7), StopReason::Exited));
        let mut lines = end.last_lines;
        lines.sort();
        assert_eq!(lines, ["going", "wrong"]);
        self.runner.set_target(target(ReleaseMode::Prepare, "true", 0));
        self.wait("gone", |seen| seen.instances.is_empty()).await;
        let missing = ReleaseTarget { slug: SlugId([1; 32]), ..release(ReleaseMode::Prepare, "true", 1) };
        let with_missing = AppTarget { releases: [(ReleaseVersion(2), missing)].into(), ..target(ReleaseMode::Prepare, "true", 1) };
        self.runner.set_target(with_missing);
        let seen = self.wait("failed", |seen| seen.instances.iter().any(|i| i.phase == InstancePhase::Failed)).await;
        let reason = seen[0].last_end.clone().expect("an end").reason.to_string();
        assert!(reason.contains("cannot be opened"), "{reason}");
    }
}

fn get(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").expect("request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answer");
    answer
}
