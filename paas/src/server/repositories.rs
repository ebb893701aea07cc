//! Git repositories: every touch is a run as the app's git user in a sandbox that holds
//! that one repository.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::git::Verb;
use api::{Failure, Kind};
use control::seams::{BoxFuture, PushDescriptors, Repositories, Session, Stdio};
use model::{AppNumber, ExitStatus};
use runner::runs::{LiveRun, Output, RunRequest, Runs};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::internal_run::{RunSession, not_started, null, plumbing, spec};
use crate::git::protocol::HOOK_DESCRIPTOR_VARIABLE;

/// What a helper prints at most.
const HELPER_OUTPUT_BYTES_MAX: u64 = 64 * 1024;
/// A helper that takes longer is stuck.
const HELPER_MAX: Duration = Duration::from_mins(1);
/// Git's environment in a sandbox: no configuration but the repository's own.
const GIT_ENVIRONMENT: [(&str, &str); 3] = [("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_TERMINAL_PROMPT", "0")];

/// Repositories on this machine.
#[derive(Debug)]
pub struct LocalRepositories {
    runs: Runs,
    /// Makes folder names of runs that no earlier server used.
    born_unix_ms: i64,
    next: AtomicU64,
}

impl LocalRepositories {
    /// Starts runs through `runs`; `born_unix_ms` tells this server from earlier ones.
    pub fn new(runs: Runs, born_unix_ms: i64) -> Self {
        Self { runs, born_unix_ms, next: AtomicU64::new(0) }
    }

    fn folder(&self, kind: &str) -> String {
        format!("{kind}-{}-{}", self.born_unix_ms, self.next.fetch_add(1, Ordering::Relaxed))
    }

    async fn start(
        &self,
        profile: launch::Profile,
        number: AppNumber,
        output: Output,
        descriptors: Vec<OwnedFd>,
        spec: shim::Spec,
    ) -> Result<LiveRun, Failure> {
        let folder = self.folder("git");
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

    /// Runs `paas internal repository WORDS` and returns what it printed.
    async fn helper(&self, number: AppNumber, words: &[&str]) -> Result<String, Failure> {
        let (reader, writer) = io::pipe().map_err(|error| plumbing(&error))?;
        let descriptors = (|| Ok::<_, io::Error>((null()?, writer.as_fd().try_clone_to_owned()?)))();
        let (stdin, stderr) = descriptors.map_err(|error| plumbing(&error))?;
        let output = Output::Inherit { stdin, stdout: writer.into(), stderr, terminal: false };
        let argv: Vec<&str> = ["/paas", "internal", "repository"].into_iter().chain(words.iter().copied()).collect();
        let run = self.start(launch::Profile::Git, number, output, Vec::new(), spec(&argv, "/repository", &GIT_ENVIRONMENT)).await?;
        let printed = async {
            let mut text = String::new();
            let receiver = pipe::Receiver::from_owned_fd(reader.into())?;
            receiver.take(HELPER_OUTPUT_BYTES_MAX).read_to_string(&mut text).await?;
            Ok::<_, io::Error>((text, run.gone().await.status))
        };
        let stuck =
            || Failure::new(Kind::Host, "git.stuck", format!("looking at the repository took longer than {} s", HELPER_MAX.as_secs()));
        let ended = tokio::time::timeout(HELPER_MAX, printed).await;
        let Ok(printed) = ended else {
            let _ = run.kill().await;
            return Err(stuck());
        };
        let (text, status) = printed.map_err(|error| plumbing(&error))?;
        match status {
            ExitStatus::Code(0) => Ok(text),
            status => Err(Failure::new(Kind::Failed, "git.helper", format!("git's helper {status}")).why(model::text::clean(&text, 2_000))),
        }
    }

    async fn read_ref(&self, number: AppNumber, name: &str) -> Result<Option<String>, Failure> {
        let text = self.helper(number, &["read-ref", name]).await?;
        let id = text.trim();
        let is_id = id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit());
        Ok((is_id && id.bytes().any(|b| b != b'0')).then(|| id.to_owned()))
    }
}

