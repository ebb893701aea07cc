//! `logs`: each line is an item of the stream.

use api::logs::{Line, Logs, LogsReply};
use api::wire::FromServer;
use api::{Failure, Role};
use tokio::sync::mpsc;

use super::Ask;
use crate::control::Control;
use crate::seams::cancelled;

/// Lines that wait for a client; the reader of the files waits with them, nobody else.
const WAITING_LINES_MAX: usize = 256;

impl Control {
    pub(super) async fn logs(&self, ask: &Ask, logs: Logs) -> Result<LogsReply, Failure> {
        let app = self.app_for(&ask.actor, &logs.app, Role::Viewer, "read the logs of")?;
        let mut open = self.open_session(&ask.actor, &app, ask.cancel.clone())?;
        if let Some(told) = self.services.logs.reaches_past(app.identity.number, &logs).await {
            ask.lines.raw(told);
        }
        let (sink, mut lines) = mpsc::channel::<Line>(WAITING_LINES_MAX);
        let read = self.services.logs.read(app.identity.number, logs, sink);
        let pass_on = async {
            loop {
                let line = tokio::select! {
                    line = lines.recv() => line,
                    () = cancelled(&mut open.cancel) => None,
                };
                let Some(line) = line else { return };
                let Ok(item) = serde_json::to_value(line) else { continue };
                if ask.out.send(FromServer::Item(item)).await.is_err() {
                    return;
                }
            }
        };
        tokio::pin!(read);
        tokio::pin!(pass_on);
        tokio::select! {
            result = &mut read => {
                // What was read last is still in the channel.
                pass_on.await;
                result?;
            }
            () = &mut pass_on => {}
        }
        Ok(LogsReply {})
    }
}
