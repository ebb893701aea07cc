//! Carrying out operations: authorise, do, reply. The only way in from outside.

mod access;
mod apps;
mod builds;
mod config;
mod events;
mod logs;
mod ps;
mod releases;
mod rows;
mod sessions;
mod status;

use std::sync::Arc;

use api::wire::FromServer;
use api::{Failure, Kind, Operation};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::access::Actor;
use crate::control::Control;
use crate::seams::{Cancel, Lines, Stdio};

/// One request on its way.
#[derive(Debug)]
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

impl Call {
    /// Lines of progress for the client.
    fn lines(&self) -> Lines {
        let (sender, mut receiver) = mpsc::channel::<String>(crate::limits::PUSH_LINES_QUEUED_MAX);
        let out = self.out.clone();
        tokio::spawn(async move {
            while let Some(line) = receiver.recv().await {
                if out.send(FromServer::Line(line)).await.is_err() {
                    return;
                }
            }
        });
        Lines(sender)
    }

    fn take<T: Operation>(&mut self) -> Result<T, Failure> {
        serde_json::from_value(self.body.take()).map_err(|error| {
            Failure::new(Kind::Usage, "request.malformed", format!("the request {} is not understood", T::NAME))
                .why(error.to_string())
                .fix("use the same version of paas on both sides")
        })
    }
}

/// Calls a method of control with a parsed operation and turns its reply into a frame.
macro_rules! dispatch {
    ($control:expr, $call:expr, { $($operation:path => $method:ident),+ $(,)? }) => {
        match $call.operation.as_str() {
            $(<$operation as Operation>::NAME => {
                let operation = $call.take::<$operation>()?;
                let reply: <$operation as Operation>::Reply = $control.$method(&$call, operation).await?;
                serde_json::to_value(reply)
                    .map(FromServer::Reply)
                    .map_err(|error| Failure::internal("a reply cannot be written", &error))
            })+
            <api::run::Run as Operation>::NAME => {
                let operation = $call.take::<api::run::Run>()?;
                $control.run($call, operation).await.map(FromServer::Exit)
            }
            <api::pg::Psql as Operation>::NAME => {
                let operation = $call.take::<api::pg::Psql>()?;
                $control.psql($call, operation).await.map(FromServer::Exit)
            }
            other => Err(Failure::new(Kind::Usage, "operation.unknown", format!("this server knows no operation `{other}`"))
                .fix("use the same version of paas on both sides")),
        }
    };
}

impl Control {
    /// Does what is asked; the answer is the last frame of the conversation.
    pub async fn perform(self: &Arc<Self>, call: Call) -> FromServer {
        match self.dispatch(call).await {
            Ok(frame) => frame,
            Err(failure) => FromServer::Failure(failure),
        }
    }

    async fn dispatch(self: &Arc<Self>, mut call: Call) -> Result<FromServer, Failure> {
        dispatch!(self, call, {
            api::access::Access => access,
            api::access::AccessAdd => access_add,
            api::access::AccessRemove => access_remove,
            api::apps::Apps => apps,
            api::apps::Create => create,
            api::apps::Destroy => destroy,
            api::apps::Info => app_info,
            api::apps::Rename => rename,
            api::apps::Set => set,
            api::builds::Builds => builds,
            api::builds::Cancel => cancel_build,
            api::builds::Deploy => deploy_reference,
            api::builds::Output => build_output,
            api::builds::PurgeCache => purge_cache,
            api::builds::Rebuild => rebuild,
            api::config::Get => config,
            api::config::Change => change_config,
            api::events::Events => events,
            api::logs::Logs => logs,
            api::pg::Info => database_info,
            api::ps::List => processes,
            api::ps::Restart => restart,
            api::ps::Scale => scale,
            api::ps::Start => start_processes,
            api::ps::Stop => stop_processes,
            api::ps::Why => why,
            api::releases::Info => release_info,
            api::releases::Releases => releases,
            api::releases::Rollback => rollback,
            api::status::Status => status,
            api::status::StopAll => stop_all,
        })
    }
}

/// A cancel that nobody raises.
pub(crate) fn never() -> (watch::Sender<bool>, Cancel) {
    watch::channel(false)
}
