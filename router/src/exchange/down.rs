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
        // Taken out while its bytes are handled in the buffer that they were read into.
        let Some(mut app) = self.app.take() else { return Ok(false) };
        let read = poll_read_with(&mut app, cx, |bytes, cx| match bytes {
            [] => self.on_app_end(None),
            bytes => {
                self.on_received();
                self.on_app_bytes(bytes, cx).map(|()| true)
            }
        });
        self.app = Some(app);
        match read {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(result)) => result,
            Poll::Ready(Err(error)) => self.on_app_end(Some(&error)),
        }
    }

    fn on_received(&mut self) {
        self.received = true;
        self.unanswered = None;
        self.activity = Instant::now();
        self.instance.stamp();
    }

    fn on_app_bytes(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Result<(), End> {
        match &mut self.phase {
            Phase::Head { .. } => self.take_heads(bytes, cx),
            Phase::Body { decoder, framing: Framing::Chunked } => {
                let (used, given) = decode_into(decoder, Framing::Chunked, bytes, self.to_client.end()).map_err(|_| End::Broken)?;
                self.told.bytes += given;
                self.excess |= used < bytes.len();
                self.finish_body();
                Ok(())
            }
            Phase::Body { decoder, .. } => {
                let mut plain = Vec::new();
                let (used, data) = plain_body(decoder, bytes, &mut plain)?;
                self.told.bytes += data.len() as u64;
                self.excess |= used < bytes.len();
                self.to_client.write_through(data, &mut self.client.io, cx).map_err(|_| End::ClientGone)?;
                self.finish_body();
                Ok(())
            }
            Phase::Finished => {
                self.excess = true;
                Ok(())
            }
            Phase::Switched => {
                self.to_client.end().extend_from_slice(bytes);
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
    fn take_heads(&mut self, mut bytes: &[u8], cx: &mut Context<'_>) -> Result<(), End> {
        while let Phase::Head { bytes: before, scanner } = &mut self.phase {
            let known = before.len();
            // Most heads come in one piece: only what belongs to them is copied.
            let end = if known == 0 {
                scanner.find_end(bytes)
            } else {
                before.extend_from_slice(bytes);
                scanner.find_end(before)
            };
            let Some(length) = end.map_err(End::Malformed)? else {
                if known == 0 {
                    before.extend_from_slice(bytes);
                }
                return Ok(());
            };
            let head = if known == 0 { bytes[..length].to_vec() } else { before[..length].to_vec() };
            bytes = &bytes[length - known..];
            self.take_head(head)?;
        }
        if bytes.is_empty() {
            self.finish_body();
            return Ok(());
        }
        self.on_app_bytes(bytes, cx)
    }

    fn take_head(&mut self, head: Vec<u8>) -> Result<(), End> {
        let response = Response::parse(head, self.request.is_head()).map_err(End::Malformed)?;
        if response.status == 101 {
            if !self.request.wants_upgrade() {
                return Err(End::Malformed(HttpError::Malformed("the app changes a protocol that nobody asked it to change")));
            }
            response.write_switch(self.to_client.end());
            self.told.status = Some(101);
            self.phase = Phase::Switched;
        } else if response.status < 200 {
            if self.request.minor == 1 {
                response.write_for_client(self.client_view(true), self.to_client.end());
            }
            self.phase = Phase::Head { bytes: Vec::new(), scanner: Scanner::default() };
        } else {
            self.begin_answer(&response);
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
