//! What people have open with an app for as long as they like: pushes, fetches, `run`,
//! `logs --tail`. It ends with their access, with
//! the app and with `stop --all`.

use std::sync::{Mutex, PoisonError};

use api::Failure;
use model::AppNumber;
use tokio::sync::watch;

use crate::access::Actor;
use crate::app::AppHandle;
use crate::control::Control;
use crate::seams::{Cancel, cancelled};
use crate::work::Work;

/// The sessions that are open.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Vec<Open>>);

#[derive(Debug)]
struct Open {
    /// None for the operator, who cannot lose access.
    person: Option<String>,
    app: AppNumber,
    end: watch::Sender<bool>,
}

/// A session that is open until this is dropped.
#[derive(Debug)]
pub struct OpenSession {
    /// Raised when its caller gives up, and when it must end.
    pub cancel: Cancel,
    _work: Work,
}

impl Sessions {
    /// Ends every session.
    pub(crate) fn end_all(&self) {
        self.end(|_| true);
    }

    /// Ends a person's sessions, with one app or with all.
    pub(crate) fn end_of_person(&self, person: &str, app: Option<AppNumber>) {
        self.end(|open| open.person.as_deref() == Some(person) && app.is_none_or(|app| app == open.app));
    }

    /// Ends everybody's sessions with an app.
    pub(crate) fn end_of_app(&self, app: AppNumber) {
        self.end(|open| open.app == app);
    }

    fn end(&self, which: impl Fn(&Open) -> bool) {
        for open in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|open| which(open)) {
            open.end.send_replace(true);
        }
    }
}

impl Control {
    /// Opens a session of a person with an app.
    pub fn open_session(&self, actor: &Actor, app: &AppHandle, mut caller: Cancel) -> Result<OpenSession, Failure> {
        let work = self.work()?;
        let end = watch::Sender::new(false);
        let cancel = end.subscribe();
        let person = match actor {
            Actor::Operator => None,
            Actor::Person { name, .. } => Some(name.clone()),
        };
        let mut all = self.sessions.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|open| !open.end.is_closed());
        all.push(Open { person, app: app.identity.number, end: end.clone() });
        drop(all);
        tokio::spawn(async move {
            tokio::select! {
                () = cancelled(&mut caller) => { end.send_replace(true); }
                () = end.closed() => {}
            }
        });
        Ok(OpenSession { cancel, _work: work })
    }
}
