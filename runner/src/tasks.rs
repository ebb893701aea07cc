//! The runner's tasks: owned, and never lost without a word.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;

/// A set of tasks; all end with its last clone.
#[derive(Clone)]
pub(crate) struct Tasks {
    set: Arc<Mutex<JoinSet<()>>>,
    panicked: watch::Sender<bool>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self { set: Arc::default(), panicked: watch::Sender::new(false) }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let alarm = Alarm(self.panicked.clone());
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        while set.try_join_next().is_some() {}
        set.spawn(async move {
            let _alarm = alarm;
            task.await;
        });
    }

    /// Resolves once a task has panicked.
    pub(crate) async fn panicked(&self) {
        // The sender lives as long as `self`.
        let _ = self.panicked.subscribe().wait_for(|panicked| *panicked).await;
    }
}

struct Alarm(watch::Sender<bool>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.send_replace(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_noticed() {
        let tasks = Tasks::new();
        tasks.spawn(async {});
        tasks.spawn(async { panic!("on purpose") });
        tokio::time::timeout(std::time::Duration::from_secs(5), tasks.panicked()).await.expect("noticed");
    }
}
