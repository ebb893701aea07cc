//! `ps` and its like.

use std::collections::BTreeMap;

use api::ps::{List, ListReply, Restart, RestartReply, Scale, ScaleReply, Start, Stop, TypeRow};
use api::{Failure, Role};
use model::ScaleChange;

use super::Ask;
use super::rows::{instance_row, shown};
use crate::app::AppHandle;
use crate::control::Control;
use crate::store::EventCode;

impl Control {
    pub(super) fn processes(&self, ask: &Ask, list: &List) -> Result<ListReply, Failure> {
        let app = self.app_for(&ask.actor, &list.app, Role::Viewer, "look at")?;
        let view = app.view.borrow();
        let mut types: BTreeMap<_, TypeRow> = BTreeMap::new();
        for (process_type, command) in &view.commands {
            let row = TypeRow {
                process_type: process_type.to_string(),
                command: command.clone(),
                count: view.formation.count(process_type),
                instances: Vec::new(),
            };
            types.insert(process_type.clone(), row);
        }
        for instance in shown(&view) {
            let process_type = &instance.instance.process_type;
            let row = types.entry(process_type.clone()).or_insert_with(|| TypeRow {
                process_type: process_type.to_string(),
                command: String::new(),
                count: view.formation.count(process_type),
                instances: Vec::new(),
            });
            row.instances.push(instance_row(instance));
        }
        Ok(ListReply {
            app: app.identity.name.to_string(),
            release: view.current.map(|v| v.to_string()),
            stopped: view.stopped,
            types: types.into_values().collect(),
        })
    }

    pub(super) async fn scale(&self, ask: &Ask, scale: Scale) -> Result<ScaleReply, Failure> {
        let role = if scale.changes.is_empty() { Role::Viewer } else { Role::Deployer };
        let app = self.app_for(&ask.actor, &scale.app, role, "scale")?;
        let changes = scale.changes.iter().map(|word| word.parse::<ScaleChange>()).collect::<Result<Vec<_>, _>>()?;
        let changed = changes.iter().map(|c| c.process_type.to_string()).collect();
        let formation = if changes.is_empty() {
            self.services.store.formation(app.identity.number).await?
        } else {
            let event = self.event(ask, EventCode::ProcessesScaled, format!("scaled {}", scale.changes.join(" ")));
            let formation = self.services.store.scale(app.identity.number, changes, event).await?;
            app.reload();
            formation
        };
        let formation = formation.0.into_iter().map(|(t, n)| (t.to_string(), n)).collect();
        Ok(ScaleReply { formation, changed })
    }

    pub(super) async fn restart(&self, ask: &Ask, restart: Restart) -> Result<RestartReply, Failure> {
        let app = self.app_for(&ask.actor, &restart.app, Role::Deployer, "restart")?;
        let what = restart.what.as_deref().unwrap_or("all processes");
        let event = self.event(ask, EventCode::ProcessesRestarted, format!("restart of {what} asked for"));
        let instances = app.restart(restart.what.clone()).await?;
        self.services.store.record_event(Some(app.identity.number), event).await?;
        Ok(RestartReply { instances })
    }

    pub(super) async fn stop_processes(&self, ask: &Ask, stop: Stop) -> Result<RestartReply, Failure> {
        let app = self.app_for(&ask.actor, &stop.app, Role::Deployer, "stop")?;
        self.set_stopped(ask, &app, true, EventCode::ProcessesStopped).await
    }

    pub(super) async fn start_processes(&self, ask: &Ask, start: Start) -> Result<RestartReply, Failure> {
        let app = self.app_for(&ask.actor, &start.app, Role::Deployer, "start")?;
        self.set_stopped(ask, &app, false, EventCode::ProcessesStarted).await
    }

    async fn set_stopped(&self, ask: &Ask, app: &AppHandle, stopped: bool, code: EventCode) -> Result<RestartReply, Failure> {
        let text = if stopped { "all processes stopped on request" } else { "processes started on request" };
        self.services.store.set_stopped(app.identity.number, stopped, self.event(ask, code, text)).await?;
        app.reload();
        let formation = self.services.store.formation(app.identity.number).await?;
        Ok(RestartReply { instances: formation.instances().map(|(t, ordinal)| format!("{t}.{ordinal}")).collect() })
    }
}
