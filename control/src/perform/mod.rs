//! Carrying out operations: authorise, do, reply. The only way in from outside.

mod access;
mod apps;
mod builds;
mod checks;
mod closing;
mod config;
mod events;
mod logs;
mod ps;
mod releases;
mod rows;
mod sessions;
mod settings;
mod status;
mod storage;
mod wait;
mod why;

use std::sync::Arc;

use api::wire::FromServer;
use api::{Failure, Kind, Operation};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::access::Actor;
use crate::control::Control;
use crate::limits::{LINES_FLUSH_MAX, PUSH_LINES_QUEUED_MAX};
use crate::seams::{Cancel, Lines, Stdio};
use crate::turns::joined;

/// One request on its way.
pub struct Call {
    /// Who asks.
    pub actor: Actor,
    /// The operation's name.
    pub operation: String,
    /// The operation.
    pub body: Value,
    /// The client's own stdio, if it came along.
    pub stdio: Option<Stdio>,
    /// Where lines and items go.
    pub out: mpsc::Sender<FromServer>,
    /// Raised when the client gave up or is gone.
    pub cancel: Cancel,
    /// Signals for a session's process.
    pub signals: mpsc::Receiver<i32>,
}

impl std::fmt::Debug for Call {
    /// Without its body: it may hold config vars.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("actor", &self.actor).field("operation", &self.operation).finish_non_exhaustive()
    }
}

/// A request that is being carried out.
pub(crate) struct Ask {
    pub(crate) actor: Actor,
    body: Value,
    stdio: Option<Stdio>,
    pub(crate) out: mpsc::Sender<FromServer>,
    pub(crate) cancel: Cancel,
    signals: mpsc::Receiver<i32>,
    /// Lines of progress for the client.
    pub(crate) lines: Lines,
}

impl Ask {
    fn take<T: Operation>(&mut self) -> Result<T, Failure> {
        serde_json::from_value(self.body.take()).map_err(|error| {
            Failure::new(Kind::Usage, "request.malformed", format!("the request {} is not understood", T::NAME))
                .why(error.to_string())
                .fix("use the same version of paas on both sides")
        })
    }
}

fn written(reply: &impl serde::Serialize) -> Result<FromServer, Failure> {
    let reply = serde_json::to_value(reply).map_err(|error| Failure::internal("a reply cannot be written", &error))?;
    Ok(FromServer::Reply(reply))
}

/// Passes lines on until nobody has any more.
async fn forward(mut lines: mpsc::Receiver<String>, out: mpsc::Sender<FromServer>) {
    while let Some(line) = lines.recv().await {
        if out.send(FromServer::Line(line)).await.is_err() {
            return;
        }
    }
}

/// Calls a method of control with a parsed operation and turns its reply into a frame.
macro_rules! dispatch {
    ($control:expr, $operation_name:expr, $ask:expr, { $($operation:path => $method:ident),+ $(,)? }, at once { $($quick:path => $answer:ident),+ $(,)? }) => {
        match $operation_name {
            $(<$operation as Operation>::NAME => {
                let operation = $ask.take::<$operation>()?;
                let reply: <$operation as Operation>::Reply = $control.$method(&$ask, operation).await?;
                written(&reply)
            })+
            $(<$quick as Operation>::NAME => {
                let operation = $ask.take::<$quick>()?;
                let reply: <$quick as Operation>::Reply = $control.$answer(&$ask, &operation)?;
                written(&reply)
            })+
            <api::run::Run as Operation>::NAME => {
                let operation = $ask.take::<api::run::Run>()?;
                $control.run($ask, operation).await.map(FromServer::Exit)
            }
            <api::run::Exec as Operation>::NAME => {
                let operation = $ask.take::<api::run::Exec>()?;
                $control.exec($ask, operation).await.map(FromServer::Exit)
            }
            <api::pg::Psql as Operation>::NAME => {
                let operation = $ask.take::<api::pg::Psql>()?;
                $control.psql($ask, operation).await.map(FromServer::Exit)
            }
            other => Err(Failure::new(Kind::Usage, "operation.unknown", format!("this server knows no operation `{other}`"))
                .fix("use the same version of paas on both sides")),
        }
    };
}

impl Control {
    /// Does what is asked; the answer is the last frame of the conversation. Once begun
    /// it is done to its end, also if nobody waits for the answer any more.
    pub async fn perform(self: &Arc<Self>, call: Call) -> FromServer {
        let Call { actor, operation, body, stdio, out, cancel, signals } = call;
        let (lines, waiting) = mpsc::channel(PUSH_LINES_QUEUED_MAX);
        let forwarder = tokio::spawn(forward(waiting, out.clone()));
        let ask = Ask { actor, body, stdio, out, cancel, signals, lines: Lines(lines) };
        let control = self.clone();
        let answer = joined(tokio::spawn(async move { control.dispatch(&operation, ask).await }).await);
        // The last lines come before the answer.
        if tokio::time::timeout(LINES_FLUSH_MAX, forwarder).await.is_err() {
            tracing::debug!("lines of a request did not reach its client in time");
        }
        answer.unwrap_or_else(FromServer::Failure)
    }

    async fn dispatch(self: &Arc<Self>, operation: &str, mut ask: Ask) -> Result<FromServer, Failure> {
        dispatch!(self, operation, ask, {
            api::access::Access => access,
            api::access::AccessAdd => access_add,
            api::access::AccessRemove => access_remove,
            api::apps::Create => create,
            api::apps::Destroy => destroy,
            api::apps::Info => app_info,
            api::apps::Rename => rename,
            api::apps::Set => set,
            api::builds::Builds => builds,
            api::builds::Deploy => deploy_reference,
            api::builds::Output => build_output,
            api::builds::PurgeCache => purge_cache,
            api::builds::Rebuild => rebuild,
            api::checks::Run => try_checks,
            api::config::Get => config,
            api::config::Change => change_config,
            api::events::Events => events,
            api::logs::Logs => logs,
            api::pg::Info => database_info,
            api::ps::Limits => limits,
            api::ps::Overlap => overlap,
            api::ps::Restart => restart,
            api::ps::Scale => scale,
            api::ps::Start => start_processes,
            api::ps::Stop => stop_processes,
            api::ps::Why => why,
            api::ps::Wait => wait,
            api::releases::Info => release_info,
            api::releases::Releases => releases,
            api::releases::Rollback => rollback,
            api::status::StopAll => stop_all,
            api::storage::Keep => keep,
            api::storage::Storage => storage,
        }, at once {
            api::apps::Apps => apps,
            api::builds::Cancel => cancel_build,
            api::checks::Checks => checks,
            api::ps::List => processes,
            api::status::Status => status,
        })
    }
}
