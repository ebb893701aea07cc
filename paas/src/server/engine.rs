//! The local runner behind control's seam.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::follow;
use api::{Failure, Kind};
use control::seams::{BoxFuture, DataSize, Engine, Lines, OneOffOutput, Session, Stdio};
use logs::reader::{Batch, Follower, Marks, Query, tail};
use model::engine::{AppObserved, AppTarget, CheckTried, KeptEnd, OneOff};
use model::{AppName, AppNumber, ExitStatus, KeptPath, RunId};
use runner::{ExecRun, ExecStdio, OneOffRun, RunOnceError, Runner};
use tokio::sync::watch;

use super::internal_run::not_started;

/// `stop --all` kills what has not stopped after this.
const STOP_ALL_GRACE: Duration = Duration::from_secs(30);
/// A session that is ended gets this long after SIGTERM.
const SESSION_GRACE: Duration = Duration::from_secs(5);

/// SIGHUP.
const HANGUP: i32 = 1;

/// The runner of this machine.
pub struct LocalEngine {
    runner: Runner,
    logs: PathBuf,
}

impl LocalEngine {
    /// Wraps a runner; `root` is where its logs are.
    pub fn new(runner: Runner, root: &Path) -> Self {
        Self { runner, logs: root.join("logs") }
    }

    async fn run_in_log(&self, one_off: OneOff, lines: Lines) -> Result<OneOffRun, Failure> {
        let folder = self.logs.join(one_off.number.to_string()).join(one_off.instance.name());
        // What was said before this run is not told again.
        let marks = tail(&[&folder], &Query::default())
            .map_or_else(|_| Marks::default(), |found| found.marks.into_iter().next().unwrap_or_default());
        let run = self.runner.run_once(one_off, runner::OneOffOutput::Log).await.map_err(|error| refused(&error))?;
        let ended = run.clone();
        tokio::spawn(async move {
            if let Err(error) = tell_lines(&folder, marks, &lines, &ended).await {
                tracing::warn!(%error, "the output of a release phase cannot be followed");
            }
        });
        Ok(run)
    }
}

async fn tell_lines(folder: &Path, marks: Marks, lines: &Lines, run: &OneOffRun) -> io::Result<()> {
    let mut follower = Follower::new()?;
    follower.follow(folder, marks)?;
    let mut follower = follow::watch(follower)?;
    let ended = run.end();
    tokio::pin!(ended);
    loop {
        let batch = follower.get_mut().take()?;
        tell(&batch, lines);
        if batch.more {
            continue;
        }
        tokio::select! {
            ready = follower.readable() => ready?.clear_ready(),
            _ = &mut ended => loop {
                let last = follower.get_mut().take()?;
                tell(&last, lines);
                if !last.more {
                    return Ok(());
                }
            }
        }
    }
}

fn tell(batch: &Batch, lines: &Lines) {
    for line in &batch.lines {
        lines.detail(model::text::clean(&String::from_utf8_lossy(&line.record.text), builder::limits::EVENT_TEXT_CHARS_MAX));
    }
}

fn refused(error: &RunOnceError) -> Failure {
    match error {
        RunOnceError::LaunchGone => {
            Failure::new(Kind::Unavailable, "launch.gone", "the command could not be started").fix("try again in a moment")
        }
        RunOnceError::Failed(why) => Failure::new(Kind::Failed, "run.not_started", "the command could not be started").why(why.clone()),
    }
}

struct OneOffSession(OneOffRun);

impl Session for OneOffSession {
    fn wait(&self) -> BoxFuture<'_, ExitStatus> {
        Box::pin(async move { self.0.end().await.map_or(ExitStatus::Unknown, |end| end.status) })
    }

    fn signal(&self, signal: i32) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // One that is gone needs no signal.
            let _ = self.0.signal(signal).await;
        })
    }

    fn kill(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.0.stop(SESSION_GRACE).await.is_err() {
                let _ = self.0.kill().await;
            }
        })
    }
}

struct ExecSession(ExecRun);

impl Session for ExecSession {
    fn wait(&self) -> BoxFuture<'_, ExitStatus> {
        Box::pin(async move { self.0.end().await.unwrap_or(ExitStatus::Unknown) })
    }

    fn signal(&self, signal: i32) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // One that is gone needs no signal.
            let _ = self.0.signal(signal).await;
        })
    }

    /// As a terminal does that is closed: an interactive shell takes no SIGTERM.
    fn kill(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let _ = self.0.signal(HANGUP).await;
            if tokio::time::timeout(SESSION_GRACE, self.0.end()).await.is_err() {
                let _ = self.0.kill().await;
            }
        })
    }
}

impl Engine for LocalEngine {
    fn set_target(&self, target: AppTarget) {
        self.runner.set_target(target);
    }

    fn observed(&self, app: &AppName) -> watch::Receiver<AppObserved> {
        self.runner.observed(app)
    }

    fn released(&self, run: &RunId) {
        self.runner.released(run);
    }

    fn try_checks(&self, app: &AppName) -> BoxFuture<'_, Vec<CheckTried>> {
        let app = app.clone();
        Box::pin(async move { self.runner.try_checks(&app).await })
    }

    fn ends(&self, number: AppNumber, instance: Option<String>) -> BoxFuture<'_, Vec<KeptEnd>> {
        Box::pin(self.runner.ends(number, instance))
    }

    fn run_once(&self, one_off: OneOff, output: OneOffOutput) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
        Box::pin(async move {
            let run = match output {
                OneOffOutput::Lines(lines) => self.run_in_log(one_off, lines).await?,
                OneOffOutput::Session(stdio) => {
                    let output = runner::OneOffOutput::Inherit {
                        stdin: stdio.stdin,
                        stdout: stdio.stdout,
                        stderr: stdio.stderr,
                        terminal: stdio.terminal,
                    };
                    self.runner.run_once(one_off, output).await.map_err(|error| refused(&error))?
                }
            };
            Ok(Box::new(OneOffSession(run)) as Box<dyn Session>)
        })
    }

    fn exec(&self, run: RunId, one_off: OneOff, stdio: Stdio) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
        Box::pin(async move {
            let Stdio { stdin, stdout, stderr, terminal } = stdio;
            let stdio = ExecStdio { stdin, stdout, stderr, terminal };
            let run = self.runner.exec(&run, &one_off, stdio).await.map_err(|error| refused(&error))?;
            Ok(Box::new(ExecSession(run)) as Box<dyn Session>)
        })
    }

    fn data_size(&self, number: AppNumber, parts: Vec<KeptPath>) -> BoxFuture<'_, Result<DataSize, Failure>> {
        Box::pin(async move {
            let measured = self.runner.measure_data(number, &parts).await.map_err(|error| not_started("measuring DATA_DIR", &error))?;
            let plain = |size: runner::runs::Size| (size.bytes, size.files);
            let parts = measured.parts.into_iter().map(|part| part.map(plain)).collect();
            Ok(DataSize { total: plain(measured.total), parts, at_least: measured.is_cut })
        })
    }

    fn prepare(&self, number: AppNumber) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move { self.runner.prepare_app(number).await.map_err(|error| not_started("making the app's folders", &error)) })
    }

    fn remove(&self, number: AppNumber) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move { self.runner.remove_app(number).await.map_err(|error| not_started("removing the app's folders", &error)) })
    }

    fn stop_all(&self) -> BoxFuture<'_, u32> {
        Box::pin(self.runner.stop_all(STOP_ALL_GRACE))
    }
}

/// The environment that builds may see of the server's own.
pub fn host_environment() -> BTreeMap<String, String> {
    builder::environment::allowed_from_host(std::env::vars())
}
