//! The server's sockets: the operator's, and the door that sshd's forced command knocks at.
//! Each has its own list of verbs.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use api::wire::{FromClient, FromServer, Request, VERSION};
use api::{Failure, Kind, Operation};
use control::Control;
use control::access::Actor;
use control::perform::Call;
use control::seams::Stdio;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};

use super::git_session;
use super::socket::{Received, next, receive, send};

/// Conversations at once on one socket; more wait in its queue.
const CONVERSATIONS_MAX: usize = 256;
/// Frames that wait for a client.
const FRAMES_WAITING_MAX: usize = 256;
/// Signals that wait for a session's process.
const SIGNALS_WAITING_MAX: usize = 16;
/// A client must have asked within this.
const REQUEST_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// Which socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Whoever may open it operates the box.
    Operator,
    /// sshd's login user: git alone, in the name of a key.
    Visitors {
        /// The user id that may knock.
        login_uid: u32,
    },
}

impl Door {
    /// Whether this user may ask for anything here.
    fn lets_in(self, peer: u32) -> bool {
        let is_own = peer == 0 || peer == nix::unistd::geteuid().as_raw();
        match self {
            Self::Operator => is_own,
            Self::Visitors { login_uid } => is_own || peer == login_uid,
        }
    }
}

fn closed() -> Failure {
    Failure::new(Kind::Refused, "door.closed", "this user may not knock here").fix("push over SSH, or ask the operator of this box")
}

/// Makes a socket in the root folder; an old one is replaced.
pub fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

/// Takes conversations until the server ends.
pub async fn serve(control: Arc<Control>, door: Door, listener: UnixListener) {
    let room = Arc::new(Semaphore::new(CONVERSATIONS_MAX));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors: a pause, so that others can give some back.
                tracing::warn!(%error, "a conversation could not be taken");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let control = control.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(control, door, stream).await {
                tracing::debug!(%error, "a conversation broke off");
            }
            drop(place);
        });
    }
}

async fn converse(control: Arc<Control>, door: Door, stream: UnixStream) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if !door.lets_in(peer) {
        // Unread: a stranger does not keep a place for the time that a request may take.
        let (_, mut writer) = stream.into_split();
        return send(&mut writer, &FromServer::Failure(closed())).await;
    }
    let received = match tokio::time::timeout(REQUEST_MAX, receive(stream)).await {
        Ok(Ok(received)) => received,
        Ok(Err(error)) => return Err(io::Error::other(error)),
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    };
    let Received { request, descriptors, stream } = received;
    let (mut reader, mut writer) = stream.into_split();
    let (cancel_sender, cancel) = watch::channel(false);
    let (signal_sender, signals) = mpsc::channel(SIGNALS_WAITING_MAX);
    let listening = tokio::spawn(async move {
        loop {
            match next(&mut reader).await {
                Some(FromClient::Signal(signal)) => {
                    let _ = signal_sender.try_send(signal);
                }
                // Asked to, or gone.
                Some(FromClient::Cancel) | None => {
                    cancel_sender.send_replace(true);
                    return;
                }
            }
        }
    });
    let (out, mut frames) = mpsc::channel(FRAMES_WAITING_MAX);
    let answer = answer(control, door, request, stdio(descriptors), out, cancel, signals);
    tokio::pin!(answer);
    let last = loop {
        tokio::select! {
            biased;
            frame = frames.recv() => match frame {
                Some(frame) => send(&mut writer, &frame).await?,
                // Every sender is gone: the answer is next.
                None => break answer.await,
            },
            last = &mut answer => {
                while let Ok(frame) = frames.try_recv() {
                    send(&mut writer, &frame).await?;
                }
                break last;
            }
        }
    };
    send(&mut writer, &last).await?;
    listening.abort();
    Ok(())
}

fn stdio(descriptors: Vec<OwnedFd>) -> Option<Stdio> {
    let [stdin, stdout, stderr] = <[OwnedFd; 3]>::try_from(descriptors).ok()?;
    Some(Stdio { stdin, stdout, stderr, terminal: false })
}

async fn answer(
    control: Arc<Control>,
    door: Door,
    request: Request,
    stdio: Option<Stdio>,
    out: mpsc::Sender<FromServer>,
    cancel: watch::Receiver<bool>,
    signals: mpsc::Receiver<i32>,
) -> FromServer {
    let actor = match actor(&control, door, &request).await {
        Ok(actor) => actor,
        Err(failure) => return FromServer::Failure(failure),
    };
    if request.operation == <api::git::Git as Operation>::NAME {
        return match (serde_json::from_value(request.body), stdio) {
            (Ok(git), Some(stdio)) => git_session::serve(control, actor, git, stdio, cancel).await,
            _ => FromServer::Failure(Failure::new(Kind::Usage, "request.malformed", "the door did not pass git's words or its stdio")),
        };
    }
    if door != Door::Operator {
        let failure = Failure::new(Kind::Refused, "door.git_only", "only git passes this door");
        return FromServer::Failure(failure.fix("log in on the box for other commands"));
    }
    let terminal = request.body.get("terminal").and_then(serde_json::Value::as_bool).unwrap_or(false);
    let stdio = stdio.map(|stdio| Stdio { terminal, ..stdio });
    let call = Call { actor, operation: request.operation, body: request.body, stdio, out, cancel, signals };
    control.perform(call).await
}

/// For a peer that the door has let in.
async fn actor(control: &Control, door: Door, request: &Request) -> Result<Actor, Failure> {
    if request.version != VERSION {
        return Err(Failure::new(Kind::Unavailable, "version.mismatch", "this client and the server are of different versions")
            .why(format!("the client speaks version {}, the server {VERSION}", request.version))
            .fix("use the paas that the server was started with"));
    }
    match (door, &request.key) {
        (Door::Operator, _) => Ok(Actor::Operator),
        (Door::Visitors { .. }, Some(key)) => control.actor_of(key).await,
        (Door::Visitors { .. }, None) => Err(closed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_login_user_knocks_and_only_the_operator_operates() {
        let own = nix::unistd::geteuid().as_raw();
        let (login_uid, stranger) = (own + 1, own + 2);
        let visitors = Door::Visitors { login_uid };
        for (door, peer, may) in [
            (Door::Operator, own, true),
            (Door::Operator, 0, true),
            (Door::Operator, login_uid, false),
            (visitors, own, true),
            (visitors, login_uid, true),
            (visitors, stranger, false),
        ] {
            assert_eq!(door.lets_in(peer), may, "{door:?} {peer}");
        }
    }
}
