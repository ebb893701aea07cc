//! A thread that owns a connection and does one request after the other, so that no
//! `fsync` blocks the async runtime.

use std::panic::{self, AssertUnwindSafe};
use std::{io, thread};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{StoreError, limits};

type Request = Box<dyn FnOnce(&mut Connection) + Send>;

/// The thread and the way to it.
pub(super) struct Lane {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Lane {
    /// Starts the thread.
    pub(super) fn start(name: &str, mut connection: Connection) -> io::Result<Self> {
        let (requests, mut waiting) = mpsc::channel::<Request>(limits::WAITING_REQUESTS_MAX);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Some(request) = waiting.blocking_recv() {
                // A panic rolls its transaction back and ends that request alone: its
                // caller notices that nobody will answer.
                drop(panic::catch_unwind(AssertUnwindSafe(|| {
                    request(&mut connection);
                })));
            }
        })?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Has the thread do `work`. A caller that gives up waiting does not stop it.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let request: Request = Box::new(move |connection| {
            // The caller may have given up; what was done stays done.
            drop(answer.send(work(connection)));
        });
        let requests = self.requests.as_ref().ok_or(StoreError::Closed)?;
        requests.send(request).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Panicked)?
    }
}

impl Drop for Lane {
    /// Waits for the requests that were taken: the file is closed when the store is gone.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked: requests are caught.
            drop(thread.join());
        }
    }
}
