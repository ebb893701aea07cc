//! `status` and `stop --all`.

use api::Failure;
use api::status::{AppStatus, Status, StatusReply, StopAll, StopAllReply};

use super::Ask;
use super::rows::{end_line, process_words, shown};
use crate::app::AppHandle;
use crate::control::Control;
use crate::store::EventCode;

impl Control {
    pub(super) fn status(&self, ask: &Ask, _: &Status) -> Result<StatusReply, Failure> {
        let (disk_free_bytes, disk_total_bytes) = self.services.builders.disk_bytes()?;
        let (memory_available_bytes, memory_total_bytes) = self.services.host.memory_bytes();
        Ok(StatusReply {
            version: self.settings.version.to_owned(),
            mode: self.settings.mode.to_owned(),
            http: self.settings.http.to_string(),
            server_pid: std::process::id(),
            router_shim_pid: self.services.host.router_shim_pid(),
            apps: self.visible(&ask.actor).iter().map(app_status).collect(),
            disk_free_bytes,
            disk_total_bytes,
            build_free_bytes_min: crate::limits::BUILD_FREE_BYTES_MIN,
            memory_available_bytes,
            memory_total_bytes,
            database: self.services.databases.summary(),
        })
    }

    pub(super) async fn stop_all(&self, ask: &Ask, _: StopAll) -> Result<StopAllReply, Failure> {
        ask.actor.may_operate("stop everything")?;
        let event = self.event(ask, EventCode::ServerStopped, "everything is stopped on request");
        if let Err(error) = self.services.store.record_event(None, event).await {
            tracing::error!(%error, "the stop of the server is not stored");
        }
        self.end_work().await;
        let runs = self.services.engine.stop_all().await;
        self.services.databases.stop().await;
        self.services.host.stop_router().await;
        self.services.host.stop_server();
        Ok(StopAllReply { runs })
    }
}

fn app_status(app: &AppHandle) -> AppStatus {
    let view = app.view.borrow();
    let ended = shown(&view).filter_map(|i| Some((i, i.last_end.as_ref()?))).filter(|(_, end)| end.reason != model::StopReason::Asked);
    let trouble = ended.max_by_key(|(_, end)| end.at_unix_ms).map(|(instance, end)| {
        let time = jiff::Timestamp::from_millisecond(end.at_unix_ms)
            .map(|t| jiff::ZonedDateTime::new(t, jiff::tz::TimeZone::system()).strftime("%H:%M").to_string());
        let name = instance.instance.name();
        format!("{} {name} ended: {} → ps:why {name}", time.unwrap_or_default(), end_line(end))
    });
    AppStatus {
        name: app.identity.name.to_string(),
        release: view.current.map(|v| v.to_string()),
        processes: process_words(&view),
        trouble: view.trouble.clone().or(trouble),
    }
}
