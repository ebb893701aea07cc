//! One request over one connection of an app: both directions at once, a buffer's worth
//! at a time, so that memory stays flat whatever the sizes are.
//!
//! ```text
//! client ──ahead, socket──▶ decode ─▶ encode ──to_app──▶ app
//! client ◀──to_client── encode ◀─ decode ◀── head, body ── app
//! ```

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::client_side::ClientSide;
use crate::http::body::{Decoder, encode, encode_end};
use crate::http::head::Scanner;
use crate::http::request::Request;
use crate::http::response::{self, Response};
use crate::http::{Framing, HttpError};
use crate::instance::{Instance, Unanswered};
use crate::limits;
use crate::pending::{Pending, poll_read_with};
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
    pub(crate) app: TcpStream,
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
            client, app, request, instance, timeouts, keep_alive,
            unanswered: None, to_app, upload: Decoder::new(request.framing),
            upload_state: Upload::Going, to_client: Pending::default(), phase, activity: Instant::now(), received: false,
            excess: false, told: Told::default(),
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
        let mut timer = pin!(sleep_until(self.deadline()));
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(end) = self.poll_step(cx) {
                    return Poll::Ready(end);
                }
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                // Bytes do not move the timer, they only move what it is compared with.
                let deadline = self.deadline();
                if deadline <= Instant::now() {
                    return Poll::Ready(self.timed_out());
                }
                timer.as_mut().reset(deadline);
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

    /// Moves the request on; true if something moved.
    fn step_up(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if !self.to_app.is_empty() {
            return match self.to_app.poll_write(&mut self.app, cx) {
                Poll::Pending => Ok(false),
                Poll::Ready(Ok(_)) => {
                    self.activity = Instant::now();
                    Ok(true)
                }
                // It may have answered before it closed: reading will tell.
                Poll::Ready(Err(_)) => {
                    self.to_app.clear();
                    self.upload_state = Upload::Failed;
                    Ok(true)
                }
            };
        }
        if self.upload_state == Upload::Failed {
            return Ok(false);
        }
        let going = self.upload_state == Upload::Going;
        if going && !self.client.ahead.is_empty() {
            let ahead = std::mem::take(&mut self.client.ahead);
            self.take_body(&ahead)?;
            return Ok(true);
        }
        if !going && self.client.ahead.len() >= limits::PIPELINED_BYTES_MAX {
            return Ok(false);
        }
        self.read_client(cx)
    }

    /// Reads body, or what the client sends ahead, or that it is gone.
    fn read_client(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let (upload, to_app, framing) = (&mut self.upload, &mut self.to_app, self.request.framing);
        let ahead = &mut self.client.ahead;
        let read = poll_read_with(&mut self.client.io, cx, |bytes, _| {
            let (used, _) = decode_into(upload, framing, bytes, to_app.end())?;
            ahead.extend_from_slice(&bytes[used..]);
            Ok(bytes.len())
        });
        match read {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(_) | Ok(Ok(0))) => Err(End::ClientGone),
            Poll::Ready(Ok(Err(error))) => Err(End::ClientMalformed(error)),
            Poll::Ready(Ok(Ok(_))) => {
                if self.upload_state == Upload::Going {
                    self.activity = Instant::now();
                    self.end_upload();
                }
                Ok(true)
            }
        }
    }

    /// The moment that the body's last byte is read, so that an app that answers at
    /// once does not cost the client its connection.
    fn end_upload(&mut self) {
        if self.upload.is_done() && self.upload_state == Upload::Going {
            encode_end(self.request.framing, &self.upload.trailers(), self.to_app.end());
            self.upload_state = Upload::Read;
        }
    }

    fn take_body(&mut self, bytes: &[u8]) -> Result<(), End> {
        let (used, _) = decode_into(&mut self.upload, self.request.framing, bytes, self.to_app.end()).map_err(End::ClientMalformed)?;
        self.client.ahead.extend_from_slice(&bytes[used..]);
        self.end_upload();
        Ok(())
    }

    /// Moves the answer on; true if something moved.
    fn step_down(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if !self.to_client.is_empty() {
            return match self.to_client.poll_write(&mut self.client.io, cx) {
                Poll::Pending => Ok(false),
                Poll::Ready(Ok(_)) => {
                    self.activity = Instant::now();
                    Ok(true)
                }
                Poll::Ready(Err(_)) => Err(End::ClientGone),
            };
        }
        if matches!(self.phase, Phase::Finished | Phase::Switched) {
            return Ok(false);
        }
        self.read_app(cx)
    }

    fn read_app(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        // Taken apart, since the bytes are handled while the socket is lent out.
        if let Phase::Body { decoder, framing } = &mut self.phase
            && *framing != Framing::Chunked
        {
            let (client, to_client, told) = (&mut self.client.io, &mut self.to_client, &mut self.told);
            let mut plain = Vec::new();
            let read = poll_read_with(&mut self.app, cx, |bytes, cx| -> Result<_, End> {
                let (used, data) = plain_body(decoder, bytes, &mut plain)?;
                told.bytes += data.len() as u64;
                to_client.write_through(data, client, cx).map_err(|_| End::ClientGone)?;
                Ok((bytes.len(), used < bytes.len()))
            });
            let done = decoder.is_done();
            let (read, excess) = match read {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(error)) => return self.on_app_end(Some(&error)),
                Poll::Ready(Ok(result)) => result?,
            };
            if read == 0 {
                return self.on_app_end(None);
            }
            self.on_received();
            self.excess |= excess;
            if done {
                self.phase = Phase::Finished;
            }
            return Ok(true);
        }
        let mut copy = Vec::new();
        match poll_read_with(&mut self.app, cx, |bytes, _| copy.extend_from_slice(bytes)) {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(error)) => self.on_app_end(Some(&error)),
            Poll::Ready(Ok(())) if copy.is_empty() => self.on_app_end(None),
            Poll::Ready(Ok(())) => {
                self.on_received();
                self.on_app_bytes(&copy).map(|()| true)
            }
        }
    }

    fn on_received(&mut self) {
        self.received = true;
        self.unanswered = None;
        self.activity = Instant::now();
        self.instance.stamp();
    }

    fn on_app_bytes(&mut self, bytes: &[u8]) -> Result<(), End> {
        match &mut self.phase {
            Phase::Head { bytes: head, .. } => {
                head.extend_from_slice(bytes);
                self.take_heads()
            }
            Phase::Body { decoder, framing } => {
                let framing = *framing;
                let (used, given) = decode_into(decoder, framing, bytes, self.to_client.end()).map_err(|_| End::Broken)?;
                self.told.bytes += given;
                self.excess |= used < bytes.len();
                self.finish_body();
                Ok(())
            }
            Phase::Finished | Phase::Switched => {
                self.excess = true;
                Ok(())
            }
        }
    }

    fn finish_body(&mut self) {
        if let Phase::Body { decoder, framing } = &self.phase
            && decoder.is_done()
        {
            let trailers = if self.request.wants_trailers { decoder.trailers() } else { Vec::new() };
            encode_end(*framing, &trailers, self.to_client.end());
            self.phase = Phase::Finished;
        }
    }

    /// Takes every whole head that is there: any number of 1xx, then the answer.
    fn take_heads(&mut self) -> Result<(), End> {
        while let Phase::Head { bytes, scanner } = &mut self.phase {
            let Some(length) = scanner.find_end(bytes).map_err(End::Malformed)? else { return Ok(()) };
            let rest = bytes.split_off(length);
            let response = Response::parse(std::mem::take(bytes), self.request.is_head()).map_err(End::Malformed)?;
            if response.status == 101 {
                if !self.request.wants_upgrade() {
                    return Err(End::Malformed(HttpError::Malformed("the app changes a protocol that nobody asked it to change")));
                }
                response.write_switch(self.to_client.end());
                self.to_client.end().extend_from_slice(&rest);
                self.told.status = Some(101);
                self.phase = Phase::Switched;
                return Ok(());
            }
            if response.status < 200 {
                if self.request.minor == 1 {
                    response.write_for_client(self.client_view(true), self.to_client.end());
                }
                self.phase = Phase::Head { bytes: rest, scanner: Scanner::default() };
                continue;
            }
            self.begin_answer(&response);
            return if rest.is_empty() {
                self.finish_body();
                Ok(())
            } else {
                self.on_app_bytes(&rest)
            };
        }
        Ok(())
    }

    fn begin_answer(&mut self, response: &Response) {
        let framing = response.framing_for(self.client_view(true));
        let ends_with_close = framing == Framing::UntilClose;
        // Whoever has not sent its body by now may never send it.
        let keep = self.keep_alive && self.upload_is_done() && !ends_with_close;
        response.write_for_client(self.client_view(keep), self.to_client.end());
        self.told = Told { status: Some(response.status), bytes: 0, keep_client: keep, ends_with_close, keep_app: response.reusable };
        self.phase = Phase::Body { decoder: Decoder::new(response.framing), framing };
    }

    fn client_view(&self, keep_alive: bool) -> response::ClientSide {
        response::ClientSide { minor: self.request.minor, keep_alive, is_head: self.request.is_head() }
    }

    fn on_app_end(&mut self, error: Option<&io::Error>) -> Result<bool, End> {
        self.told.keep_app = false;
        match &self.phase {
            Phase::Head { .. } if !self.received && self.unanswered.is_none() && self.request.is_repeatable() => Err(End::Stale),
            Phase::Head { .. } => Err(End::NoAnswer),
            Phase::Body { decoder, framing } if error.is_none() && decoder.may_end_here() => {
                encode_end(*framing, &[], self.to_client.end());
                self.phase = Phase::Finished;
                Ok(true)
            }
            _ => Err(End::Broken),
        }
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

/// The body bytes of an answer that goes on without chunks: as they are, or collected
/// in `plain` where the app sent chunks (a client of HTTP/1.0).
fn plain_body<'a>(decoder: &mut Decoder, bytes: &'a [u8], plain: &'a mut Vec<u8>) -> Result<(usize, &'a [u8]), End> {
    let first = decoder.next(bytes).map_err(|_| End::Broken)?;
    if first.used == bytes.len() || decoder.is_done() {
        return Ok((first.used, first.data));
    }
    plain.extend_from_slice(first.data);
    let (more, _) = decode_into(decoder, Framing::UntilClose, &bytes[first.used..], plain).map_err(|_| End::Broken)?;
    Ok((first.used + more, plain))
}
