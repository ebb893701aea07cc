//! `run CMD`, `ps:exec` and `pg:psql`: a command beside the app, or inside one of its
//! instances, on the client's own stdio.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Failure, Kind, Role};
use model::engine::{OneOff, OneOffCommand, ReleaseMode, ReleaseTarget};
use model::{Formation, InstanceId, ProcessType, ReleaseVersion, RunId};

use super::Ask;
use super::rows::shown;
use crate::app::AppHandle;
use crate::control::Control;
use crate::limits::RUN_SECONDS_MAX;
use crate::seams::{OneOffOutput, Session, Stdio, cancelled};
use crate::sessions::OpenSession;
use crate::store::{DatabaseKind, EventCode};

/// The better shell, if there is one.
const SHELL: &str = "if command -v bash >/dev/null; then exec bash; else exec sh; fi";

impl Control {
    pub(super) async fn run(self: &Arc<Self>, ask: Ask, run: api::run::Run) -> Result<u8, Failure> {
        let app = self.app_for(&ask.actor, &run.app, Role::Deployer, "run a command beside")?;
        if run.command.is_empty() || run.command.len() > api::limits::COMMAND_WORDS_MAX {
            return Err(Failure::new(Kind::Usage, "run.no_command", "there is no command to run").fix("paas run -a APP COMMAND …"));
        }
        let commands = app.view.borrow().commands.clone();
        let command = match run.command.as_slice() {
            [word] => match word.parse::<ProcessType>().ok().and_then(|t| commands.get(&t).cloned()) {
                Some(line) => OneOffCommand::Shell(line),
                None => OneOffCommand::Shell(word.clone()),
            },
            words => OneOffCommand::Words(words.to_vec()),
        };
        self.session(ask, &app, command, terminal_env(run.term)).await
    }

    /// The instance of the release that serves: what is on trial or on its way out beside it
    /// has the same name.
    pub(super) async fn exec(self: &Arc<Self>, mut ask: Ask, exec: api::run::Exec) -> Result<u8, Failure> {
        let app = self.app_for(&ask.actor, &exec.app, Role::Deployer, "run a command inside")?;
        if exec.command.len() > api::limits::COMMAND_WORDS_MAX {
            return Err(Failure::new(
                Kind::Usage,
                "run.too_long",
                format!("a command has at most {} words", api::limits::COMMAND_WORDS_MAX),
            ));
        }
        let command = match exec.command.as_slice() {
            [] => OneOffCommand::Shell(SHELL.to_owned()),
            [line] => OneOffCommand::Shell(line.clone()),
            words => OneOffCommand::Words(words.to_vec()),
        };
        let mut one_off = self.one_off(&app, command, terminal_env(exec.term)).await?;
        let (run, port) = live_run(&app, &exec.instance, one_off.version)?;
        one_off.env.extend(port.map(|port| ("PORT".to_owned(), port.to_string())));
        one_off.instance = run.instance.clone();
        let (stdio, _open) = self.open(&mut ask, &app)?;
        let text = format!("command inside {} started by {}", exec.instance, ask.actor.name());
        let event = self.event(&ask, EventCode::RunStarted, text);
        self.services.store.record_event(Some(app.identity.number), event).await?;
        let session = self.services.engine.exec(run, one_off, stdio).await?;
        match follow(session.as_ref(), &mut ask).await {
            model::ExitStatus::Unknown => {
                Err(Failure::new(Kind::Failed, "exec.ended", format!("{} ended, and the command with it", exec.instance))
                    .fix(format!("paas ps:why {} -a {}", exec.instance, app.identity.name)))
            }
            status => Ok(status.shell_code()),
        }
    }

    pub(super) async fn database_info(&self, ask: &Ask, info: api::pg::Info) -> Result<api::pg::InfoReply, Failure> {
        let app = self.app_for(&ask.actor, &info.app, Role::Deployer, "look at the database of")?;
        let record = self.services.store.app(app.identity.number).await?;
        match record.database {
            DatabaseKind::Postgresql => self.services.databases.info(app.identity.number).await,
            other => {
                Ok(api::pg::InfoReply { kind: other.as_str().to_owned(), version: None, database: None, bytes: None, connections: None })
            }
        }
    }

    pub(super) async fn psql(self: &Arc<Self>, ask: Ask, psql: api::pg::Psql) -> Result<u8, Failure> {
        let app = self.app_for(&ask.actor, &psql.app, Role::Deployer, "open the database of")?;
        let record = self.services.store.app(app.identity.number).await?;
        if record.database != DatabaseKind::Postgresql {
            return Err(Failure::new(Kind::Refused, "pg.none", format!("{} has no PostgreSQL database", app.identity.name))
                .why(format!("its database is: {}", record.database.as_str())));
        }
        let env = self.addon_env(&record).await?;
        let url = "DATABASE_URL".parse().ok().and_then(|key| env.get(&key).cloned());
        let Some(url) = url else {
            return Err(Failure::new(Kind::Unavailable, "pg.down", "the database cannot be reached").fix("see `paas status`"));
        };
        let mut env = terminal_env(psql.term);
        env.extend(pg_env(url.reveal()));
        let mut words = vec![self.services.databases.psql()?, "--no-psqlrc".to_owned(), "--set=ON_ERROR_STOP=1".to_owned()];
        if let Some(command) = psql.command {
            words.push(format!("--command={command}"));
        }
        self.session(ask, &app, OneOffCommand::Words(words), env).await
    }

