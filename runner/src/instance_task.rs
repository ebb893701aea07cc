//! The work that takes time, one future each: starting, waiting for the end, looking,
//! stopping. Each ends with what happened; the app's task decides what that means.

use std::sync::Arc;
use std::time::Duration;

use model::{AppNumber, Hostname, Leavings, PortHint, RunId};
use tokio::sync::OwnedSemaphorePermit;

use crate::checks::ProbeOutcome;
use crate::checks::tries::Tried;
use crate::flight_recorder::Recorder;
use crate::host::{Host, Live, Notified, StartFailure, StartOrder};
use crate::limits::{PROBE_TIMEOUT, SHIM_KILL_MARGIN, STUCK_AFTER};
use crate::reconcile::SlotKey;
use crate::runs::{Over, RunEnd};
use crate::silence::{Look, Seen};

/// Ends a process with a core dump, if it has not decided otherwise.
const SIGABRT: i32 = 6;

/// What happened, to which instance, in which run.
pub(crate) enum Done {
    Started(SlotKey, u64, Result<Live, StartFailure>),
    Gone(SlotKey, u64, RunEnd, Vec<String>),
    Probed(SlotKey, u64, ProbeOutcome),
    Looked(SlotKey, u64, Seen, Option<ProbeOutcome>),
    /// A try of one of the author's checks, by its place.
    Tried(SlotKey, u64, usize, Tried),
    /// Tries that a person asked for are over.
    ManualTries,
    /// What the run says of itself is another thing now.
    Notified(SlotKey, u64, Option<Notified>),
    /// Whether a watchdog that seemed overdue is.
    WatchdogSeen(SlotKey, u64, Option<Notified>),
    /// The port doctor found why nothing answers.
    Diagnosed(SlotKey, u64, PortHint),
    MayStart(SlotKey, OwnedSemaphorePermit),
    MayRestart(SlotKey, OwnedSemaphorePermit),
    /// A run that no instance claims is gone.
    StrayGone(u64),
    /// What a run left is removed, what lasts of it saved.
    Tidied(SlotKey, Leavings),
    Nothing,
}

impl Done {
    /// The instance that it happened to.
    pub(crate) fn key(&self) -> Option<&SlotKey> {
        match self {
            Self::Started(key, ..)
            | Self::Gone(key, ..)
            | Self::Probed(key, ..)
            | Self::Looked(key, ..)
            | Self::Tried(key, ..)
            | Self::Notified(key, ..)
            | Self::WatchdogSeen(key, ..)
            | Self::Diagnosed(key, ..)
            | Self::MayStart(key, ..)
            | Self::MayRestart(key, ..)
            | Self::Tidied(key, ..) => Some(key),
            Self::ManualTries | Self::StrayGone(_) | Self::Nothing => None,
        }
    }
}

/// One instance's run, as the futures need it.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) number: AppNumber,
    pub(crate) key: SlotKey,
    pub(crate) run: RunId,
}

impl Subject {
    pub(crate) async fn start(self, order: StartOrder) -> Done {
        let started = self.host.start(order).await;
        Done::Started(self.key, self.run.number, started)
    }

    pub(crate) async fn until_gone(self, live: Live) -> Done {
        let end = live.gone().await;
        let lines = self.host.last_lines(self.number, self.run.clone(), live.started_unix_ms()).await;
        self.explain(&lines).await;
        Done::Gone(self.key, self.run.number, end, lines)
    }

    pub(crate) async fn probe(self, port: u16, host_name: Hostname) -> Done {
        let outcome = self.probe_once(port, host_name, PROBE_TIMEOUT).await;
        Done::Probed(self.key, self.run.number, outcome)
    }

    /// Asks the router first, then the instance.
    pub(crate) async fn look(self, look: Look, port: u16, host_name: Hostname) -> Done {
        let number = self.run.number;
        if let Some(age) = self.host.last_byte(self.run.clone()).await
            && age < look.fresh_within
        {
            return Done::Looked(self.key, number, Seen::Traffic(age), None);
        }
        let Some(first_byte_within) = look.probe_timeout else {
            return Done::Looked(self.key, number, Seen::Nothing, None);
        };
        let outcome = self.probe_once(port, host_name, first_byte_within).await;
        let seen = match &outcome {
            ProbeOutcome::Status(_) | ProbeOutcome::OtherBytes => Seen::Answer,
            ProbeOutcome::Failed(_) => Seen::Nothing,
            ProbeOutcome::NotMade(_) => Seen::Void,
        };
        Done::Looked(self.key, number, seen, Some(outcome))
    }

    /// Waits until the run says something else of itself than the change that was seen.
    pub(crate) async fn notified(self, live: Live, seen: u64) -> Done {
        let number = self.run.number;
        let said = tokio::select! {
            said = self.host.notified(self.number, self.run, seen) => said,
            _ = live.gone() => None,
        };
        Done::Notified(self.key, number, said)
    }

    /// Asks for the age of the watchdog's last ping.
    pub(crate) async fn watchdog(self) -> Done {
        let number = self.run.number;
        let said = self.host.notified(self.number, self.run, 0).await;
        Done::WatchdogSeen(self.key, number, said)
    }

    pub(crate) async fn tidy(self, over: Option<Over>) -> Done {
        let leavings = self.host.tidy(self.number, self.run.folder(), over).await;
        Done::Tidied(self.key, leavings)
    }
}

/// Tells a run to stop. If its shim does not listen, the end of the grace kills it.
pub(crate) async fn stop(live: Live, run: RunId, grace: Duration) -> Done {
    if let Err(error) = live.stop(grace).await {
        tracing::warn!(%error, run = %run.folder(), "a run could not be told to stop");
    }
    Done::Nothing
}

/// Has it leave a trace of where it hangs, then tells it to stop.
pub(crate) async fn abort(live: Live, run: RunId, grace: Duration) -> Done {
    if let Err(error) = live.signal(SIGABRT).await {
        tracing::warn!(%error, run = %run.folder(), "a run could not be sent SIGABRT");
    }
    stop(live, run, grace).await
}

/// Stops a run, and kills it after the grace; false if it does not end all the same.
pub(crate) async fn end(live: &Live, grace: Duration) -> bool {
    let in_time = async |time| tokio::time::timeout(time, live.gone()).await.is_ok();
    if live.stop(grace).await.is_ok() && in_time(grace + SHIM_KILL_MARGIN).await {
        return true;
    }
    // Its shim does not listen.
    if let Err(error) = live.kill().await {
        tracing::warn!(%error, "a run could not be killed");
    }
    in_time(STUCK_AFTER).await
}

/// Kills a run.
pub(crate) async fn kill(live: Live, run: RunId) -> Done {
    if let Err(error) = live.kill().await {
        tracing::warn!(%error, run = %run.folder(), "a run could not be killed");
    }
    Done::Nothing
}
