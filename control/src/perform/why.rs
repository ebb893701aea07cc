//! `ps:why`: what the flight recorder kept, as a story.

use std::collections::BTreeMap;

use api::ps::{EndStory, InstanceRow, InstanceStory, Why, WhyReply};
use api::{Failure, Kind, Role};
use model::engine::KeptEnd;

use super::Ask;
use super::rows::{end_story, instance_row, kept, left_row, shown};
use crate::control::Control;

impl Control {
    pub(super) async fn why(&self, ask: &Ask, why: Why) -> Result<WhyReply, Failure> {
        let app = self.app_for(&ask.actor, &why.app, Role::Viewer, "look at")?;
        let name = &app.identity.name;
        let mut stories: BTreeMap<String, (Option<InstanceRow>, Vec<KeptEnd>)> = BTreeMap::new();
        for end in self.services.engine.ends(app.identity.number, why.instance.clone()).await {
            stories.entry(end.instance.clone()).or_default().1.push(end);
        }
        let view = app.view.borrow().clone();
        let mut instances: Vec<_> = shown(&view).filter(|i| why.instance.as_ref().is_none_or(|name| *name == i.instance.name())).collect();
        // During a switch a name is there twice: the newer release's is the one to tell of.
        instances.sort_by_key(|i| i.version);
        for instance in instances {
            let (now, ends) = stories.entry(instance.instance.name()).or_default();
            *now = Some(instance_row(instance));
            ends.extend(instance.last_end.as_ref().map(kept));
        }
        let left = |name: &str| view.observed.left.iter().find(|left| left.instance.name() == name).map(left_row);
        let story = |(name, (now, ends)): (String, _)| InstanceStory { left: left(&name), name, now, ends: newest_first(ends) };
        let stories: Vec<InstanceStory> = stories.into_iter().map(story).collect();
        if let Some(instance) = why.instance.filter(|_| stories.is_empty()) {
            return Err(Failure::new(Kind::NotFound, "instance.not_found", format!("{name} has no {instance}"))
                .fix(format!("see what there is with `paas ps -a {name}`")));
        }
        Ok(WhyReply { app: name.to_string(), instances: stories })
    }
}

fn newest_first(mut ends: Vec<KeptEnd>) -> Vec<EndStory> {
    ends.sort_by_key(|end| std::cmp::Reverse((end.at_unix_ms, end.run)));
    ends.dedup_by_key(|end| end.run);
    ends.into_iter().map(end_story).collect()
}
