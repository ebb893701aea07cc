//! The router's side of the conversation with the server.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use model::{AppName, AppRoutes, RunId};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::frames::{ConversationError, Inbox, send};
use crate::limits;
use crate::listen::Doors;
use crate::outlet::{Outgoing, Outlet};
use crate::protocol::{self, FromRouter, FromServer, WireRoutes};
use crate::state::Shared;

/// Takes servers one after the other until the task is dropped. The newest one is
/// listened to; without any, the last table serves on.
pub(crate) async fn take_servers(listener: UnixListener, shared: Arc<Shared>, doors: Arc<Doors>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (shared, doors) = (shared.clone(), doors.clone());
                tokio::spawn(async move {
                    let ended = converse(&stream, &shared, &doors).await;
                    if let Err(error) = ended
                        && !matches!(error, ConversationError::Closed)
                    {
                        tracing::warn!(error = %Chain(&error), "the conversation with the server ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no server can be accepted");
                tokio::time::sleep(Duration::from_millis(limits::ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}

async fn converse(stream: &UnixStream, shared: &Shared, doors: &Doors) -> Result<(), ConversationError> {
    let mut inbox = Inbox::default();
    let hello = timeout(Duration::from_millis(limits::HELLO_MS), inbox.next::<FromServer>(stream)).await;
    let FromServer::Hello { version, epoch } = hello.map_err(|_| ConversationError::Protocol("no hello in time"))?? else {
        return Err(ConversationError::Protocol("the first frame is not a hello"));
    };
    let own = FromRouter::Hello {
        version: protocol::VERSION,
        pid: std::process::id(),
        listens: doors.apps().iter().map(ToString::to_string).collect(),
    };
    if !protocol::understands(version) {
        // It learns from our version why.
        return send(stream, &own, None).await;
    }
    let frames = shared.surroundings.outlet.attach(epoch, own).ok_or(ConversationError::Protocol("a newer server is there"))?;
    // Reading never waits for writing: two full sockets would wait for each other.
    tokio::select! {
        ended = read_frames(stream, &mut inbox, shared, doors) => ended,
        ended = write_frames(stream, frames) => ended,
    }
}

async fn write_frames(stream: &UnixStream, mut frames: mpsc::Receiver<Outgoing>) -> Result<(), ConversationError> {
    while let Some(Outgoing { frame, descriptor }) = frames.recv().await {
        send(stream, &frame, descriptor.as_ref().map(AsFd::as_fd)).await?;
    }
    Err(ConversationError::Protocol("another server took over, or this one does not read"))
}

async fn read_frames(stream: &UnixStream, inbox: &mut Inbox, shared: &Shared, doors: &Doors) -> Result<(), ConversationError> {
    loop {
        match inbox.next::<FromServer>(stream).await? {
            FromServer::Listen { app } => listen(doors, &app, inbox.descriptor()?),
            frame => handle(frame, shared, doors),
        }
    }
}

fn handle(frame: FromServer, shared: &Shared, doors: &Doors) {
    let routes = &shared.routes;
    match frame {
        FromServer::Snapshot { seq, apps } => {
            let result = apps.iter().map(read_routes).collect::<Result<_, _>>().and_then(|apps| routes.replace(seq, apps));
            acknowledge(shared, seq, result);
        }
        FromServer::Put { seq, routes: wire } => {
            acknowledge(shared, seq, read_routes(&wire).and_then(|app| routes.put(seq, app)));
        }
        FromServer::Delete { seq, app } => {
            let result = app.parse::<AppName>().map_err(|error| error.to_string()).and_then(|app| routes.delete(seq, &app));
            acknowledge(shared, seq, result);
        }
        FromServer::Unlisten { app } => match app.parse() {
            Ok(app) => doors.close_for_app(&app),
            Err(error) => tracing::warn!(%error, "a port cannot be closed"),
        },
        FromServer::HandBack => hand_back(doors, &shared.surroundings.outlet),
        FromServer::LastByte { query, run } => {
            let instance = RunId::try_from(&run).ok().and_then(|run| routes.run(&run));
            let age = instance.and_then(|instance| instance.silent_for());
            let age_ms = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
            shared.surroundings.outlet.send(FromRouter::LastByte { query, age_ms });
        }
        FromServer::Traffic { query, app } => {
            let runs = app.parse().map(|app| routes.traffic(&app)).unwrap_or_default();
            shared.surroundings.outlet.send(FromRouter::Traffic { query, runs });
        }
        // `Listen` was handled where its descriptor is; the others say nothing to us.
        FromServer::Listen { .. } | FromServer::Hello { .. } | FromServer::Unknown => {}
    }
}

fn read_routes(wire: &WireRoutes) -> Result<AppRoutes, String> {
    AppRoutes::try_from(wire).map_err(|error| error.to_string())
}

fn acknowledge(shared: &Shared, seq: u64, result: Result<(), String>) {
    match result {
        Ok(()) => shared
            .surroundings
            .outlet
            .send_with(|| FromRouter::Applied { seq, busy: shared.routes.busy_outside().iter().map(Into::into).collect() }),
        Err(why) => {
            tracing::warn!(seq, why, "a table was refused, the old one serves on");
            shared.surroundings.outlet.send(FromRouter::Refused { seq, why });
        }
    }
}

fn listen(doors: &Doors, app: &str, descriptor: OwnedFd) {
    let app = match app.parse::<AppName>() {
        Ok(app) => app,
        Err(error) => return tracing::warn!(%error, "a port cannot be opened"),
    };
    if let Err(error) = doors.open_for_app(app, descriptor.into()) {
        tracing::warn!(%error, "a port cannot be opened");
    }
}

fn hand_back(doors: &Doors, outlet: &Outlet) {
    let copies = doors.copies();
    // All of them are queued at once, and a full queue would end the conversation.
    let beyond = copies.len().saturating_sub(limits::LISTENERS_HANDED_BACK_MAX);
    for (app, copy) in copies.into_iter().skip(beyond) {
        match copy {
            Ok(copy) => {
                outlet.send(Outgoing { frame: FromRouter::Listener { app: app.map(|app| app.to_string()) }, descriptor: Some(copy) });
            }
            Err(error) => tracing::warn!(%error, "a listening socket cannot be handed back"),
        }
    }
}

/// An error with its sources on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
