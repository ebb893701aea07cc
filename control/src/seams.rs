//! What control needs from the world, each as one small trait. `paas` implements them
//! with the runner, the builder, the router and PostgreSQL; tests with fakes.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use api::Failure;
use api::git::Verb;
use api::logs::{Line, Logs};
use model::engine::{AppObserved, AppTarget, CheckTried, KeptEnd, OneOff};
use model::{AppName, AppNumber, AppRoutes, ConfigVars, ExitStatus, Formation, KeptPath, RunId, Secret, SlugId, SlugManifest, Traffic};
use tokio::sync::{mpsc, watch};

/// A boxed future, so that the traits can be used behind `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A client's own stdin, stdout and stderr, handed over with its request.
#[derive(Debug)]
pub struct Stdio {
    /// stdin.
    pub stdin: OwnedFd,
    /// stdout.
    pub stdout: OwnedFd,
    /// stderr.
    pub stderr: OwnedFd,
    /// Whether stdin is a terminal that should become the controlling one.
    pub terminal: bool,
}

/// Where the output of a one-off run goes.
#[derive(Debug)]
pub enum OneOffOutput {
    /// To the client.
    Session(Stdio),
    /// To the app's log, and line by line to whoever waits for it.
    Lines(Lines),
}

/// Where lines for the author of a push go. Never waits: a client that does not read
/// loses lines, the build does not stand still (the build log has them all).
#[derive(Debug, Clone)]
pub struct Lines(pub mpsc::Sender<String>);

impl Lines {
    /// A step: `-----> Text`.
    pub fn step(&self, text: impl AsRef<str>) {
        self.raw(format!("-----> {}", text.as_ref()));
    }

    /// Detail below a step.
    pub fn detail(&self, text: impl AsRef<str>) {
        self.raw(format!("       {}", text.as_ref()));
    }

    /// A problem.
    pub fn problem(&self, text: impl AsRef<str>) {
        self.raw(format!(" !     {}", text.as_ref()));
    }

    /// A line that has its columns already.
    pub fn raw(&self, line: String) {
        let _ = self.0.try_send(line);
    }

    /// A line that must not be lost: the receiver is part of paas and keeps up.
    pub async fn whole(&self, line: String) {
        let _ = self.0.send(line).await;
    }

    /// A failure that must not be lost.
    pub async fn whole_failure(&self, failure: &Failure) {
        for line in failure_lines(failure) {
            self.whole(line).await;
        }
    }

    /// A failure as what, why, how to fix.
    pub fn failure(&self, failure: &Failure) {
        for line in failure_lines(failure) {
            self.raw(line);
        }
    }
}

/// A failure as its author sees it: what, why, how to fix.
pub fn failure_lines(failure: &Failure) -> Vec<String> {
    let what = failure.what.lines().map(|line| format!(" !     {line}"));
    let why = failure.why.iter().flat_map(|why| why.lines()).map(|line| format!("       {line}"));
    let fix = failure.fix.iter().flat_map(|fix| fix.lines()).map(|line| format!("       fix: {line}"));
    what.chain(why).chain(fix).collect()
}

/// A run of a one-off or of git.
pub trait Session: Send + Sync {
    /// Waits for its end; can be called again.
    fn wait(&self) -> BoxFuture<'_, ExitStatus>;
    /// Passes a signal on.
    fn signal(&self, signal: i32) -> BoxFuture<'_, ()>;
    /// Kills all of it.
    fn kill(&self) -> BoxFuture<'_, ()>;
}

/// What `DATA_DIR` holds; sizes are bytes and files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataSize {
    /// All of it.
    pub total: (u64, u64),
    /// What of it was asked for, in order; `None` for what is not there.
    pub parts: Vec<Option<(u64, u64)>>,
    /// There is so much that not all was counted.
    pub at_least: bool,
}

