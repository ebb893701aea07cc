//! `NOTIFY_SOCKET`, spoken with Python's sockets.

use std::time::{Duration, Instant};

use runner::runs::{Captured, JoinEnd};
use shim::control::ANY_CHANGE;
use shim::notify::{NOTIFY_SOCKET, Notified};

use crate::scenarios::{APP, Server};

const RUN: &str = "worker.1-v1-1";
const SOON: Duration = Duration::from_secs(10);

/// `say` in a shell: each argument is one datagram.
const SAY: &str = "say() { python3 -c 'import os, socket, sys\n\
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
    for word in sys.argv[1:]: s.sendto(word.encode(), os.environ[\"NOTIFY_SOCKET\"])' \"$@\"; }; ";

impl Server {
    fn speaking(script: &str) -> shim::Spec {
        let mut spec = Self::spec(&format!("{SAY}{script}"));
        spec.env.push((b"NOTIFY_SOCKET".to_vec(), NOTIFY_SOCKET.as_bytes().to_vec()));
        spec
    }

    async fn start_speaker(&self, script: &str) -> runner::runs::LiveRun {
        self.prepare().await;
        let mut request = Self::request(RUN, "");
        request.spec = Self::speaking(script);
        let run = self.runs.start(request).await.expect("start");
        self.note(&run);
        run
    }

    async fn heard(&self, seen: u64) -> Notified {
        let heard = tokio::time::timeout(SOON, self.runs.notified(APP, RUN, seen)).await;
        heard.expect("in time").expect("heard").expect("it lives")
    }

    async fn say(&self, datagram: &str) {
        let captured = self.runs.join_captured(APP, RUN, Self::speaking(&format!("say '{datagram}'")), 1_000, SOON).await;
        let Ok(Captured::Ended(JoinEnd { status: Some(model::ExitStatus::Code(0)), .. }, _)) = captured else { panic!("{captured:?}") };
    }

    pub(crate) async fn notify(&self) {
        let run = self.start_speaker("say 'STATUS=loading'; sleep 1000").await;
        assert_eq!(self.heard(0).await, Notified { change: 1, status: Some("loading".to_owned()), ..Notified::default() });
        let waiting = tokio::time::timeout(Duration::from_millis(300), self.runs.notified(APP, RUN, 1)).await;
        assert!(waiting.is_err(), "nothing new was said: {waiting:?}");
        let next = tokio::spawn({
            let runs = self.runs.clone();
            async move { runs.notified(APP, RUN, 1).await }
        });
        // By a process of the run, too: whoever joins it is one.
        self.say("READY=1").await;
        let ready = tokio::time::timeout(SOON, next).await.expect("in time").expect("task").expect("heard").expect("it lives");
        assert!(ready.ready && !ready.stopping && ready.change == 2, "{ready:?}");
        self.say("WATCHDOG_USEC=300000\nWATCHDOG=1").await;
        let pinged = self.heard(2).await;
        assert_eq!((pinged.change, pinged.interval_us), (3, Some(300_000)));
        let before = pinged.ping_age_ms.expect("pinged");
        let until = Instant::now() + SOON;
        while self.heard(ANY_CHANGE).await.ping_age_ms.expect("pinged") <= before + 50 {
            assert!(Instant::now() < until, "the ping grows old");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.say("WATCHDOG=1").await;
        let again = self.heard(ANY_CHANGE).await;
        assert_eq!(again.change, 3, "a ping that was expected wakes nobody");
        self.say(&format!("STATUS={}", "x".repeat(3_000))).await;
        assert_eq!(self.heard(3).await.status.map(|status| status.len()), Some(shim::limits::NOTIFY_STATUS_BYTES_MAX));
        self.say("STOPPING=1\nWATCHDOG=trigger").await;
        let stopping = self.heard(4).await;
        assert!(stopping.stopping && stopping.triggered, "{stopping:?}");
        self.strangers_are_not_heard(run.shim_pid(), stopping.change).await;
        let waiting = tokio::spawn({
            let runs = self.runs.clone();
            async move { runs.notified(APP, RUN, 6).await }
        });
        run.kill().await.expect("kill");
        run.gone().await;
        assert!(matches!(tokio::time::timeout(SOON, waiting).await.expect("in time").expect("task"), Ok(None) | Err(_)), "it is over");
        assert_eq!(self.runs.notified(APP, RUN, 0).await.expect("asked"), None);
    }

    /// This process, whom the PID namespace of the run does not know. With root it does not
    /// even reach the socket.
    async fn strangers_are_not_heard(&self, shim: u32, seen: u64) {
        let children = std::fs::read_to_string(format!("/proc/{shim}/task/{shim}/children")).expect("children");
        let child = children.split(' ').next().expect("a child");
        let socket = std::os::unix::net::UnixDatagram::unbound().expect("socket");
        let sent = socket.send_to(b"STATUS=of a stranger", format!("/proc/{child}/root{NOTIFY_SOCKET}"));
        assert_eq!(sent.is_err(), self.is_root(), "{sent:?}");
        self.say("STATUS=of its own").await;
        let heard = self.heard(seen).await;
        assert_eq!((heard.change, heard.status.as_deref()), (seen + 1, Some("of its own")));
    }

    pub(crate) async fn notify_flood(&self) {
        let flood = "python3 -c 'import os, socket\n\
            s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
            for n in range(500): s.sendto(b\"STATUS=%d\" % n, os.environ[\"NOTIFY_SOCKET\"])'; echo done; sleep 1000";
        let begun = Instant::now();
        let run = self.start_speaker(flood).await;
        let (mut answers, mut seen) = (0_u32, 0);
        loop {
            let heard = self.heard(seen).await;
            (answers, seen) = (answers + 1, heard.change);
            if heard.status.as_deref() == Some("499") {
                break;
            }
        }
        let took = begun.elapsed();
        assert_eq!(seen, 500);
        assert!(took > Duration::from_secs(2), "200 per second: {took:?}");
        assert!(u128::from(answers) <= took.as_millis() / 100 + 2, "{answers} answers in {took:?}");
        run.kill().await.expect("kill");
    }

    pub(crate) async fn notify_restart_begin(&self) {
        self.start_speaker("say 'READY=1' 'STATUS=serving' 'WATCHDOG=1'; echo said; sleep 1000").await;
        self.wait_for_line(RUN, "said").await;
    }

    pub(crate) async fn notify_restart_end(&self) {
        let heard = self.heard(0).await;
        assert!(heard.ready && heard.ping_age_ms.is_some(), "{heard:?}");
        assert_eq!(heard.status.as_deref(), Some("serving"));
        let Ok(runner::runs::Adopted::Live(run)) = self.runs.adopt(APP, RUN).await else { panic!("it lives") };
        run.kill().await.expect("kill");
        run.gone().await;
    }
}
