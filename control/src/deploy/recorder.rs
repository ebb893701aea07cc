//! Lines of a deploy on their way to its author and, whole, into the build's log.

use model::AppNumber;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::limits::{LINES_FLUSH_MAX, PUSH_LINES_QUEUED_MAX, QUIET_MAX};
use crate::seams::Lines;
use crate::store::Store;

/// What goes on while nothing is told; none while the build speaks for itself.
pub(super) type Stage = watch::Sender<Option<String>>;

/// Records one build.
pub(super) struct Recorder {
    lines: Lines,
    stage: Stage,
    task: JoinHandle<()>,
    store: Store,
    number: AppNumber,
    build: u32,
}

impl Recorder {
    pub(super) fn start(store: Store, number: AppNumber, build: u32, client: Lines) -> Self {
        let (sender, receiver) = mpsc::channel::<String>(PUSH_LINES_QUEUED_MAX);
        let (stage, stages) = watch::channel(None);
        let task = tokio::spawn(record(store.clone(), number, build, client, receiver, stages));
        Self { lines: Lines(sender), stage, task, store, number, build }
    }

    pub(super) fn lines(&self) -> Lines {
        self.lines.clone()
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage.clone()
    }

    /// Waits until every line is stored, then adds the last ones, which the client hears
    /// as the failure itself.
    pub(super) async fn end(self, last: Vec<String>) {
        let Self { lines, mut task, store, number, build, .. } = self;
        drop(lines);
        // A process that does not die may hold its line open for ever.
        if tokio::time::timeout(LINES_FLUSH_MAX, &mut task).await.is_err() {
            task.abort();
            tracing::warn!(build, "something still holds the output of a build that has ended");
        }
        if !last.is_empty()
            && let Err(error) = store.append_build_lines(number, build, last).await
        {
            tracing::error!(%error, build, "the failure of a build is not in its log");
        }
    }
}

async fn record(
    store: Store,
    number: AppNumber,
    build: u32,
    client: Lines,
    mut lines: mpsc::Receiver<String>,
    stages: watch::Receiver<Option<String>>,
) {
    let mut batch = Vec::new();
    let mut quiet_s = 0;
    loop {
        let stage = stages.borrow().clone();
        let count = tokio::select! {
            count = lines.recv_many(&mut batch, PUSH_LINES_QUEUED_MAX) => count,
            () = tokio::time::sleep(QUIET_MAX), if stage.is_some() => {
                quiet_s += QUIET_MAX.as_secs();
                client.detail(format!("still {} ({quiet_s} s)", stage.unwrap_or_default()));
                continue;
            }
        };
        if count == 0 {
            return;
        }
        quiet_s = 0;
        for line in &batch {
            client.raw(line.clone());
        }
        if let Err(error) = store.append_build_lines(number, build, std::mem::take(&mut batch)).await {
            tracing::error!(%error, build, "lines of a build log are not stored");
        }
    }
}