    async fn session(&self, mut ask: Ask, app: &AppHandle, command: OneOffCommand, env: BTreeMap<String, String>) -> Result<u8, Failure> {
        let (stdio, _open) = self.open(&mut ask, app)?;
        let one_off = self.one_off(app, command, env).await?;
        let text = format!("{} started by {}", one_off.instance.name(), ask.actor.name());
        let event = self.event(&ask, EventCode::RunStarted, text);
        self.services.store.record_event(Some(app.identity.number), event).await?;
        let session = self.services.engine.run_once(one_off, OneOffOutput::Session(stdio)).await?;
        let status = follow(session.as_ref(), &mut ask).await;
        Ok(status.shell_code())
    }

    /// Opens a session on the client's own stdio.
    fn open(&self, ask: &mut Ask, app: &AppHandle) -> Result<(Stdio, OpenSession), Failure> {
        let Some(stdio) = ask.stdio.take() else {
            return Err(Failure::new(Kind::Usage, "run.no_stdio", "this client did not pass its input and output")
                .fix("use the same version of paas on both sides"));
        };
        let open = self.open_session(&ask.actor, app, ask.cancel.clone())?;
        ask.cancel = open.cancel.clone();
        Ok((stdio, open))
    }

    async fn one_off(&self, app: &AppHandle, command: OneOffCommand, env: BTreeMap<String, String>) -> Result<OneOff, Failure> {
        let number = app.identity.number;
        let store = &self.services.store;
        let Some(current) = store.current_release(number).await? else {
            return Err(Failure::new(Kind::Refused, "run.no_release", format!("{} has no release yet", app.identity.name))
                .fix("push first: git push paas main"));
        };
        let slug = self.slug_of(number, current.release.slug).await?;
        let config = store.config_of(number, current.release.config_version).await?;
        let addon_env = self.addon_env(&store.app(number).await?).await?;
        let run_number = store.next_run_numbers(number, 1).await?.start;
        let ordinal = u32::try_from((run_number - 1) % 100).unwrap_or(0) + 1;
        Ok(OneOff {
            app: app.identity.name.clone(),
            number,
            version: current.release.version,
            release: ReleaseTarget {
                mode: ReleaseMode::Serve,
                slug: slug.id,
                manifest: slug.manifest,
                config,
                addon_env,
                formation: Formation::default(),
                kept: store.kept_paths(number).await?,
            },
            instance: InstanceId { app: app.identity.name.clone(), process_type: "run".parse()?, ordinal },
            command,
            env,
            timeout_s: Some(RUN_SECONDS_MAX),
        })
    }
}

/// The live run of an instance, and its port.
fn live_run(app: &AppHandle, name: &str, version: ReleaseVersion) -> Result<(RunId, Option<u16>), Failure> {
    let view = app.view.borrow();
    let of_name = || shown(&view).filter(|instance| instance.instance.name() == name);
    if of_name().next().is_none() {
        return Err(Failure::new(Kind::NotFound, "instance.not_found", format!("{} has no {name}", app.identity.name))
            .fix(format!("see what there is with `paas ps -a {}`", app.identity.name)));
    }
    let live = of_name().filter(|instance| instance.version == version).find_map(|instance| Some((instance.run.clone()?, instance.port)));
    live.ok_or_else(|| {
        let state = of_name().next().map_or("down", |instance| instance.phase.word());
        Failure::new(Kind::Refused, "exec.not_running", format!("{name} of {} does not run", app.identity.name))
            .why(format!("it is {state}"))
            .fix(format!("see why with `paas ps:why {name} -a {}`, or run the command beside the app: paas run CMD", app.identity.name))
    })
}

/// Waits for the end of a session; passes signals on; a client that is gone ends it.
async fn follow(session: &dyn Session, ask: &mut Ask) -> model::ExitStatus {
    let mut signals_open = true;
    loop {
        tokio::select! {
            status = session.wait() => return status,
            signal = ask.signals.recv(), if signals_open => match signal {
                Some(signal) => session.signal(signal).await,
                None => signals_open = false,
            },
            () = cancelled(&mut ask.cancel) => {
                session.kill().await;
                return session.wait().await;
            }
        }
    }
}

fn terminal_env(term: Option<String>) -> BTreeMap<String, String> {
    let plain = |term: &String| term.len() < 64 && term.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+._".contains(&b));
    term.filter(plain).map(|term| ("TERM".to_owned(), term)).into_iter().collect()
}

/// `postgresql://role:password@host:port/name` as libpq's variables, so that the
/// password is in no command line.
fn pg_env(url: &str) -> Vec<(String, String)> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (role, password) = login.split_once(':').unwrap_or((login, ""));
    let (address, name) = place.split_once('/').unwrap_or((place, ""));
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "5432"));
    let name = name.split_once('?').map_or(name, |(name, _)| name);
    [("PGHOST", host), ("PGPORT", port), ("PGUSER", role), ("PGPASSWORD", password), ("PGDATABASE", name)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_becomes_variables() {
        let env: BTreeMap<_, _> = pg_env("postgresql://r17:s3cr3t@127.0.0.1:25432/d17").into_iter().collect();
        assert_eq!(env["PGHOST"], "127.0.0.1");
        assert_eq!(env["PGPORT"], "25432");
        assert_eq!((env["PGUSER"].as_str(), env["PGPASSWORD"].as_str(), env["PGDATABASE"].as_str()), ("r17", "s3cr3t", "d17"));
    }

    #[test]
    fn a_hostile_terminal_name_is_dropped() {
        assert_eq!(terminal_env(Some("xterm-256color".to_owned())).len(), 1);
        assert!(terminal_env(Some("x\n;id".to_owned())).is_empty());
    }
}
