//! A router, small apps and raw clients.

use std::collections::HashSet;
use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::{AppName, AppRoutes, InstanceId, Pool, ReleaseVersion, RoutedInstance, RunId};
use router::{RouterClient, RouterError, RouterEvent, RouterOptions, Timeouts};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

/// Nothing in these tests takes longer than this.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for something, with a deadline.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what} did not happen within {DEADLINE:?}"))
}

/// Runs a test's body in a process of its own, since it changes or measures the whole
/// process. `name` is the test's path.
pub(crate) fn alone(name: &str, body: impl Future<Output = ()>) {
    const MARK: &str = "ROUTER_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        return runtime.block_on(body);
    }
    let output = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", name, "--nocapture"])
        .env(MARK, "1")
        .output()
        .expect("started");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
}

/// [`alone`], with as many files as the hard limit allows: an ordinary login's soft
/// limit of 1,024 leaves a router fewer clients than these tests bring.
pub(crate) fn alone_with_files(name: &str, needed: u64, body: impl Future<Output = ()>) {
    alone(name, async {
        let maximum = getrlimit(Resource::Nofile).maximum;
        assert!(maximum.is_none_or(|limit| limit >= needed), "this test opens {needed} files: raise the hard limit of open files");
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("raised");
        body.await;
    });
}

/// This process's resident memory in bytes.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: u64 = status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("pages");
    pages * 4096
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Timeouts for tests that wait for one.
pub(crate) fn hurried() -> Timeouts {
    Timeouts {
        client_head: Duration::from_millis(300),
        client_idle: Duration::from_millis(300),
        first_byte: Duration::from_millis(300),
        rolling_window: Duration::from_millis(500),
        connect: Duration::from_millis(300),
        refused_wait: Duration::from_millis(200),
        drain: Duration::from_millis(500),
    }
}

/// A router with its server's end.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    pub(crate) client: RouterClient,
    pub(crate) events: mpsc::Receiver<RouterEvent>,
    pub(crate) folder: TempDir,
    pub(crate) router: Router,
    listener: std::net::TcpListener,
}

/// One router process, as a runtime of its own: with its end, all of it ends.
pub(crate) struct Router {
    stop: Option<oneshot::Sender<()>>,
    end: oneshot::Receiver<Result<(), RouterError>>,
}

impl Router {
    fn start(control: std::os::unix::net::UnixListener, listener: std::net::TcpListener, logs: PathBuf, timeouts: Timeouts) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let options = RouterOptions { control, listeners: vec![listener], log_directory: logs };
        let (ended, end) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
            let served = runtime.block_on(router::serve(options, timeouts, async {
                // A dropped sender stops it too.
                let _ = stopped.await;
            }));
            runtime.shutdown_background();
            // Most tests do not ask how it ended.
            let _ = ended.send(served);
        });
        Self { stop: Some(stop), end }
    }

    /// SIGTERM.
    pub(crate) fn terminate(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) {
        within("the end of the router", self.end).await.expect("no panic").expect("a clean end");
    }
}

impl Front {
    /// A router that serves an empty table.
    pub(crate) async fn start() -> Self {
        Self::with(Timeouts::default()).await
    }

    pub(crate) async fn with(timeouts: Timeouts) -> Self {
        let front = Self::without_table(timeouts).await;
        front.client.replace(Vec::new());
        assert!(front.client.applied().await, "the router does not answer");
        front
    }

    pub(crate) async fn without_table(timeouts: Timeouts) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("logs")).expect("a folder");
        let socket = folder.path().join("router.sock");
        let control = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::start(
            control.try_clone().expect("a copy"),
            listener.try_clone().expect("a copy"),
            folder.path().join("logs"),
            timeouts,
        );
        drop(control);
        let (client, events) = RouterClient::connect(socket);
        let mut front = Self { address, client, events, folder, router, listener };
        front.connected().await;
        front
    }

    /// A second router on the same listening socket, at the control socket's path.
    pub(crate) fn next_router(&self, timeouts: Timeouts) -> Router {
        let socket = self.folder.path().join("router.sock");
        std::fs::remove_file(&socket).expect("removed");
        let control = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        Router::start(control, self.listener.try_clone().expect("a copy"), self.folder.path().join("logs"), timeouts)
    }

    /// Waits for the next hello.
    pub(crate) async fn connected(&mut self) -> HashSet<String> {
        loop {
            if let RouterEvent::Connected { listens, .. } = self.event().await {
                return listens.iter().map(ToString::to_string).collect();
            }
        }
    }

    pub(crate) async fn event(&mut self) -> RouterEvent {
        within("an event", self.events.recv()).await.expect("the client lives")
    }

    /// Routes `NAME.test` and waits until it serves.
    pub(crate) async fn route(&self, name: &str, pool: Pool) {
        self.client.put(routes(name, pool));
        assert!(self.client.applied().await, "the table was not applied");
    }

    /// Routes an app to these ports, as runs 1, 2, ….
    pub(crate) async fn serve(&self, name: &str, ports: &[u16]) {
        self.route(name, serving(name, ports)).await;
    }

    pub(crate) async fn visit(&self) -> Wire {
        Wire::connect(self.address).await
    }

    /// One GET over a connection of its own.
    pub(crate) async fn get(&self, name: &str) -> Answer {
        let mut wire = self.visit().await;
        wire.send(&get(name)).await;
        wire.answer().await
    }

    /// The access lines, once there are `count`.
    pub(crate) async fn access_lines(&self, count: usize) -> Vec<String> {
        let folder = self.folder.path().join("logs");
        let lines = || {
            let mut found = Vec::new();
            for entry in std::fs::read_dir(&folder).expect("a folder") {
                let bytes = std::fs::read(entry.expect("an entry").path()).expect("a segment");
                let text = String::from_utf8_lossy(&bytes).into_owned();
                found.extend(text.match_indices("at=").map(|(at, _)| text[at..].split(['\0', '\u{fffd}']).next().unwrap_or("").to_owned()));
            }
            found
        };
        until("the access lines", || lines().len() >= count).await;
        lines()
    }
}