/// Makes targets true: the local runner, a fake, later Kubernetes.
pub trait Engine: Send + Sync {
    /// What should be true of an app; the last wish wins.
    fn set_target(&self, target: AppTarget);
    /// What is true of it, sent whole at each change.
    fn observed(&self, app: &AppName) -> watch::Receiver<AppObserved>;
    /// A draining run is out of every route and idle.
    fn released(&self, run: &RunId);
    /// Tries every check of every live instance once; it does not count.
    fn try_checks(&self, app: &AppName) -> BoxFuture<'_, Vec<CheckTried>>;
    /// The last ends of an app's runs, of one instance or of all, oldest first.
    fn ends(&self, number: AppNumber, instance: Option<String>) -> BoxFuture<'_, Vec<KeptEnd>>;
    /// Starts a command beside the app.
    fn run_once(&self, one_off: OneOff, output: OneOffOutput) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>>;
    /// Starts a command inside the sandbox of a live run, which it does not outlive. Of
    /// `one_off` the release, the command and the environment count.
    fn exec(&self, run: RunId, one_off: OneOff, stdio: Stdio) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>>;
    /// How much `DATA_DIR` of an app holds, and these paths of it.
    fn data_size(&self, number: AppNumber, parts: Vec<KeptPath>) -> BoxFuture<'_, Result<DataSize, Failure>>;
    /// Makes the folders and users of a new app.
    fn prepare(&self, number: AppNumber) -> BoxFuture<'_, Result<(), Failure>>;
    /// Removes everything of an app that has nothing running any more.
    fn remove(&self, number: AppNumber) -> BoxFuture<'_, Result<(), Failure>>;
    /// Stops every run of every app; returns how many there were.
    fn stop_all(&self) -> BoxFuture<'_, u32>;
}

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The app.
    pub app: AppName,
    /// Its number.
    pub number: AppNumber,
    /// The build's number within the app.
    pub build: u32,
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
    /// Config vars and the values of add-ons below them, for install steps.
    pub variables: ConfigVars,
    /// `false`: builds as if nothing was cached.
    pub use_cache: bool,
    /// Stop after the plan (`git push -o dry-run`).
    pub plan_only: bool,
    /// What the app has as a database, so that a PostgreSQL driver without one is refused.
    pub database: &'static str,
    /// The scale of the app, so that the log can name types scaled to 0.
    pub formation: Formation,
}

/// What came out of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltSlug {
    /// Its SHA-256, computed by the receiver.
    pub id: SlugId,
    /// Its size.
    pub bytes: u64,
    /// What it says of itself.
    pub manifest: SlugManifest,
}

/// Raised when nobody wants the result any more.
pub type Cancel = watch::Receiver<bool>;

/// Resolves when somebody cancels; never if nobody can any more.
pub async fn cancelled(cancel: &mut Cancel) {
    if cancel.wait_for(|cancelled| *cancelled).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Runs builds in their sandbox.
pub trait Builders: Send + Sync {
    /// Builds the tar stream that comes out of `source`. `Ok(None)` for a dry run.
    fn build(
        &self,
        request: BuildRequest,
        source: OwnedFd,
        lines: Lines,
        cancel: Cancel,
    ) -> BoxFuture<'_, Result<Option<BuiltSlug>, Failure>>;
    /// Forgets the dependency caches of an app.
    fn purge_cache(&self, number: AppNumber) -> BoxFuture<'_, Result<(), Failure>>;
    /// Removes the file of a slug that no release needs.
    fn remove_slug(&self, slug: SlugId) -> BoxFuture<'_, Result<(), Failure>>;
    /// Free and total bytes of the disk that holds slugs and builds.
    fn disk_bytes(&self) -> Result<(u64, u64), Failure>;
}

/// The router, seen from above.
pub trait FrontDoor: Send + Sync {
    /// Routes of an app, whole; the last ones count.
    fn put(&self, routes: AppRoutes);
    /// The app is gone.
    fn delete(&self, app: &AppName);
    /// Resolves once every router has applied the last routes, or a moment later if one
    /// does not answer.
    fn applied(&self) -> BoxFuture<'_, ()>;
    /// Resolves once every router has applied the last routes and has nothing in flight
    /// to this run. A router that is gone counts as drained.
    fn idle(&self, run: &RunId) -> BoxFuture<'_, ()>;
    /// How the requests of each run of an app have ended; `None` if nobody can tell.
    fn traffic(&self, app: &AppName) -> BoxFuture<'_, Option<BTreeMap<RunId, Traffic>>>;
}

/// The database of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// `postgresql`, `sqlite`, `none`.
    pub kind: &'static str,
    /// `DATABASE_URL`.
    pub url: Option<Secret>,
    /// The generated password, to be kept for the next call.
    pub password: Option<Secret>,
    /// Worth telling the person who made the app.
    pub note: Option<String>,
}

