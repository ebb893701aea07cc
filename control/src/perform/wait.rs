//! `ps:wait`: until all that is wanted is up, or cannot be.

use std::time::Duration;

use api::ps::{Wait, WaitReply};
use api::{Failure, Kind, Role};
use model::engine::InstancePhase;
use tokio::time::{Instant, timeout_at};

use super::Ask;
use super::rows::end_line;
use crate::app::AppView;
use crate::control::Control;
use crate::limits::{WAIT_S, WAIT_S_MAX};
use crate::seams::cancelled;

impl Control {
    pub(super) async fn wait(&self, ask: &Ask, wait: Wait) -> Result<WaitReply, Failure> {
        let app = self.app_for(&ask.actor, &wait.app, Role::Viewer, "look at")?;
        let most = wait.timeout_s.unwrap_or(WAIT_S).min(WAIT_S_MAX);
        let deadline = Instant::now() + Duration::from_secs(most);
        let (mut view, mut cancel) = (app.view.clone(), ask.cancel.clone());
        loop {
            let now = look(app.identity.name.as_str(), &view.borrow_and_update());
            match now {
                Look::Up(reply) => {
                    // What was scaled a moment ago counts, before the app's task has seen it.
                    let wanted = self.services.store.formation(app.identity.number).await?;
                    if view.borrow().formation == wanted {
                        return Ok(reply);
                    }
                }
                Look::Never(failure) => return Err(failure),
                Look::NotYet(_) => {}
            }
            tokio::select! {
                changed = timeout_at(deadline, view.changed()) => match changed {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Err(Failure::no_such_app(app.identity.name.as_str())),
                    Err(_) => return Err(late(most, &view.borrow(), app.identity.name.as_str())),
                },
                () = cancelled(&mut cancel) => return Err(late(most, &view.borrow(), app.identity.name.as_str())),
            }
        }
    }
}

enum Look {
    Up(WaitReply),
    NotYet(String),
    Never(Failure),
}

fn look(app: &str, view: &AppView) -> Look {
    let never = |what: String, fix: &str| Look::Never(Failure::new(Kind::Failed, "ps.not_up", what).fix(fix));
    if let Some(trouble) = &view.trouble {
        return never(format!("{app} is not up: {trouble}"), "see `paas status`");
    }
    let Some(current) = view.current else {
        return never(format!("{app} has no release yet"), "push first: git push paas main");
    };
    if view.stopped {
        return never(format!("{app} is stopped"), "start it with `paas ps:start`");
    }
    let mut instances = Vec::new();
    for (process_type, ordinal) in view.formation.instances() {
        let name = format!("{process_type}.{ordinal}");
        let found = view.observed.of(current).find(|i| i.instance.process_type == *process_type && i.instance.ordinal == ordinal);
        match found {
            Some(i) if matches!(i.phase, InstancePhase::Ready | InstancePhase::Finished) => instances.push(name),
            Some(i) if matches!(i.phase, InstancePhase::Backoff | InstancePhase::Stuck | InstancePhase::Failed) => {
                let end = i.last_end.as_ref().map(|end| format!(" ({})", end_line(end))).unwrap_or_default();
                return never(format!("{name} is {}{end}", i.phase.word()), &format!("see `paas ps:why {name}`"));
            }
            Some(i) => return Look::NotYet(format!("{name} is {}", i.phase.word())),
            None => return Look::NotYet(format!("{name} is not started")),
        }
    }
    Look::Up(WaitReply { release: current.to_string(), instances })
}

fn late(seconds: u64, view: &AppView, app: &str) -> Failure {
    let why = match look(app, view) {
        Look::NotYet(why) => why,
        Look::Up(_) | Look::Never(_) => "its scale was changed just now".to_owned(),
    };
    Failure::new(Kind::Failed, "ps.not_up", format!("{app} is not up after {seconds} s"))
        .why(why)
        .fix("see `paas ps` and `paas logs`; wait longer with `paas ps:wait --timeout SECONDS`")
}
