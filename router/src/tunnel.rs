//! After the app's own 101: bytes both ways until both sides have ended, nobody speaks
//! for the rolling window, or the run has left the table for too long.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use crate::client_side::ClientSide;
use crate::instance::Instance;
use crate::pending::{Pending, poll_read_with};
use crate::state::Shared;

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    pending: Pending,
    ended: bool,
    passed_on: bool,
    bytes: u64,
}

/// Why a tunnel is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TunnelEnd {
    /// Both sides ended it, or one broke it.
    Closed,
    /// Nobody spoke for the rolling window.
    Idle,
    /// Its run is out of the table, or this router is to end.
    Drained,
}

/// Carries bytes; gives how many went to the client, and why it ended.
pub(crate) async fn carry<C>(shared: &Shared, client: &mut ClientSide<C>, app: &mut TcpStream, instance: &Instance) -> (u64, TunnelEnd)
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let (mut up, mut down) = (Flow::default(), Flow::default());
    *up.pending.end() = std::mem::take(&mut client.ahead);
    let mut activity = Instant::now();
    let mut timer = pin!(sleep_until(activity + shared.timeouts.rolling_window));
    let mut drained = pin!(drained(shared, instance));
    let end = poll_fn(|cx| {
        if drained.as_mut().poll(cx).is_ready() {
            return Poll::Ready(TunnelEnd::Drained);
        }
        loop {
            let moved_up = poll_flow(&mut up, &mut client.io, app, cx, || ());
            let moved_down = poll_flow(&mut down, app, &mut client.io, cx, || instance.stamp());
            let (Ok(moved_up), Ok(moved_down)) = (moved_up, moved_down) else { return Poll::Ready(TunnelEnd::Closed) };
            if up.passed_on && down.passed_on {
                return Poll::Ready(TunnelEnd::Closed);
            }
            if moved_up || moved_down {
                activity = Instant::now();
                continue;
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let deadline = activity + shared.timeouts.rolling_window;
            if deadline <= Instant::now() {
                return Poll::Ready(TunnelEnd::Idle);
            }
            timer.as_mut().reset(deadline);
        }
    })
    .await;
    (down.bytes, end)
}

/// Ends some time after the run left the table or the router began to drain.
async fn drained(shared: &Shared, instance: &Instance) {
    let mut draining = shared.draining.clone();
    let mut retired = instance.retirement();
    loop {
        tokio::select! {
            _ = retired.wait_for(|retired| *retired) => {}
            _ = draining.wait_for(|draining| *draining) => {}
        }
        sleep(shared.timeouts.drain).await;
        if *retired.borrow() || *draining.borrow() {
            return;
        }
    }
}

/// Moves one direction on; true if something moved.
fn poll_flow<R, W>(flow: &mut Flow, from: &mut R, to: &mut W, cx: &mut Context<'_>, seen: impl FnOnce()) -> io::Result<bool>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    if !flow.pending.is_empty() {
        return match flow.pending.poll_write(to, cx)? {
            Poll::Pending => Ok(false),
            Poll::Ready(_) => Ok(true),
        };
    }
    if flow.ended {
        if !flow.passed_on && Pin::new(to).poll_shutdown(cx)?.is_ready() {
            flow.passed_on = true;
            return Ok(true);
        }
        return Ok(false);
    }
    let pending = &mut flow.pending;
    match poll_read_with(from, cx, |bytes, cx| pending.write_through(bytes, to, cx).map(|()| bytes.len()))? {
        Poll::Pending => Ok(false),
        Poll::Ready(read) => {
            let read = read?;
            flow.ended = read == 0;
            flow.bytes += read as u64;
            if read > 0 {
                seen();
            }
            Ok(true)
        }
    }
}
