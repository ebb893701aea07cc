//! `events`.

use api::events::{EventRow, Events, EventsReply};
use api::{Failure, Role};

use super::Ask;
use crate::control::Control;
use crate::limits::SHOWN_LINES_MAX;

impl Control {
    pub(super) async fn events(&self, ask: &Ask, events: Events) -> Result<EventsReply, Failure> {
        let app = if let Some(name) = &events.app {
            Some(self.app_for(&ask.actor, name, Role::Viewer, "look at")?.identity.number)
        } else {
            ask.actor.may_operate("see the events of the whole box")?;
            None
        };
        let records = self.services.store.list_events(app, events.lines.min(SHOWN_LINES_MAX)).await?;
        let row = |record: crate::store::EventRecord| EventRow {
            number: record.number,
            at_unix_ms: record.at_unix_ms,
            actor: record.actor,
            app: record.app.map(|name| name.to_string()),
            code: record.code,
            text: record.text,
        };
        Ok(EventsReply { events: records.into_iter().map(row).collect() })
    }
}
