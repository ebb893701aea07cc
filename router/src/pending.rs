//! Bytes on their way: the shared read buffer of each thread, and what a socket did
//! not take yet. Idle connections own no buffer at all.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits;

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; limits::READ_BYTES].into_boxed_slice());
}

/// Reads once and hands the bytes (none at the end of the stream) to `take`, which
/// must not read itself.
pub(crate) fn poll_read_with<R, T>(io: &mut R, cx: &mut Context<'_>, take: impl FnOnce(&[u8], &mut Context<'_>) -> T) -> Poll<io::Result<T>>
where
    R: AsyncRead + Unpin,
{
    READ_BUFFER.with_borrow_mut(|bytes| {
        let mut buffer = ReadBuf::new(bytes);
        ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(take(buffer.filled(), cx)))
    })
}

/// What a socket did not take yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    bytes: Vec<u8>,
    start: usize,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// Where more is added.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.bytes = Vec::new();
        self.start = 0;
    }

    /// Writes once; gives how many bytes left.
    pub(crate) fn poll_write<W: AsyncWrite + Unpin>(&mut self, io: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(io).poll_write(cx, &self.bytes[self.start..]))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.start += written;
        if self.is_empty() {
            self.start = 0;
            self.bytes.clear();
            if self.bytes.capacity() > limits::BUFFER_KEPT_BYTES {
                self.bytes = Vec::new();
            }
        }
        Poll::Ready(Ok(written))
    }

    /// Writes what waits and then `data`, as far as the socket takes it at once, and
    /// keeps the rest.
    pub(crate) fn write_through<W: AsyncWrite + Unpin>(&mut self, data: &[u8], io: &mut W, cx: &mut Context<'_>) -> io::Result<()> {
        let waiting = &self.bytes[self.start..];
        let written = match Pin::new(io).poll_write_vectored(cx, &[IoSlice::new(waiting), IoSlice::new(data)]) {
            Poll::Ready(result) => result?,
            Poll::Pending => 0,
        };
        let of_data = written.saturating_sub(waiting.len());
        self.start += written - of_data;
        if self.is_empty() {
            self.start = 0;
            self.bytes.clear();
        }
        self.bytes.extend_from_slice(&data[of_data..]);
        Ok(())
    }
}
