//! One request over one connection of an app: both directions at once, a buffer's worth
//! at a time, so that memory stays flat whatever the sizes are.
//!
//! ```text
//! client ──ahead, socket──▶ decode ─▶ encode ──to_app──▶ app
//! client ◀──to_client── encode ◀─ decode ◀── head, body ── app
//! ```

mod down;
mod up;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::client_side::ClientSide;
use crate::http::body::{Decoder, encode};
use crate::http::head::Scanner;
use crate::http::request::Request;
use crate::http::{Framing, HttpError};
use crate::instance::{Instance, Unanswered};
use crate::pending::Pending;
use crate::state::Timeouts;

/// How an exchange ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The client has the whole answer.
    Complete,
    /// The client has the app's 101: bytes only from here on.
    Switched,
    /// A reused connection was closed before a byte of answer: it may be tried again.
    Stale,
    /// The client closed its connection.
    ClientGone,
    /// The client's body broke its framing.
    ClientMalformed(HttpError),
    /// The client stopped in the middle of its body.
    ClientIdle,
    /// The app gave no byte in time.
    NoFirstByte,
    /// The app closed the connection without an answer.
    NoAnswer,
    /// The app's answer is not HTTP.
    Malformed(HttpError),
    /// The app's answer broke off or broke its framing.
    Broken,
    /// No byte either way for too long.
    Idle,
}

/// What an exchange works with.
pub(crate) struct Exchange<'a, C> {
    pub(crate) client: &'a mut ClientSide<C>,
    /// Always there between two steps.
    pub(crate) app: Option<TcpStream>,
    pub(crate) request: &'a Request,
    pub(crate) instance: &'a Instance,
    timeouts: Timeouts,
    /// The client may keep its connection.
    keep_alive: bool,
    /// There while a new connection waits for its first byte.
    unanswered: Option<Unanswered>,
    to_app: Pending,
    upload: Decoder,
    upload_state: Upload,
    to_client: Pending,
    phase: Phase,
    activity: Instant,
    received: bool,
    /// Bytes came after the end of the answer.
    excess: bool,
    /// What has become of it.
    pub(crate) told: Told,
}

/// What the client has been told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The status, once the app gave one.
    pub(crate) status: Option<u16>,
    /// Body bytes.
    pub(crate) bytes: u64,
    /// The client's connection can carry another request.
    pub(crate) keep_client: bool,
    /// Only the end of the connection ends the answer.
    pub(crate) ends_with_close: bool,
    /// The app's connection can carry another request.
    pub(crate) keep_app: bool,
}

/// How far the request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    /// There is more to read.
    Going,
    /// All of it was read; the last of it may not be written yet.
    Read,
    /// The app takes no more of it.
    Failed,
}

enum Phase {
    Head { bytes: Vec<u8>, scanner: Scanner },
    Body { decoder: Decoder, framing: Framing },
    Finished,
    Switched,
}

impl<'a, C: AsyncRead + AsyncWrite + Unpin> Exchange<'a, C> {
    /// Prepares the exchange; `head` is the request as the app gets it.
    pub(crate) fn new(
        client: &'a mut ClientSide<C>,
        app: TcpStream,
        request: &'a Request,
        instance: &'a Instance,
        head: Vec<u8>,
        timeouts: Timeouts,
        keep_alive: bool,
    ) -> Self {
        let mut to_app = Pending::default();
        *to_app.end() = head;
        let phase = Phase::Head { bytes: Vec::new(), scanner: Scanner::default() };
        let mut exchange = Self {
            client,
            app: Some(app),
            request,
            instance,
            timeouts,
            keep_alive,
            unanswered: None,
            to_app,
            upload: Decoder::new(request.framing),
            upload_state: Upload::Going,
            to_client: Pending::default(),
            phase,
            activity: Instant::now(),
            received: false,
            excess: false,
            told: Told::default(),
        };
        // Of a request without a body nothing is left to read.
        exchange.end_upload();
        exchange
    }

    /// The connection is new: `unanswered` counts it until the app's first byte.
    pub(crate) fn on_new_connection(&mut self, unanswered: Unanswered) {
        self.unanswered = Some(unanswered);
    }

    /// Whether the app has sent anything.
    pub(crate) fn has_received(&self) -> bool {
        self.received
    }

    /// Whether it is the app that everyone waits for.
    pub(crate) fn app_is_silent(&self) -> bool {
        self.to_client.is_empty() && !self.waits_for_client()
    }

    /// Whether the whole request has gone to the app.
    pub(crate) fn upload_is_done(&self) -> bool {
        self.upload_state == Upload::Read && self.to_app.is_empty()
    }

    /// Runs it to its end.
    pub(crate) async fn run(&mut self) -> End {
        // Looked at no later than the shortest window after whatever moved last.
        let step = self.timeouts.first_byte.min(self.timeouts.rolling_window);
        let mut timer = pin!(sleep_until(self.activity + step));
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(end) = self.poll_step(cx) {
                    return Poll::Ready(end);
                }
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                // Bytes do not move the timer, they only move what it is compared with.
                let (deadline, now) = (self.deadline(), Instant::now());
                if deadline <= now {
                    return Poll::Ready(self.timed_out());
                }
                timer.as_mut().reset(deadline.min(now + step));
            }
        })
        .await
    }

    fn deadline(&self) -> Instant {
        let window = if self.received || self.waits_for_client() { self.timeouts.rolling_window } else { self.timeouts.first_byte };
        self.activity + window
    }

    fn waits_for_client(&self) -> bool {
        self.upload_state == Upload::Going && self.to_app.is_empty()
    }

    fn timed_out(&self) -> End {
        if self.received {
            End::Idle
        } else if self.waits_for_client() {
            End::ClientIdle
        } else {
            End::NoFirstByte
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let moved = match self.step_up(cx).and_then(|up| self.step_down(cx).map(|down| up || down)) {
                Ok(moved) => moved,
                Err(end) => return Poll::Ready(end),
            };
            if self.to_client.is_empty() {
                match self.phase {
                    Phase::Finished => return Poll::Ready(self.complete()),
                    Phase::Switched => return Poll::Ready(End::Switched),
                    _ => {}
                }
            }
            if !moved {
                return Poll::Pending;
            }
        }
    }

    fn complete(&mut self) -> End {
        let uploaded = self.upload_is_done();
        self.told.keep_client &= uploaded;
        self.told.keep_app &= uploaded && !self.excess;
        End::Complete
    }
}

/// Decodes what it can and encodes it again; gives how much of `bytes` is used up, and
/// how much of that was body.
fn decode_into(decoder: &mut Decoder, framing: Framing, bytes: &[u8], out: &mut Vec<u8>) -> Result<(usize, u64), HttpError> {
    let (mut used, mut given) = (0, 0);
    while used < bytes.len() && !decoder.is_done() {
        let piece = decoder.next(&bytes[used..])?;
        encode(framing, piece.data, out);
        used += piece.used;
        given += piece.data.len() as u64;
    }
    Ok((used, given))
}
