//! Git repositories: every touch is a run as the app's git user in a sandbox that holds
//! that one repository.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::git::Verb;
use api::{Failure, Kind};
use control::seams::{BoxFuture, Lines, PushDescriptors, Repositories, Session, Stdio};
use model::AppNumber;
use runner::runs::{Output, Runs};

use super::git_runs::{GIT_ENVIRONMENT, GitRuns};
use super::internal_run::{RunSession, plumbing, spec};
use crate::git::protocol::{HOOK_DESCRIPTOR_VARIABLE, SourceDone, is_source_unread};

/// A helper that takes longer is stuck.
const HELPER_MAX: Duration = Duration::from_mins(1);

/// Repositories on this machine.
#[derive(Debug)]
pub struct LocalRepositories(GitRuns);

impl LocalRepositories {
    /// Starts runs through `runs`; `born_unix_ms` tells this server from earlier ones.
    pub fn new(runs: Runs, born_unix_ms: i64) -> Self {
        Self(GitRuns::new(runs, born_unix_ms))
    }

    /// Runs `paas internal repository WORDS` and returns what it printed.
    async fn helper(&self, number: AppNumber, words: &[&str]) -> Result<String, Failure> {
        let words: Vec<&str> = ["repository"].into_iter().chain(words.iter().copied()).collect();
        let helper = self.0.helper(launch::Profile::Git, number, &words, Vec::new()).await?;
        let run = helper.run.clone();
        if let Ok(outcome) = tokio::time::timeout(HELPER_MAX, helper.outcome()).await {
            return outcome;
        }
        let _ = run.kill().await;
        let what = format!("looking at the repository took longer than {} s", HELPER_MAX.as_secs());
        Err(Failure::new(Kind::Host, "git.stuck", what).fix("see what the disk is doing (`iostat`, `dmesg`), then try again"))
    }
}

impl Repositories for LocalRepositories {
    fn create(&self, number: AppNumber) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move { self.helper(number, &["create"]).await.map(|_| ()) })
    }

    fn resolve(&self, number: AppNumber, reference: &str) -> BoxFuture<'_, Result<Option<String>, Failure>> {
        let reference = reference.to_owned();
        Box::pin(async move {
            // Nothing of it may look like an option.
            let text = self.helper(number, &["resolve", "--", &reference]).await?;
            let id = text.trim();
            let is_id = id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit());
            Ok((is_id && id.bytes().any(|b| b != b'0')).then(|| id.to_owned()))
        })
    }

    fn export(
        &self,
        number: AppNumber,
        commit: &str,
        folder: Option<String>,
        lines: Lines,
        reason: Arc<OnceLock<Failure>>,
    ) -> BoxFuture<'_, Result<OwnedFd, Failure>> {
        let commit = commit.to_owned();
        Box::pin(async move {
            let (reader, writer) = io::pipe().map_err(|error| plumbing(&error))?;
            // Held until it is known how the export ended: the build must not see the end before.
            let held = writer.as_fd().try_clone_to_owned().map_err(|error| plumbing(&error))?;
            let mut words = vec!["export"];
            if let Some(folder) = &folder {
                words.extend(["--folder", folder]);
            }
            words.extend(["--", &commit]);
            let helper = self.0.helper(launch::Profile::Export, number, &words, vec![writer.into()]).await?;
            tokio::spawn(async move {
                let sent = helper.outcome().await.and_then(|text| {
                    serde_json::from_str::<SourceDone>(&text).map_err(|error| Failure::internal("what was sent is not known", &error))
                });
                match sent {
                    Ok(sent) => sent.warnings.iter().for_each(|warning| lines.problem(warning)),
                    // The build closed its end, and knows why.
                    Err(failure) if is_source_unread(&failure) => {}
                    Err(failure) => {
                        let _ = reason.set(failure);
                    }
                }
                drop(held);
            });
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
            let run = self.0.start(launch::Profile::Git, number, output, descriptors, spec).await?;
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