pub(crate) fn get(name: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {name}.test\r\n\r\n")
}

pub(crate) fn run(name: &str, number: u64) -> RunId {
    let app: AppName = name.parse().expect("a name");
    RunId { instance: InstanceId::parse(&app, &format!("web.{number}")).expect("an instance"), version: ReleaseVersion(1), number }
}

pub(crate) fn serving(name: &str, ports: &[u16]) -> Pool {
    Pool::Serve(ports.iter().zip(1..).map(|(port, number)| RoutedInstance { run: run(name, number), port: *port }).collect())
}

pub(crate) fn routes(name: &str, pool: Pool) -> AppRoutes {
    AppRoutes {
        app: name.parse().expect("a name"),
        number: model::AppNumber(1),
        hosts: vec![format!("{name}.test").parse().expect("a host")],
        port: 8101,
        pool,
    }
}

/// A small app: what it does with each connection is up to the test.
pub(crate) struct App {
    pub(crate) port: u16,
    /// Connections that it took.
    pub(crate) connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl App {
    pub(crate) async fn start<F, Fut>(serve: F) -> Self
    where
        F: Fn(Wire) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::on(listener, serve)
    }

    pub(crate) fn on<F, Fut>(listener: TcpListener, serve: F) -> Self
    where
        F: Fn(Wire) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let accepting = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                serving.spawn(serve(Wire::new(stream)));
            }
        });
        Self { port, connections, accepting }
    }

    /// Answers every request with `body` and keeps connections.
    pub(crate) async fn saying(body: &'static str) -> Self {
        Self::start(move |mut wire| async move {
            while wire.request().await.is_some() {
                wire.say(body).await;
            }
        })
        .await
    }

    /// Takes one request per connection and never answers.
    pub(crate) async fn silent() -> Self {
        Self::start(|mut wire| async move {
            wire.request().await;
            wire.closed().await;
        })
        .await
    }

    /// Answers every request with the bytes of `answer` once, and closes.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        Self::start(move |mut wire| async move {
            if wire.request().await.is_some() {
                wire.send(answer).await;
            }
        })
        .await
    }

    pub(crate) fn taken(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// An HTTP answer as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The body came to its announced end.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One side of a connection, for raw bytes.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.expect("connected"))
    }

    /// Sends; a peer that is gone already is the reader's business.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// A plain answer.
    pub(crate) async fn say(&mut self, body: &str) {
        self.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
    }

    async fn fill(&mut self) -> bool {
        let read = within("bytes", self.stream.read_buf(&mut self.buffer)).await;
        read.is_ok_and(|read| read > 0)
    }

    /// Everything until the peer ends.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Waits until the peer has closed or reset.
    pub(crate) async fn closed(&mut self) {
        while self.fill().await {}
    }

    /// Exactly so many bytes.
    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.fill().await, "only {:?} came", String::from_utf8_lossy(&self.buffer));
        }
        self.buffer.drain(..count).collect()
    }

    /// A head with its empty line.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|end| end == b"\r\n\r\n") {
                return Some(String::from_utf8_lossy(&self.buffer.drain(..at + 4).collect::<Vec<_>>()).into_owned());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// A request's head; its body, if it has a length, is read and dropped.
    pub(crate) async fn request(&mut self) -> Option<String> {
        let read = async {
            loop {
                if let Some(at) = self.buffer.windows(4).position(|end| end == b"\r\n\r\n") {
                    return Some(self.buffer.drain(..at + 4).collect::<Vec<_>>());
                }
                // An app waits as long as its router keeps the connection.
                if self.stream.read_buf(&mut self.buffer).await.map_or(true, |read| read == 0) {
                    return None;
                }
            }
        };
        let head = String::from_utf8_lossy(&read.await?).into_owned();
        let length = field(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        self.exactly(length).await;
        Some(head)
    }

    /// The whole answer to a request that was not HEAD.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.head().await.expect("an answer");
        let status = head[9..12].parse().expect("a status");
        let mut answer = Answer { status, body: Vec::new(), whole: true, head };
        if status < 200 || status == 204 || status == 304 {
            return answer;
        }
        if let Some(length) = field(&answer.head, "content-length") {
            let length = length.parse().expect("a length");
            while self.buffer.len() < length && self.fill().await {}
            answer.whole = self.buffer.len() >= length;
            answer.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        } else if field(&answer.head, "transfer-encoding").is_some() {
            answer.whole = self.chunks(&mut answer.body).await;
        } else {
            answer.body = self.rest().await;
        }
        answer
    }

    async fn chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            let Some(at) = self.buffer.windows(2).position(|end| end == b"\r\n") else {
                if self.fill().await {
                    continue;
                }
                return false;
            };
            let size = std::str::from_utf8(&self.buffer[..at]).expect("a size");
            let size = usize::from_str_radix(size, 16).expect("a size");
            while self.buffer.len() < at + 2 + size + 2 {
                if !self.fill().await {
                    return false;
                }
            }
            body.extend_from_slice(&self.buffer[at + 2..at + 2 + size]);
            self.buffer.drain(..at + 2 + size + 2);
            if size == 0 {
                return true;
            }
        }
    }
}

/// The value of a field in a head.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .skip(1)
        .find_map(|line| line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()))
}

/// A listening socket as a descriptor, and its address.
pub(crate) fn listening() -> (OwnedFd, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener.into(), address)
}
