//! `ps:restart`: raising the restart counter of instances.

use api::{Failure, Kind};
use model::InstanceId;

use super::task::AppTask;

impl AppTask {
    /// Raises the counters of `web.1`, of all `web`, or of everything.
    pub(super) fn restart(&mut self, what: Option<String>) -> Result<Vec<String>, Failure> {
        let wanted = |id: &InstanceId| match &what {
            None => true,
            Some(word) => *word == id.name() || *word == id.process_type.as_str(),
        };
        let mut restarted = Vec::new();
        for (process_type, count) in self.formation.0.iter().filter(|(t, _)| t.stays_up()) {
            for ordinal in 1..=*count {
                let id = InstanceId { app: self.identity.name.clone(), process_type: process_type.clone(), ordinal };
                if wanted(&id) {
                    restarted.push(id.name());
                    *self.restarts.entry(id).or_default() += 1;
                }
            }
        }
        match (restarted.is_empty(), what) {
            (true, Some(word)) => Err(Failure::new(Kind::NotFound, "instance.not_found", format!("{} has no `{word}` running", self.identity.name))
                .fix("see what runs with `paas ps`, start more with `paas ps:scale`")),
            _ => Ok(restarted),
        }
    }
}
