//! One push: what the hook tells, what control decides, and the verdict.
//!
//! ```text
//! Hello → rules → (turn) → still current? → SendSource → build → switch → Verdict → the ref moved?
//! ```

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use api::{Failure, Kind};
use control::app::AppHandle;
use control::deploy::DeployRequest;
use control::push::{self, PushOptions, PushPlan};
use control::seams::{Lines, Session, cancelled};
use control::store::PushNumber;
use control::turns::Turn;
use control::{Control, limits::PUSH_LINES_QUEUED_MAX};
use model::RefName;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

use super::git_session::{HOOK_END_MAX, killed};
use super::socket::send_message;
use crate::git::protocol::{FromHook, Hello, ObjectKind, ToHook, is_source_unread};

/// The hook takes a question or the last lines and the verdict within this: a client that was
/// suspended must not keep the app's turn.
const HOOK_TAKES_MAX: Duration = Duration::from_mins(1);
/// Git moves a ref within this once the hook has the verdict.
const REF_MOVES_MAX: Duration = Duration::from_mins(1);

/// How receive-pack ended.
pub(super) enum End {
    /// After the hook had its say.
    Heard(u8),
    /// The hook never spoke: nothing to do, a bad pack, a protocol error.
    Unheard(u8),
}

/// What is said to the hook, one message after the other.
#[derive(Clone)]
pub(super) struct HookSocket {
    pub(super) stream: Arc<UnixStream>,
    /// A message may be sent in parts: two of them must not be mixed.
    pub(super) sending: Arc<tokio::sync::Mutex<()>>,
}

impl HookSocket {
    async fn say(&self, message: &ToHook, descriptor: Option<OwnedFd>) -> std::io::Result<()> {
        let _alone = self.sending.lock().await;
        send_message(&self.stream, message, descriptor).await
    }
}

pub(super) struct Push {
    pub(super) control: Arc<Control>,
    pub(super) app: AppHandle,
    pub(super) actor: String,
    pub(super) stream: HookSocket,
    pub(super) messages: mpsc::Receiver<FromHook>,
    pub(super) session: Arc<dyn Session>,
    pub(super) cancel: watch::Receiver<bool>,
}

impl Push {
    pub(super) async fn run(&mut self) -> End {
        let mut cancel = self.cancel.clone();
        let first = tokio::select! {
            biased;
            // Each holder of the hook's socket is part of git: it ends when git does.
            first = self.messages.recv() => first,
            // The client is gone while git still reads its pack, or has nothing to do.
            () = cancelled(&mut cancel) => None,
        };
        let Some(FromHook::Hello(hello)) = first else {
            return End::Unheard(self.end().await);
        };
        let (lines, writer) = self.writer();
        let verdict = self.decide(&hello, &lines).await;
        if let Err(failure) = &verdict {
            // The reason waits for a slow author; one that takes nothing is given up below.
            let _ = tokio::time::timeout(HOOK_TAKES_MAX, lines.whole_failure(failure)).await;
        }
        drop(lines);
        let code = if self.tell(writer, verdict.is_ok()).await
            && let Ok(status) = tokio::time::timeout(REF_MOVES_MAX, self.session.wait()).await
        {
            status.shell_code()
        } else {
            self.end().await
        };
        // Only now does nothing of git run that could still move the ref.
        if let Ok(Some(accepted)) = verdict {
            accepted.settle(&self.control, &self.app).await;
        }
        End::Heard(code)
    }

    /// The last lines, then the verdict; false if the hook does not take them.
    async fn tell(&self, writer: tokio::task::JoinHandle<()>, accept: bool) -> bool {
        let unread = writer.abort_handle();
        let told = tokio::time::timeout(HOOK_TAKES_MAX, async {
            let _ = writer.await;
            self.stream.say(&ToHook::Verdict { accept }, None).await.is_ok()
        });
        let told = told.await.unwrap_or(false);
        unread.abort();
        told
    }

    /// The client or the hook is gone: give git a moment, then kill all of it.
    async fn end(&self) -> u8 {
        if let Ok(status) = tokio::time::timeout(HOOK_END_MAX, self.session.wait()).await {
            return status.shell_code();
        }
        killed(self.session.as_ref()).await
    }

    /// A task that passes lines on to the hook, and so to the author.
    fn writer(&self) -> (Lines, tokio::task::JoinHandle<()>) {
        let (sender, mut receiver) = mpsc::channel::<String>(PUSH_LINES_QUEUED_MAX);
        let stream = self.stream.clone();
        let writer = tokio::spawn(async move {
            while let Some(line) = receiver.recv().await {
                if stream.say(&ToHook::Line(line), None).await.is_err() {
                    return;
                }
            }
        });
        (Lines(sender), writer)
    }

    /// `Ok(None)`: stored without a deploy. `Err`: the refs stay where they are.
    async fn decide(&mut self, hello: &Hello, lines: &Lines) -> Result<Option<Accepted>, Failure> {
        let options = PushOptions::parse(&hello.options)?;
        let refs: Vec<_> = hello.refs.iter().map(|r| update_of(r, hello.head.as_deref())).collect();
        let branches = self.control.deploy_branches(&self.app).await?;
        let plan = push::plan(self.app.identity.name.as_str(), &refs, &branches, hello.shallow);
        if let Err(failure) = &plan
            && let Some(refused) = push::deployed_by(&refs, &branches)
        {
            self.control.refuse_push(&self.app, &self.actor, &refused.new, failure).await;
        }
        match plan? {
            PushPlan::Store { notes } => {
                for note in &notes {
                    lines.step(note);
                }
                Ok(None)
            }
            PushPlan::Deploy { branch, commit, old, notes } => {
                for note in &notes {
                    lines.detail(note);
                }
                self.deploy(&options, &branch, commit, &old, lines).await
            }
        }
    }

