//! Asking a server as the doors do.

use api::wire::FromServer;
use api::{Failure, Operation};
use control::access::Actor;
use control::perform::Call;
use control::seams::Stdio;
use tokio::sync::{mpsc, watch};

use super::Server;
use super::pushes::source;

/// A request under way.
pub(crate) struct Asked {
    pub cancel: watch::Sender<bool>,
    pub frames: mpsc::Receiver<FromServer>,
    pub answer: tokio::task::JoinHandle<FromServer>,
}

impl Server {
    /// Asks as the operator.
    pub(crate) async fn ask<O: Operation>(&self, operation: O) -> Result<O::Reply, Failure> {
        self.ask_as(Actor::Operator, operation).await
    }

    pub(crate) async fn ask_as<O: Operation>(&self, actor: Actor, operation: O) -> Result<O::Reply, Failure> {
        let body = serde_json::to_value(operation).expect("a body");
        match self.converse(actor, O::NAME, body).await.pop() {
            Some(FromServer::Reply(reply)) => Ok(serde_json::from_value(reply).expect("the reply")),
            Some(FromServer::Failure(failure)) => Err(failure),
            other => panic!("{} answered {other:?}", O::NAME),
        }
    }

    /// Every frame of a conversation; the last one is the answer.
    pub(crate) async fn converse(&self, actor: Actor, operation: &str, body: serde_json::Value) -> Vec<FromServer> {
        let (call, _keep, mut frames) = call(actor, operation, body, None);
        let answer = self.control.perform(call);
        tokio::pin!(answer);
        let mut all = Vec::new();
        let last = loop {
            tokio::select! {
                biased;
                Some(frame) = frames.recv() => all.push(frame),
                last = &mut answer => break last,
            }
        };
        while let Ok(frame) = frames.try_recv() {
            all.push(frame);
        }
        all.push(last);
        all
    }

    /// Asks on a task of its own, with a stdio.
    pub(crate) fn begin(&self, actor: Actor, operation: &str, body: serde_json::Value) -> Asked {
        let stdio = Stdio { stdin: source(), stdout: source(), stderr: source(), terminal: false };
        let (call, cancel, frames) = call(actor, operation, body, Some(stdio));
        let control = self.control.clone();
        Asked { cancel, frames, answer: tokio::spawn(async move { control.perform(call).await }) }
    }
}

fn call(
    actor: Actor,
    operation: &str,
    body: serde_json::Value,
    stdio: Option<Stdio>,
) -> (Call, watch::Sender<bool>, mpsc::Receiver<FromServer>) {
    let (cancel, cancelled) = watch::channel(false);
    let (out, frames) = mpsc::channel(256);
    let (_, signals) = mpsc::channel(1);
    let call = Call { actor, operation: operation.to_owned(), body, stdio, out, cancel: cancelled, signals };
    (call, cancel, frames)
}
