//! What `stop --all` ends and waits for: whoever starts something holds a piece of work
//! until that is over, or until the engine knows of it and stops it.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use api::{Failure, Kind};
use tokio::sync::OwnedRwLockReadGuard;
use tokio::time::{Instant, timeout};

use crate::control::Control;
use crate::limits::{CANCEL_AGAIN, SESSIONS_END_MAX};

/// Something is being started, or may be.
pub(crate) type Work = OwnedRwLockReadGuard<()>;

impl Control {
    /// Before anything is started; refused once everything is being stopped.
    pub(crate) fn work(&self) -> Result<Work, Failure> {
        // The lock is taken before the look: who is not refused is waited for.
        match self.working.clone().try_read_owned() {
            Ok(work) if !self.stopping.load(Ordering::SeqCst) => Ok(work),
            _ => {
                Err(Failure::new(Kind::Unavailable, "server.stopping", "the server is stopping everything")
                    .fix("start it again: paas server"))
            }
        }
    }

    /// From now on nothing starts; returns when nothing is under way that still could.
    pub(crate) async fn end_work(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let deadline = Instant::now() + SESSIONS_END_MAX;
        let ended = self.working.write();
        tokio::pin!(ended);
        while Instant::now() < deadline {
            self.sessions.end_all();
            for underway in self.underway.lock().unwrap_or_else(PoisonError::into_inner).values() {
                underway.raise.send_replace(true);
            }
            // What was about to begin has begun now.
            if timeout(CANCEL_AGAIN, &mut ended).await.is_ok() {
                return;
            }
        }
        tracing::error!("everything is stopped while something is still under way");
    }
}
