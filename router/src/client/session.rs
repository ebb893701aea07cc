//! One conversation with one router.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{AppName, RunId, Traffic};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::desired::{Answer, Progress};
use super::{Inner, RouterEvent, Seen};
use crate::control::Chain;
use crate::frames::{ConversationError, Inbox, send};
use crate::limits;
use crate::protocol::{self, FromRouter, FromServer, WireRun};

/// Finds a router, speaks to it, and finds the next one when it leaves.
pub(super) async fn stay_connected(inner: Arc<Inner>) {
    let mut pause = limits::RECONNECT_MS_MIN;
    for id in 0.. {
        let began = Instant::now();
        // A router that drains is still spoken to while the next one is looked for.
        let (left, leaving) = oneshot::channel();
        let session = Session { inner: inner.clone(), id, left: Some(left), snapshot: AtomicU64::new(0) };
        tokio::spawn(session.run());
        let connected = leaving.await.unwrap_or(false);
        if connected || began.elapsed() > Duration::from_millis(limits::RECONNECT_MS_MAX) {
            pause = limits::RECONNECT_MS_MIN;
        }
        sleep(Duration::from_millis(pause)).await;
        pause = (pause * 2).min(limits::RECONNECT_MS_MAX);
    }
}

struct Session {
    inner: Arc<Inner>,
    id: u64,
    /// Told (whether it was connected) once another router is wanted.
    left: Option<oneshot::Sender<bool>>,
    /// The number of the last whole table that was said.
    snapshot: AtomicU64,
}

impl Session {
    async fn run(mut self) {
        match self.converse().await {
            Ok(()) | Err(ConversationError::Closed) => {}
            Err(ConversationError::Io(error)) => tracing::debug!(%error, "the router cannot be reached"),
            Err(error) => tracing::warn!(error = %Chain(&error), "the conversation with the router ended"),
        }
        self.forget();
    }

    /// The router is gone: whatever it had is drained.
    fn forget(&mut self) {
        let mut was_there = false;
        self.inner.view.send_modify(|view| {
            was_there = view.sessions.remove(&self.id).is_some();
            if view.current == Some(self.id) {
                view.current = None;
                view.without = Some(Instant::now());
            }
        });
        if was_there {
            self.inner.tell(RouterEvent::Disconnected);
        }
        self.leave(was_there);
    }

    fn leave(&mut self, connected: bool) {
        if let Some(left) = self.left.take() {
            // The client itself may be gone.
            let _ = left.send(connected);
        }
    }

    async fn converse(&mut self) -> Result<(), ConversationError> {
        let stream = UnixStream::connect(&self.inner.path).await?;
        let hello = FromServer::Hello { version: protocol::VERSION, epoch: self.inner.epoch };
        send(&stream, &hello, None).await?;
        let mut inbox = Inbox::default();
        // With nobody there this waits in the socket's queue for the next router.
        let FromRouter::Hello { version, pid, listens } = inbox.next(&stream).await? else {
            return Err(ConversationError::Protocol("the first frame is not a hello"));
        };
        if !protocol::understands(version) {
            return Err(ConversationError::Protocol("the router speaks another version"));
        }
        let mut listens: BTreeSet<AppName> = listens.iter().filter_map(|app| app.parse().ok()).collect();
        self.inner.view.send_modify(|view| {
            view.sessions.insert(self.id, Seen { listens: listens.clone(), ..Seen::default() });
            view.current = Some(self.id);
            view.without = None;
        });
        // An older router does not know this and lends nothing.
        send(&stream, &FromServer::HandBack, None).await?;
        listens.extend(self.inner.lock().handed_over());
        self.inner.tell(RouterEvent::Connected { pid, listens });
        let inner = self.inner.clone();
        let reader = Reader { inner: &inner, id: self.id, left: self.left.take(), snapshot: &self.snapshot, again: 0 };
        let ended = tokio::select! {
            ended = reader.run(&stream, inbox) => ended,
            ended = self.write(&stream) => ended,
        };
        ended
    }

