//! What a command needs around it: the app, the server, a way to ask.

use std::cell::OnceCell;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use api::{Failure, Kind, Operation};
use model::AppName;
use serde_json::Value;

use super::arguments::Globals;
use super::checkout::{self, RemoteTarget};
use super::client::{Answer, Client, Listener};
use super::output::Output;
use super::text::{self, View};
use super::{End, Result, server_socket};

/// The surroundings of a command.
#[derive(Debug)]
pub struct Context {
    /// Where output goes.
    pub output: Output,
    globals: Globals,
    remote: OnceCell<Option<RemoteTarget>>,
}

impl Context {
    /// Nothing is looked up before it is needed.
    pub fn new(globals: Globals, output: Output) -> Self {
        Self { output, globals, remote: OnceCell::new() }
    }

    /// The git remote that `-r` names, or `paas`.
    pub fn remote_name(&self) -> &str {
        self.globals.remote.as_deref().unwrap_or(checkout::DEFAULT_REMOTE)
    }

    /// The folder that the command was started in.
    pub fn folder() -> PathBuf {
        PathBuf::from(".")
    }

    fn remote(&self) -> Result<Option<&RemoteTarget>, Failure> {
        if let Some(known) = self.remote.get() {
            return Ok(known.as_ref());
        }
        let found = checkout::find(&Self::folder(), self.remote_name())?;
        if found.is_none() && self.globals.remote.is_some() {
            return Err(Failure::new(Kind::NotFound, "remote.not_found", format!("there is no git remote {} here", self.remote_name()))
                .fix("`git remote -v` lists them; `-a APP` names the app itself"));
        }
        Ok(self.remote.get_or_init(|| found).as_ref())
    }

    /// The root folder of the server: `--root`, `PAAS_ROOT`, the checkout's remote, the
    /// installed one.
    pub fn root(&self) -> Result<PathBuf, Failure> {
        if let Some(root) = &self.globals.root {
            return std::path::absolute(root).map_err(|error| Failure::internal("the root folder cannot be named", &error));
        }
        // A checkout that cannot be read matters only to whoever asks it for the app.
        match self.remote() {
            Ok(Some(RemoteTarget { root: Some(root), .. })) => Ok(root.clone()),
            Err(failure) if self.globals.remote.is_some() => Err(failure),
            _ => server_socket::installed_root(),
        }
    }

    /// The root folder as it was named, for the server itself.
    pub fn named_root(&self) -> Result<PathBuf, Failure> {
        match &self.globals.root {
            Some(root) => std::path::absolute(root).map_err(|error| Failure::internal("the root folder cannot be named", &error)),
            None => server_socket::own_root(),
        }
    }

    /// The app: `-a`, or the one that the checkout's remote names.
    pub fn app(&self) -> Result<String, Failure> {
        if let Some(app) = &self.globals.app {
            return Ok(app.parse::<AppName>()?.to_string());
        }
        match self.remote()? {
            Some(RemoteTarget { app: Some(app), .. }) => Ok(app.to_string()),
            Some(_) => {
                Err(Failure::new(Kind::Usage, "app.unknown", format!("the git remote {} names no app", self.remote_name())).fix(NAME_IT))
            }
            None => Err(Failure::new(Kind::Usage, "app.missing", "which app is not known")
                .why("there is no git remote `paas` here to take it from")
                .fix(NAME_IT)),
        }
    }

    /// The app of `-a` or of a word of the command itself.
    pub fn app_or(&self, word: Option<&str>) -> Result<String, Failure> {
        match (word, &self.globals.app) {
            (Some(word), Some(app)) if word != app => {
                Err(Failure::new(Kind::Usage, "app.twice", format!("two apps are named: {word} and {app}")).fix("name one"))
            }
            (Some(word), _) => Ok(word.parse::<AppName>()?.to_string()),
            (None, _) => self.app(),
        }
    }

    /// The app of `-a` alone, for what is about the whole box otherwise.
    pub fn named_app(&self) -> Result<Option<String>, Failure> {
        self.globals.app.as_ref().map(|app| Ok(app.parse::<AppName>()?.to_string())).transpose()
    }

    /// Asks, shows progress, and returns the reply as it came.
    pub fn call<O: Operation>(&self, operation: &O) -> Result<Value> {
        struct Progress<'a>(&'a Output);
        impl Listener for Progress<'_> {
            fn line(&mut self, line: &str) {
                self.0.line(line);
            }
            fn item(&mut self, _item: Value) -> Result {
                Ok(())
            }
        }
        match self.connect(operation, &[])?.listen(O::EFFECT, &mut Progress(&self.output))? {
            Answer::Reply(reply) => Ok(reply),
            Answer::Exit(_) => Err(not_understood("it ended like a session").into()),
        }
    }

    /// Asks and leaves the listening to the caller.
    pub fn connect<O: Operation>(&self, operation: &O, descriptors: &[BorrowedFd<'_>]) -> Result<Client> {
        Client::ask(&self.root()?, operation, descriptors).map_err(|end| self.explain_distance(end))
    }

    /// A checkout whose remote leads to another machine: its server is not here.
    fn explain_distance(&self, end: End) -> End {
        let host = self.remote().ok().flatten().and_then(|remote| remote.host.as_ref());
        match (end, host) {
            (End::Failure(failure), Some(host)) if failure.kind == Kind::Unavailable && self.globals.root.is_none() => {
                let why = format!(
                    "the git remote {} leads to {}, and commands run on the machine of the server",
                    self.remote_name(),
                    text::plain(host)
                );
                failure.why(why).fix("log in there and run the command again").into()
            }
            (end, _) => end,
        }
    }

    /// Asks and shows the reply: as text, or as it is with `--json`.
    pub fn show<O: Operation>(&self, operation: &O, render: impl FnOnce(&O::Reply, &View) -> String) -> Result {
        let reply = self.call(operation)?;
        if self.output.json {
            return self.output.json(&reply);
        }
        self.output.data(&render(&typed::<O>(reply)?, &self.output.view()))
    }

    /// Asks for a change: announces it, says what came of it, and with `--json` shows
    /// the reply too.
    pub fn change<O: Operation>(&self, step: &str, operation: &O, outcome: impl FnOnce(&O::Reply) -> String) -> Result<O::Reply> {
        self.output.step(step);
        let value = self.call(operation)?;
        let reply = typed::<O>(value.clone())?;
        self.output.step_done(step, &outcome(&reply));
        if self.output.json {
            self.output.json(&value)?;
        }
        Ok(reply)
    }
}

const NAME_IT: &str = "name it with -a APP, or run this inside the app's checkout; `paas apps` lists them";

/// A reply in its own type.
pub fn typed<O: Operation>(reply: Value) -> Result<O::Reply, Failure> {
    serde_json::from_value(reply).map_err(|error| not_understood(&error.to_string()))
}

fn not_understood(why: &str) -> Failure {
    Failure::new(Kind::Internal, "server.other_version", "the server's answer is not understood")
        .why(why)
        .fix("use the paas of the same version as the server: `paas status` and `paas version` name them")
}