    async fn deploy(
        &mut self,
        options: &PushOptions,
        branch: &str,
        commit: String,
        old: &str,
        lines: &Lines,
    ) -> Result<Option<Accepted>, Failure> {
        let turn = self.control.turn(&self.app, lines, &self.cancel).await?;
        let reference: RefName = format!("refs/heads/{branch}").parse()?;
        let number = self.app.identity.number;
        let now = self.control.services.repositories.resolve(number, reference.as_str()).await?;
        let is_new = old.bytes().all(|b| b == b'0');
        if now.as_deref() != (!is_new).then_some(old) {
            let failure = push::moved(reference.as_str());
            self.control.refuse_push(&self.app, &self.actor, &commit, &failure).await;
            return Err(failure);
        }
        if let Some(note) = self.control.note_before_push(&self.app).await {
            lines.problem(note);
        }
        let (stop, cancel) = watch::channel(false);
        let request = DeployRequest {
            actor: self.actor.clone(),
            commit: commit.clone(),
            rebuild: false,
            dry_run: options.dry_run,
            accept_5xx: options.accept_5xx,
            lines: lines.clone(),
            cancel,
            reason: Arc::default(),
            turn: turn.clone(),
        };
        let source = self.request_source(&commit).await?;
        let push = self.control.push_begun(&self.app, reference.clone(), old, &commit).await?;
        let result = self.deploy_while_wanted(request, source, stop, options.detach).await;
        if !matches!(result, Ok(Some(_))) {
            self.control.push_refused(push, &reference).await;
        }
        match result? {
            Some(_) => Ok(Some(Accepted { _turn: turn, push, reference, new: commit })),
            None => Err(Failure::new(Kind::Failed, "push.dry_run", "dry run: nothing was built or deployed")
                .why("git shows the push as rejected, since nothing was accepted")
                .fix("push without -o dry-run to deploy")),
        }
    }

    /// Runs the deploy until it ends, and stops it when the client or the hook is gone.
    async fn deploy_while_wanted(
        &mut self,
        request: DeployRequest,
        source: OwnedFd,
        stop: watch::Sender<bool>,
        detach: bool,
    ) -> Result<Option<control::deploy::Deployed>, Failure> {
        let mut cancel = self.cancel.clone();
        let (reason, lines) = (request.reason.clone(), request.lines.clone());
        let deploy = self.control.deploy(&self.app, request, source);
        tokio::pin!(deploy);
        let (mut listening, mut gone) = (true, detach);
        loop {
            tokio::select! {
                result = &mut deploy => return result,
                message = self.messages.recv(), if listening => match message {
                    Some(FromHook::SourceDone(done)) => done.warnings.iter().for_each(|warning| lines.problem(warning)),
                    // The build closed its end, and knows why.
                    Some(FromHook::SourceFailed(failure)) if is_source_unread(&failure) => {}
                    Some(FromHook::SourceFailed(failure)) => {
                        let _ = reason.set(failure);
                        listening = false;
                        stop.send_replace(true);
                    }
                    // The hook is gone, or talks nonsense: nobody waits for a verdict.
                    _ => {
                        listening = false;
                        if !detach {
                            stop.send_replace(true);
                        }
                    }
                },
                () = cancelled(&mut cancel), if !gone => {
                    gone = true;
                    stop.send_replace(true);
                }
            }
        }
    }

    /// Asks the hook for the tree; it comes through a pipe that the build reads from.
    async fn request_source(&self, commit: &str) -> Result<OwnedFd, Failure> {
        let (reader, writer) = std::io::pipe().map_err(|error| Failure::internal("no pipe for the source", &error))?;
        let folder = self.control.root_of(&self.app).await?;
        let message = ToHook::SendSource { commit: commit.to_owned(), folder };
        let asked = tokio::time::timeout(HOOK_TAKES_MAX, self.stream.say(&message, Some(writer.into()))).await;
        let asked = asked.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        asked
            .map_err(|error| Failure::new(Kind::Failed, "push.hook_gone", "the push ended before its source arrived").caused_by(&error))?;
        Ok(reader.into())
    }
}

/// An accepted push: the release serves, git moves the ref next. The app's deploy lock
/// is held until that is known.
struct Accepted {
    _turn: Turn,
    push: PushNumber,
    reference: RefName,
    new: String,
}

impl Accepted {
    /// The exit code is not the outcome: look where the ref is.
    async fn settle(self, control: &Control, app: &AppHandle) {
        control.push_settled(app.identity.number, self.push, &self.reference, &self.new).await;
    }
}

fn update_of(update: &crate::git::protocol::RefUpdate, head: Option<&str>) -> push::RefUpdate {
    let facts = &update.facts;
    let blocked = match (&facts.conflict, facts.locked) {
        (Some(other), _) => Some(format!("{other} is in its way: a branch cannot be a folder of branches too")),
        (None, true) => Some("a lock file of another git is in its way".to_owned()),
        (None, false) if facts.deletion && head == Some(update.name.as_str()) => Some("it is the repository's HEAD".to_owned()),
        (None, false) => None,
    };
    push::RefUpdate {
        name: update.name.clone(),
        old: update.old.clone(),
        new: update.new.clone(),
        is_commit: facts.kind == Some(ObjectKind::Commit),
        is_current: facts.old_is_current,
        blocked,
    }
}