/// Add-ons: databases.
pub trait Databases: Send + Sync {
    /// Which kind a new app gets on this box, without making anything.
    fn kind(&self) -> &'static str;
    /// Makes sure that database and role exist. Idempotent.
    fn ensure(&self, number: AppNumber, kind: &str, password: Option<Secret>) -> BoxFuture<'_, Result<Database, Failure>>;
    /// Drops both.
    fn remove(&self, number: AppNumber) -> BoxFuture<'_, Result<(), Failure>>;
    /// What `pg:info` tells.
    fn info(&self, number: AppNumber) -> BoxFuture<'_, Result<api::pg::InfoReply, Failure>>;
    /// The versioned psql binary (`/usr/bin/psql` is a wrapper that reads files of its own).
    fn psql(&self) -> Result<String, Failure>;
    /// One line for `status`.
    fn summary(&self) -> String;
    /// Stops the cluster (`stop --all`).
    fn stop(&self) -> BoxFuture<'_, ()>;
}

/// What git inherits for a push.
#[derive(Debug)]
pub struct PushDescriptors {
    /// The hook's end of its conversation with the server.
    pub hook: OwnedFd,
    /// The writing end of git's trace.
    pub trace: OwnedFd,
}

/// Git repositories, each touched only as its own user.
pub trait Repositories: Send + Sync {
    /// Makes an empty bare repository. Idempotent.
    fn create(&self, number: AppNumber) -> BoxFuture<'_, Result<(), Failure>>;
    /// The commit, 40 hexadecimal digits, that a full ref, a branch, a tag or the first
    /// seven digits or more of a commit lead to.
    fn resolve(&self, number: AppNumber, reference: &str) -> BoxFuture<'_, Result<Option<String>, Failure>>;
    /// Streams a commit's tree, or one folder of it, as tar. Warnings go to `lines`. If the
    /// tree cannot be sent, `reason` has it before the stream ends.
    fn export(
        &self,
        number: AppNumber,
        commit: &str,
        folder: Option<String>,
        lines: Lines,
        reason: Arc<OnceLock<Failure>>,
    ) -> BoxFuture<'_, Result<OwnedFd, Failure>>;
    /// Serves `git push` or `git fetch` on the client's stdio; a push with what belongs to it.
    fn serve(
        &self,
        number: AppNumber,
        verb: Verb,
        protocol: Option<String>,
        stdio: Stdio,
        push: Option<PushDescriptors>,
    ) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>>;
    /// Removes what a killed push left behind. Only when none is running.
    fn clean(&self, number: AppNumber) -> BoxFuture<'_, ()>;
}

/// The logs of apps.
pub trait AppLogs: Send + Sync {
    /// A line of paas about an app: `process` is `web.1`, `deploy`.
    fn write(&self, number: AppNumber, process: &str, text: &str);
    /// A sentence that names the oldest kept line, if the question reaches past it.
    fn reaches_past(&self, number: AppNumber, query: &Logs) -> BoxFuture<'_, Option<String>>;
    /// Sends what was asked for into `sink`, then, with `tail`, goes on until it is closed.
    fn read(&self, number: AppNumber, query: Logs, sink: mpsc::Sender<Line>) -> BoxFuture<'_, Result<(), Failure>>;
}

/// Keys that may log in over SSH.
pub trait LoginKeys: Send + Sync {
    /// Replaces the list: (fingerprint, type, base64 blob).
    fn write(&self, keys: Vec<(String, String, String)>) -> BoxFuture<'_, Result<(), Failure>>;
}

/// The machine that the server runs on.
pub trait Host: Send + Sync {
    /// Available and total memory in bytes.
    fn memory_bytes(&self) -> (u64, u64);
    /// What of the available memory a switch may take, in bytes; none if nobody can tell.
    fn memory_for_switches(&self) -> Option<u64>;
    /// The most memory that the processes below a shim had at once, in bytes.
    fn memory_peak(&self, shim_pid: u32) -> Option<u64>;
    /// Ports that somebody listens on, at whatever address.
    fn ports_in_use(&self) -> BTreeSet<u16>;
    /// The process id of the router's shim, if it runs.
    fn router_shim_pid(&self) -> Option<u32>;
    /// Stops the router (`stop --all`).
    fn stop_router(&self) -> BoxFuture<'_, ()>;
    /// Ends this server a moment later, when its last answer is out.
    fn stop_server(&self);
}
