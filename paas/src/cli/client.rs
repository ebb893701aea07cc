//! Asks the server for one operation and listens until its last word.

use std::os::fd::BorrowedFd;
use std::path::Path;

use api::wire::{FromClient, FromServer, Request};
use api::{Effect, Failure, Operation};
use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags};
use serde_json::Value;

use super::interrupts::Interrupts;
use super::server_socket::{self, ServerSocket};
use super::{End, Result};
use crate::frames::{self, ConversationError, FrameSocket};

/// Who hears what comes before the last word.
pub trait Listener {
    /// A line of progress.
    fn line(&mut self, line: &str);
    /// An element of a stream.
    fn item(&mut self, item: Value) -> Result;
}

/// The server's last word.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The reply.
    Reply(Value),
    /// The end of a session.
    Exit(u8),
}

/// One asked operation.
#[derive(Debug)]
pub struct Client {
    /// The conversation; sessions wait on it themselves.
    pub socket: FrameSocket,
    sent: Result<(), ConversationError>,
}

impl Client {
    /// Connects and asks.
    pub fn ask<O: Operation>(root: &Path, operation: &O, descriptors: &[BorrowedFd<'_>]) -> Result<Self> {
        let socket = server_socket::connect(root, ServerSocket::Operator)?;
        let body = serde_json::to_value(operation).map_err(|error| Failure::internal("the request cannot be written", &error))?;
        let request = Request { version: api::wire::VERSION, operation: O::NAME.to_owned(), body, key: None };
        // A server that refuses before it has read everything has still answered.
        let sent = socket.send(&request, descriptors);
        Ok(Self { socket, sent })
    }

    /// Takes the next word of the server; nothing if it was not the last one.
    pub fn next(&mut self, listener: &mut dyn Listener) -> Result<Option<Answer>> {
        let received = self.socket.receive().map_err(|error| server_socket::gone().caused_by(&error))?;
        let Some(received) = received else {
            let gone = server_socket::gone();
            return Err(match &self.sent {
                Ok(()) => gone.into(),
                Err(error) => gone.caused_by(error).into(),
            });
        };
        match received.message {
            FromServer::Line(line) => listener.line(&line),
            FromServer::Item(item) => listener.item(item)?,
            FromServer::Reply(reply) => return Ok(Some(Answer::Reply(reply))),
            FromServer::Exit(code) => return Ok(Some(Answer::Exit(code))),
            FromServer::Failure(failure) => return Err(failure.into()),
        }
        Ok(None)
    }

    /// Listens to the end. The first Ctrl-C cancels what changes something and waits
    /// for the outcome; the second, or the first on what only reads, ends us.
    pub fn listen(&mut self, effect: Effect, listener: &mut dyn Listener) -> Result<Answer> {
        let interrupts =
            Interrupts::take(&[Signal::SIGINT, Signal::SIGTERM]).map_err(|error| Failure::internal("signals cannot be watched", &error))?;
        let mut cancelled = effect == Effect::Reads;
        loop {
            let mut polled = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&interrupts, PollFlags::IN)];
            frames::poll(&mut polled, None).map_err(|error| Failure::internal("waiting failed", &error))?;
            let answered = !polled[0].revents().is_empty();
            if let Some(signal) = interrupts.next() {
                if cancelled {
                    return Err(End::signal(signal));
                }
                cancelled = true;
                listener.line("cancelling, waiting for the outcome (Ctrl-C again leaves at once)");
                // A server that is gone shows at the next read.
                let _ = self.socket.send(&FromClient::Cancel, &[]);
            }
            if answered && let Some(answer) = self.next(listener)? {
                return Ok(answer);
            }
        }
    }
}
