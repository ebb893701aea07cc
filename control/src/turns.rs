//! One change of an app's releases at a time: whose turn it is, and how to cancel what
//! is under way.

use std::future::Future;
use std::sync::{Arc, PoisonError};

use api::{Failure, Kind};
use model::AppNumber;
use tokio::sync::{OwnedMutexGuard, watch};

use crate::app::AppHandle;
use crate::control::Control;
use crate::seams::{Cancel, Lines, cancelled};
use crate::work::Work;

/// The right to change the releases of an app. Whoever holds a clone keeps others
/// waiting: a push holds one until git has moved its ref.
pub type Turn = Arc<Held>;

/// What a turn consists of.
#[derive(Debug)]
pub struct Held {
    _app: OwnedMutexGuard<()>,
    _work: Work,
}

/// Something that can be cancelled from outside: a build, a switch.
#[derive(Debug, Clone)]
pub(crate) struct Cancellable {
    /// Raised by whoever wants it to end.
    pub(crate) raise: watch::Sender<bool>,
    /// The build that this is, once it has a number.
    pub(crate) build: Option<u32>,
}

/// Work under way for an app, until it is dropped.
#[derive(Debug)]
pub(crate) struct Underway {
    control: Arc<Control>,
    number: AppNumber,
    raise: watch::Sender<bool>,
    /// Others may wait for their turn only after this entry is gone.
    _turn: Turn,
}

impl Underway {
    /// For those who must stop when it is cancelled.
    pub(crate) fn cancel(&self) -> Cancel {
        self.raise.subscribe()
    }

    /// Cancels it.
    pub(crate) fn raise(&self) {
        self.raise.send_replace(true);
    }

    /// Whether somebody cancelled it.
    pub(crate) fn is_raised(&self) -> bool {
        *self.raise.borrow()
    }

    /// A way to cancel it that outlives this value.
    pub(crate) fn raiser(&self) -> watch::Sender<bool> {
        self.raise.clone()
    }

    /// From now on it is this build.
    pub(crate) fn is_build(&self, build: u32) {
        let mut all = self.control.underway.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = all.get_mut(&self.number) {
            entry.build = Some(build);
        }
    }

    /// Does `work` to its end; passes on that its caller cancelled.
    pub(crate) async fn while_wanted<T>(&self, mut caller: Cancel, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        tokio::select! {
            result = &mut work => result,
            () = cancelled(&mut caller) => {
                self.raise();
                work.await
            }
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.control.underway.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// Cancels when it is dropped: the caller went away without waiting for the end.
pub(crate) struct RaiseOnDrop(pub(crate) watch::Sender<bool>);

impl Drop for RaiseOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Control {
    /// Waits for the turn to change an app's releases; a caller who cancels leaves the queue.
    pub async fn turn(&self, app: &AppHandle, lines: &Lines, cancel: &Cancel) -> Result<Turn, Failure> {
        let held = if let Ok(turn) = app.deploying.clone().try_lock_owned() {
            turn
        } else {
            lines.step("Waiting for another push or change of this app to end");
            let mut cancel = cancel.clone();
            tokio::select! {
                turn = app.deploying.clone().lock_owned() => turn,
                () = cancelled(&mut cancel) => return Err(left_queue()),
            }
        };
        let work = self.work()?;
        // Destroyed or renamed by whoever had the turn before.
        app.check_open()?;
        Ok(Arc::new(Held { _app: held, _work: work }))
    }

    /// Makes what its caller does next something that others can cancel.
    pub(crate) fn begin_work(self: &Arc<Self>, number: AppNumber, turn: Turn) -> Underway {
        let raise = watch::Sender::new(false);
        let entry = Cancellable { raise: raise.clone(), build: None };
        self.underway.lock().unwrap_or_else(PoisonError::into_inner).insert(number, entry);
        Underway { control: self.clone(), number, raise, _turn: turn }
    }

    /// What is under way for an app.
    pub(crate) fn underway_of(&self, number: AppNumber) -> Option<Cancellable> {
        self.underway.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }
}

/// Cancelled before it was its turn, whatever it was.
fn left_queue() -> Failure {
    Failure::new(Kind::Failed, "request.cancelled", "cancelled, nothing has changed").fix("ask for it again when you want it")
}

/// A deploy cancelled before anything had changed.
pub(crate) fn gave_up() -> Failure {
    Failure::new(Kind::Failed, "build.cancelled", "cancelled, nothing was deployed").fix("push again, or `paas deploy`")
}

/// The result of a task; a panic in it is a bug, told as one.
pub(crate) fn joined<T>(result: Result<Result<T, Failure>, tokio::task::JoinError>) -> Result<T, Failure> {
    result.unwrap_or_else(|error| Err(Failure::internal("the request broke off in the middle", &error)))
}
