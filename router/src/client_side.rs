//! A client's connection: what was read ahead, and the few things done with it outside
//! of an exchange.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::http::HttpError;
use crate::http::head::Scanner;
use crate::limits;
use crate::pending::poll_read_with;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct ClientSide<C> {
    pub(crate) io: C,
    /// Read and not yet used.
    pub(crate) ahead: Vec<u8>,
}

/// Why there is no head.
#[derive(Debug)]
pub(crate) enum NoHead {
    /// The connection ended, or nothing came: nobody waits for an answer.
    Over,
    /// It came too slowly.
    TooSlow,
    /// It is refused.
    Refused(HttpError),
}

impl<C: AsyncRead + AsyncWrite + Unpin> ClientSide<C> {
    pub(crate) fn new(io: C) -> Self {
        Self { io, ahead: Vec::new() }
    }

    /// Reads once more; 0 at the end.
    async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| {
            poll_read_with(&mut self.io, cx, |bytes, _| {
                self.ahead.extend_from_slice(bytes);
                bytes.len()
            })
        })
        .await
    }

    /// Waits for the first byte of a request.
    pub(crate) async fn begin(&mut self, idle: Duration) -> Result<(), NoHead> {
        loop {
            // An empty line between requests is tolerated (RFC 9112 2.2).
            while self.ahead.starts_with(b"\r\n") {
                self.ahead.drain(..2);
            }
            if !self.ahead.is_empty() && self.ahead != b"\r" {
                return Ok(());
            }
            match timeout(idle, self.fill()).await {
                Ok(Ok(read)) if read > 0 => {}
                _ => return Err(NoHead::Over),
            }
        }
    }

    /// Takes a whole head.
    pub(crate) async fn head(&mut self, within: Duration) -> Result<Vec<u8>, NoHead> {
        let deadline = Instant::now() + within;
        let mut scanner = Scanner::default();
        loop {
            if let Some(length) = scanner.find_end(&self.ahead).map_err(NoHead::Refused)? {
                let rest = self.ahead.split_off(length);
                return Ok(std::mem::replace(&mut self.ahead, rest));
            }
            match timeout_at(deadline, self.fill()).await {
                Err(_) => return Err(NoHead::TooSlow),
                Ok(Ok(read)) if read > 0 => {}
                Ok(_) => return Err(NoHead::Over),
            }
        }
    }

    /// Returns once the client has closed its side. What it sends meanwhile is kept,
    /// up to a limit; beyond that nobody looks any more.
    pub(crate) async fn gone(&mut self) {
        while self.ahead.len() < limits::PIPELINED_BYTES_MAX {
            match self.fill().await {
                Ok(read) if read > 0 => {}
                _ => return,
            }
        }
        std::future::pending::<()>().await;
    }

    /// Writes everything, within the time that a byte may take.
    pub(crate) async fn send(&mut self, bytes: &[u8], within: Duration) -> io::Result<()> {
        timeout(within, self.io.write_all(bytes)).await?
    }

    /// Ends a connection whose request was not read to its end: an immediate close
    /// would reset it and take the answer away from the client.
    pub(crate) async fn linger(mut self) {
        let until = Instant::now() + Duration::from_millis(limits::LINGER_MS);
        if self.io.shutdown().await.is_err() {
            return;
        }
        let mut read = 0;
        while read < limits::LINGER_BYTES_MAX {
            self.ahead.clear();
            match timeout_at(until, self.fill()).await {
                Ok(Ok(bytes)) if bytes > 0 => read += bytes as u64,
                _ => return,
            }
        }
    }
}
