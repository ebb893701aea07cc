//! App to client.

use std::io;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{End, Exchange, Phase, Told, decode_into};
use crate::http::body::{Decoder, encode_end};
use crate::http::head::Scanner;
use crate::http::response::{self, Response};
use crate::http::{Framing, HttpError};
use crate::pending::poll_read_with;

impl<C: AsyncRead + AsyncWrite + Unpin> Exchange<'_, C> {
    /// Moves the answer on; true if something moved.
    pub(super) fn step_down(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
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
