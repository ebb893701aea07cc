//! `status` and `stop --all`.

use api::Failure;
use api::status::{AppStatus, Status, StatusReply, StopAll, StopAllReply};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use super::Ask;
use super::rows::{end_line, process_words, shown};
use crate::app::AppHandle;
use crate::control::Control;
use crate::store::EventCode;

impl Control {
    pub(super) fn status(&self, ask: &Ask, _: &Status) -> Result<StatusReply, Failure> {
        let (disk_free_bytes, disk_total_bytes) = self.services.builders.disk_bytes()?;
        let (memory_available_bytes, memory_total_bytes) = self.services.host.memory_bytes();
        let now = self.services.now_unix_ms();
        Ok(StatusReply {
            version: self.settings.version.to_owned(),
            mode: self.settings.mode.to_owned(),
            http: self.settings.http.to_string(),
            server_pid: std::process::id(),
            router_shim_pid: self.services.host.router_shim_pid(),
            apps: self.visible(&ask.actor).iter().map(|app| app_status(app, now)).collect(),
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

fn app_status(app: &AppHandle, now_unix_ms: i64) -> AppStatus {
    let view = app.view.borrow();
    let ended = shown(&view).filter_map(|i| Some((i, i.last_end.as_ref()?))).filter(|(_, end)| end.reason != model::StopReason::Asked);
    let trouble = ended.max_by_key(|(_, end)| end.at_unix_ms).map(|(instance, end)| {
        let at = told_at(end.at_unix_ms, now_unix_ms, &TimeZone::system());
        let name = instance.instance.name();
        let what = if end.reason.is_bad_health() { "restarted" } else { "ended" };
        format!("{at} {name} {what}: {} → ps:why {name}", end_line(end))
    });
    AppStatus {
        name: app.identity.name.to_string(),
        release: view.current.map(|v| v.to_string()),
        processes: process_words(&view),
        trouble: view.trouble.clone().or_else(|| view.note.clone()).or(trouble),
    }
}

/// `03:12` today, `2026-01-02 03:12` before.
fn told_at(at_unix_ms: i64, now_unix_ms: i64, zone: &TimeZone) -> String {
    let local = |unix_ms| ZonedDateTime::new(Timestamp::from_millisecond(unix_ms).unwrap_or_default(), zone.clone());
    let (at, now) = (local(at_unix_ms), local(now_unix_ms));
    at.strftime(if at.date() == now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_of_another_day_has_its_date() {
        let now = 1_790_000_000_000;
        let told = |hours: i64| told_at(now - hours * 3_600_000, now, &TimeZone::UTC);
        assert_eq!([told(0), told(14), told(15)], ["14:13", "00:13", "2026-09-20 23:13"]);
    }
}