impl Repositories for LocalRepositories {
    fn create(&self, number: AppNumber) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move { self.helper(number, &["create"]).await.map(|_| ()) })
    }

    fn resolve(&self, number: AppNumber, reference: &str) -> BoxFuture<'_, Result<Option<String>, Failure>> {
        let reference = reference.to_owned();
        Box::pin(async move {
            if reference.len() == 40 && reference.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Ok(Some(reference));
            }
            if reference.starts_with("refs/") {
                return self.read_ref(number, reference.parse::<model::RefName>()?.as_str()).await;
            }
            for folder in ["refs/heads", "refs/tags"] {
                let name: model::RefName = format!("{folder}/{reference}").parse()?;
                if let Some(id) = self.read_ref(number, name.as_str()).await? {
                    return Ok(Some(id));
                }
            }
            Ok(None)
        })
    }

    fn export(&self, number: AppNumber, commit: &str, folder: Option<String>) -> BoxFuture<'_, Result<OwnedFd, Failure>> {
        let commit = commit.to_owned();
        Box::pin(async move {
            let (reader, writer) = io::pipe().map_err(|error| plumbing(&error))?;
            // What it complains about comes out as a source that ends early; the log has the words.
            let (stdin, stdout) = (|| Ok::<_, io::Error>((null()?, null()?)))().map_err(|error| plumbing(&error))?;
            let (complaints, stderr) = io::pipe().map_err(|error| plumbing(&error))?;
            tokio::spawn(async move {
                let Ok(receiver) = pipe::Receiver::from_owned_fd(complaints.into()) else { return };
                let mut text = String::new();
                let read = receiver.take(HELPER_OUTPUT_BYTES_MAX).read_to_string(&mut text).await;
                if read.is_ok() && !text.is_empty() {
                    tracing::warn!(complaint = model::text::clean(&text, 2_000), "a tree could not be exported");
                }
            });
            let stderr = OwnedFd::from(stderr);
            let output = Output::Inherit { stdin, stdout, stderr, terminal: false };
            let mut words = vec!["/paas", "internal", "export", &commit];
            if let Some(folder) = &folder {
                words.extend(["--folder", folder]);
            }
            let spec = spec(&words, "/repository", &GIT_ENVIRONMENT);
            self.start(launch::Profile::Export, number, output, vec![writer.into()], spec).await?;
            Ok(reader.into())
        })
    }

    fn serve(
        &self,
        number: AppNumber,
        verb: Verb,
        protocol: Option<String>,
        stdio: Stdio,
        push: Option<PushDescriptors>,
    ) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
        Box::pin(async move {
            let program = match verb {
                Verb::ReceivePack => "git-receive-pack",
                Verb::UploadPack => "git-upload-pack",
            };
            let mut environment = GIT_ENVIRONMENT.to_vec();
            if let Some(protocol) = &protocol {
                environment.push(("GIT_PROTOCOL", protocol));
            }
            if push.is_some() {
                environment.extend([(HOOK_DESCRIPTOR_VARIABLE, "3"), ("GIT_TRACE2_EVENT", "4")]);
            }
            let output = Output::Inherit { stdin: stdio.stdin, stdout: stdio.stdout, stderr: stdio.stderr, terminal: false };
            let spec = spec(&[program, "/repository"], "/repository", &environment);
            let descriptors = push.map(|push| vec![push.hook, push.trace]).unwrap_or_default();
            let run = self.start(launch::Profile::Git, number, output, descriptors, spec).await?;
            Ok(Box::new(RunSession(run)) as Box<dyn Session>)
        })
    }

    fn clean(&self, number: AppNumber) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Err(failure) = self.helper(number, &["clean"]).await {
                tracing::warn!(app = number.0, %failure, "leftovers of dead pushes stay");
            }
        })
    }
}
