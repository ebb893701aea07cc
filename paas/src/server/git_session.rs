//! A `git push` or `git fetch` that arrived at a door: git runs as the app's git user on
//! the client's own stdio; for a push its hook asks here, over a socket that only it
//! inherited, whether the refs may move.
//!
//! ```text
//! Hello → rules → (lock) → still current? → SendSource → build → switch → Verdict → git moves the ref
//! ```

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use api::git::{Git, Verb};
use api::wire::FromServer;
use api::{Failure, Kind, Role};
use control::Control;
use control::access::Actor;
use control::seams::{PushDescriptors, Session, Stdio, cancelled};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

use super::internal_run::plumbing;
use super::pack_trace;
use super::push_session::{End, HookSocket, Push};
use super::socket::receive_message;
use crate::git::protocol::FromHook;

/// Messages of a hook that wait: it says three in all.
const HOOK_MESSAGES_MAX: usize = 4;
/// Stands for the commit of a push whose objects git did not take.
const UNKNOWN_COMMIT: &str = "0000000000000000000000000000000000000000";
/// What a shell answers for a command that was killed.
const KILLED_EXIT: u8 = 137;
/// A hook that was told to go has this long until git and everything of it is killed.
pub(super) const HOOK_END_MAX: Duration = Duration::from_secs(2);

/// Serves one push or fetch to its end.
pub async fn serve(control: Arc<Control>, actor: Actor, git: Git, stdio: Stdio, cancel: watch::Receiver<bool>) -> FromServer {
    match serve_git(&control, &actor, git, stdio, cancel).await {
        Ok(code) => FromServer::Exit(code),
        Err(failure) => FromServer::Failure(failure),
    }
}

async fn serve_git(control: &Arc<Control>, actor: &Actor, git: Git, stdio: Stdio, cancel: watch::Receiver<bool>) -> Result<u8, Failure> {
    let doing = if git.verb == Verb::ReceivePack { "push to" } else { "clone" };
    let app = control.app_for(actor, &git.repository, Role::Deployer, doing)?;
    let open = control.open_session(actor, &app, cancel)?;
    let cancel = open.cancel.clone();
    let number = app.identity.number;
    let repositories = control.services.repositories.clone();
    if git.verb == Verb::UploadPack {
        let session = repositories.serve(number, git.verb, git.protocol, stdio, None).await?;
        return Ok(until_end(session.as_ref(), cancel).await);
    }
    let (stream, descriptors, trace) = conversation().map_err(|error| plumbing(&error))?;
    let pushing = control.push_arrived(&app).await?;
    let session: Arc<dyn Session> = repositories.serve(number, git.verb, git.protocol, stdio, Some(descriptors)).await?.into();
    let trace = tokio::spawn(pack_trace::pack_was_refused(trace));
    let messages = listen(stream.clone());
    let stream = HookSocket { stream, sending: Arc::default() };
    let mut push = Push { control: control.clone(), app: app.clone(), actor: actor.name().to_owned(), stream, messages, session, cancel };
    let end = push.run().await;
    // Only what ended before its hook could speak can have been refused by git itself.
    let refused = matches!(end, End::Unheard(_)) && matches!(trace.await, Ok(Ok(true)));
    control.push_ended(&app, pushing).await;
    if refused {
        let failure = refused_by_git();
        control.refuse_push(&app, actor.name(), UNKNOWN_COMMIT, &failure).await;
        return Err(failure);
    }
    let (End::Heard(code) | End::Unheard(code)) = end;
    Ok(code)
}

/// Both ends of the hook's socket, and of git's trace.
fn conversation() -> std::io::Result<(Arc<UnixStream>, PushDescriptors, OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let (trace, trace_end) = std::io::pipe()?;
    let descriptors = PushDescriptors { hook: theirs.into(), trace: trace_end.into() };
    Ok((Arc::new(UnixStream::from_std(ours)?), descriptors, trace.into()))
}

/// Reads what the hook says on a task of its own, so that nothing is lost in a race.
fn listen(stream: Arc<UnixStream>) -> mpsc::Receiver<FromHook> {
    let (sender, messages) = mpsc::channel(HOOK_MESSAGES_MAX);
    tokio::spawn(async move {
        while let Ok(Some(message)) = receive_message::<FromHook>(&stream).await {
            if sender.send(message).await.is_err() {
                return;
            }
        }
    });
    messages
}

fn refused_by_git() -> Failure {
    Failure::new(Kind::Refused, "push.bad_pack", "git refused what was pushed before anything was built")
        .why("an object is malformed or unsafe (a path with `..` or `.git`), or the push is over the size limit; git's own lines say which")
        .fix("look with `git fsck` in your checkout; a history of another tool may need to be rewritten")
}

async fn until_end(session: &dyn Session, mut cancel: watch::Receiver<bool>) -> u8 {
    tokio::select! {
        status = session.wait() => status.shell_code(),
        () = cancelled(&mut cancel) => {
            // A fetch whose client is gone ends by itself at its next write; do not wait for that.
            killed(session).await
        }
    }
}

/// Kills all of it. What is stuck in the kernel is not waited for: it can do nothing more.
pub(super) async fn killed(session: &dyn Session) -> u8 {
    session.kill().await;
    let status = tokio::time::timeout(HOOK_END_MAX, session.wait()).await;
    status.map_or(KILLED_EXIT, model::ExitStatus::shell_code)
}
