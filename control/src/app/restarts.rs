//! `ps:restart`: raising the restart counter of instances.

use api::{Failure, Kind};
use model::InstanceId;

use super::task::AppTask;
use crate::limits::SHOWN_WORD_CHARS_MAX;

impl AppTask {
    /// Raises the counters of `web.1`, of all `web`, or of everything.
    pub(super) fn restart(&mut self, what: Option<&str>) -> Result<Vec<String>, Failure> {
        let name = &self.identity.name;
        if let Some(trouble) = &self.trouble {
            return Err(Failure::new(Kind::Failed, "app.not_started", format!("{name} was {trouble}"))
                .fix("repair that and start the server again, or push again: git push paas main"));
        }
        if self.current.is_none() {
            return Err(
                Failure::new(Kind::Refused, "app.no_release", format!("{name} has no release yet")).fix("push first: git push paas main")
            );
        }
        if self.stopped {
            return Err(Failure::new(Kind::Refused, "app.stopped", format!("{name} is stopped")).fix("start it with `paas ps:start`"));
        }
        let wanted = |id: &InstanceId| what.is_none_or(|word| word == id.name() || word == id.process_type.as_str());
        let mut restarted = Vec::new();
        for (process_type, ordinal) in self.formation.instances() {
            let id = InstanceId { app: name.clone(), process_type: process_type.clone(), ordinal };
            if wanted(&id) {
                restarted.push(id.name());
                *self.restarts.entry(id).or_default() += 1;
            }
        }
        match (restarted.is_empty(), what) {
            (true, Some(word)) => {
                let shown = model::text::clean(word, SHOWN_WORD_CHARS_MAX);
                Err(Failure::new(Kind::NotFound, "instance.not_found", format!("{name} has no `{shown}` running"))
                    .fix("see what runs with `paas ps`, start more with `paas ps:scale`"))
            }
            _ => Ok(restarted),
        }
    }
}