    async fn write(&self, stream: &UnixStream) -> Result<(), ConversationError> {
        let mut changed = self.inner.changed.subscribe();
        let mut progress = Progress::default();
        loop {
            changed.borrow_and_update();
            let listens = self.inner.view.borrow().sessions.get(&self.id).map(|seen| seen.listens.clone()).unwrap_or_default();
            let sayings = self.inner.lock().say(&mut progress, |app| listens.contains(app));
            for saying in sayings {
                if let FromServer::Snapshot { seq, .. } = &saying.frame {
                    self.snapshot.store(*seq, Ordering::Relaxed);
                }
                send(stream, &saying.frame, saying.descriptor.as_ref().map(std::os::fd::AsFd::as_fd)).await?;
                self.note(&saying.frame);
            }
            if changed.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Remembers which ports the router has.
    fn note(&self, frame: &FromServer) {
        let (FromServer::Listen { app } | FromServer::Unlisten { app }) = frame else { return };
        let Ok(app) = app.parse::<AppName>() else { return };
        self.inner.view.send_modify(|view| {
            if let Some(seen) = view.sessions.get_mut(&self.id) {
                match frame {
                    FromServer::Listen { .. } => seen.listens.insert(app),
                    _ => seen.listens.remove(&app),
                };
            }
        });
    }
}

struct Reader<'a> {
    inner: &'a Inner,
    id: u64,
    left: Option<oneshot::Sender<bool>>,
    snapshot: &'a AtomicU64,
    /// After a change that was refused: the number of the table that says it again.
    again: u64,
}

impl Reader<'_> {
    async fn run(mut self, stream: &UnixStream, mut inbox: Inbox) -> Result<(), ConversationError> {
        loop {
            match inbox.next(stream).await? {
                FromRouter::Listener { app } => self.keep(app.as_deref(), inbox.descriptor()?),
                frame => self.handle(frame),
            }
        }
    }

    fn keep(&self, app: Option<&str>, listener: OwnedFd) {
        match app.map(str::parse) {
            None => self.inner.keep_front(listener.into()),
            Some(Ok(app)) => self.inner.lock().keep(app, listener),
            Some(Err(_)) => {}
        }
    }

    fn handle(&mut self, frame: FromRouter) {
        match frame {
            // What was refused before it has not been applied.
            FromRouter::Applied { seq, .. } if seq < self.again => {}
            FromRouter::Applied { seq, busy } => self.see(|seen| {
                seen.applied = seq;
                seen.busy = busy.iter().filter_map(run_of).collect();
            }),
            FromRouter::Idle { run } => {
                if let Some(run) = run_of(&run) {
                    self.see(|seen| {
                        seen.busy.remove(&run);
                    });
                }
            }
            FromRouter::Refused { seq, why } => self.refused(seq, why),
            FromRouter::LastByte { query, age_ms } => {
                self.inner.lock().answer(query, Answer::LastByte(age_ms.map(Duration::from_millis)));
            }
            FromRouter::Traffic { query, runs } => {
                let runs =
                    runs.iter().filter_map(|of| Some((run_of(&of.run)?, Traffic { requests: of.requests, errors: of.errors }))).collect();
                self.inner.lock().answer(query, Answer::Traffic(runs));
            }
            FromRouter::Trouble { run, kind } => {
                if let Some(run) = run_of(&run) {
                    self.inner.tell(RouterEvent::Trouble { run, kind });
                }
            }
            FromRouter::Leaving => self.leaving(),
            // `Listener` was handled where its descriptor is; the others say nothing to us.
            FromRouter::Listener { .. } | FromRouter::Hello { .. } | FromRouter::Unknown => {}
        }
    }

    /// A change alone may be refused where the whole is right: host names move between
    /// apps in two changes, of which only the last states are said.
    fn refused(&mut self, seq: u64, why: String) {
        if self.snapshot.load(Ordering::Relaxed) == seq {
            self.inner.tell(RouterEvent::Refused { why });
        } else if seq > self.again {
            self.again = self.inner.lock().again();
            self.inner.changed.send_replace(());
        }
    }

    fn leaving(&mut self) {
        self.inner.view.send_modify(|view| {
            if view.current == Some(self.id) {
                view.current = None;
                view.without = Some(Instant::now());
            }
        });
        if let Some(left) = self.left.take() {
            // The client itself may be gone.
            let _ = left.send(true);
        }
    }

    fn see(&self, how: impl FnOnce(&mut Seen)) {
        self.inner.view.send_modify(|view| {
            if let Some(seen) = view.sessions.get_mut(&self.id) {
                how(seen);
            }
        });
    }
}

fn run_of(wire: &WireRun) -> Option<RunId> {
    RunId::try_from(wire).ok()
}
