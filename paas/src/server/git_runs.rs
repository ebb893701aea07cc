//! Runs of git and of paas's own git helpers, each as the app's git user in a sandbox that
//! holds that one repository.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use api::{Failure, Kind};
use model::{AppNumber, ExitStatus};
use runner::runs::{LiveRun, Output, RunRequest, Runs};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::internal_run::{not_started, null, plumbing, spec};

/// What a helper prints at most, in each of its two streams.
const HELPER_OUTPUT_BYTES_MAX: u64 = 64 * 1024;
/// Git's environment in a sandbox: no configuration but the repository's own.
pub const GIT_ENVIRONMENT: [(&str, &str); 3] =
    [("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_TERMINAL_PROMPT", "0")];

/// Starts git and its helpers.
#[derive(Debug)]
pub struct GitRuns {
    runs: Runs,
    /// Makes folder names of runs that no earlier server used.
    born_unix_ms: i64,
    next: AtomicU64,
}

/// A helper that was started: `paas internal …`.
pub struct Helper {
    /// Its run.
    pub run: LiveRun,
    stdout: io::PipeReader,
    stderr: io::PipeReader,
}

impl GitRuns {
    /// Starts runs through `runs`; `born_unix_ms` tells this server from earlier ones.
    pub fn new(runs: Runs, born_unix_ms: i64) -> Self {
        Self { runs, born_unix_ms, next: AtomicU64::new(0) }
    }

    /// Starts a run whose folder goes when it has ended.
    pub async fn start(
        &self,
        profile: launch::Profile,
        number: AppNumber,
        output: Output,
        descriptors: Vec<OwnedFd>,
        spec: shim::Spec,
    ) -> Result<LiveRun, Failure> {
        let folder = format!("git-{}-{}", self.born_unix_ms, self.next.fetch_add(1, Ordering::Relaxed));
        let order = RunRequest { profile, app: number, folder: folder.clone(), subject: None, output, descriptors, spec };
        let run = self.runs.start(order).await.map_err(|error| not_started("git", &error))?;
        let (runs, ended) = (self.runs.clone(), run.clone());
        tokio::spawn(async move {
            ended.gone().await;
            if let Err(error) = runs.forget(number, &folder) {
                tracing::warn!(%error, folder, "the run folder of git stays");
            }
        });
        Ok(run)
    }

    /// Starts `paas internal WORDS`.
    pub async fn helper(
        &self,
        profile: launch::Profile,
        number: AppNumber,
        words: &[&str],
        descriptors: Vec<OwnedFd>,
    ) -> Result<Helper, Failure> {
        let pipes = (|| Ok::<_, io::Error>((null()?, io::pipe()?, io::pipe()?)))();
        let (stdin, (stdout, stdout_end), (stderr, stderr_end)) = pipes.map_err(|error| plumbing(&error))?;
        let output = Output::Inherit { stdin, stdout: stdout_end.into(), stderr: stderr_end.into(), terminal: false };
        // Its failure comes as JSON, whole.
        let argv: Vec<&str> = ["/paas", "--json", "internal"].into_iter().chain(words.iter().copied()).collect();
        let run = self.start(profile, number, output, descriptors, spec(&argv, "/repository", &GIT_ENVIRONMENT)).await?;
        Ok(Helper { run, stdout, stderr })
    }
}

impl Helper {
    /// What it printed, or its failure.
    pub async fn outcome(self) -> Result<String, Failure> {
        let (text, complaint) = tokio::try_join!(read(self.stdout), read(self.stderr)).map_err(|error| plumbing(&error))?;
        match self.run.gone().await.status {
            ExitStatus::Code(0) => Ok(text),
            status => Err(failure_of(status, &complaint)),
        }
    }
}

async fn read(stream: io::PipeReader) -> io::Result<String> {
    let mut bytes = Vec::new();
    pipe::Receiver::from_owned_fd(stream.into())?.take(HELPER_OUTPUT_BYTES_MAX).read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The failure that a helper told, or what can be said of one that died.
fn failure_of(status: ExitStatus, complaint: &str) -> Failure {
    serde_json::from_str(complaint.trim()).unwrap_or_else(|_| {
        Failure::new(Kind::Internal, "git.helper", format!("git's helper {status}")).why(model::text::clean(complaint, 2_000))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helpers_own_failure_comes_through_and_a_death_is_told() {
        let told = Failure::new(Kind::Refused, "source.lfs", "a pointer").fix("commit the file");
        let text = format!("{}\n", serde_json::to_string(&told).expect("text"));
        assert_eq!(failure_of(ExitStatus::Code(4), &text), told);
        let died = failure_of(ExitStatus::Signal { signal: 9, core: false }, "thread main panicked\u{1b}[2J");
        assert_eq!((died.code.as_str(), died.kind), ("git.helper", Kind::Internal));
        assert_eq!(died.why.as_deref(), Some("thread main panicked"));
    }
}
