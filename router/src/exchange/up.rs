//! Client to app.

use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{End, Exchange, Upload, decode_into};
use crate::http::body::encode_end;
use crate::limits;
use crate::pending::poll_read_with;

impl<C: AsyncRead + AsyncWrite + Unpin> Exchange<'_, C> {
    /// Moves the request on; true if something moved.
    pub(super) fn step_up(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if !self.to_app.is_empty() {
            let Some(app) = &mut self.app else { return Ok(false) };
            return match self.to_app.poll_write(app, cx) {
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
    pub(super) fn end_upload(&mut self) {
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
}
