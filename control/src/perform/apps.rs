//! `apps`, `apps:create` and their like.

use api::apps::{AppSummary, Apps, AppsReply, Create, CreateReply, Info, InfoReply, Set};
use api::{Failure, Kind, Role};
use model::{AppName, AppNumber};

use super::Ask;
use super::rows::process_words;
use crate::app::AppHandle;
use crate::control::Control;
use crate::store::{App, AppSetting, DatabaseKind, EventCode, NewApp, NewEvent};

/// Words for a made-up app name, as Heroku makes them.
const ADJECTIVES: [&str; 16] = [
    "calm", "brave", "quiet", "swift", "amber", "gentle", "proud", "silver", "still", "warm", "bright", "cool", "early", "green", "merry",
    "wild",
];
const NOUNS: [&str; 16] = [
    "river", "harbor", "meadow", "falcon", "ember", "forest", "island", "lantern", "maple", "ocean", "pebble", "ridge", "spring", "valley",
    "willow", "summit",
];

impl Control {
    #[expect(clippy::unnecessary_wraps, reason = "every operation answers alike")]
    pub(super) fn apps(&self, ask: &Ask, _: &Apps) -> Result<AppsReply, Failure> {
        let apps = self.visible(&ask.actor).iter().map(|app| self.summary(app)).collect();
        Ok(AppsReply { apps })
    }

    pub(super) async fn create(&self, ask: &Ask, create: Create) -> Result<CreateReply, Failure> {
        ask.actor.may_operate("create apps")?;
        let _work = self.work()?;
        let name: AppName = match &create.name {
            Some(name) => name.parse()?,
            None => self.made_up_name()?,
        };
        let kind = if create.no_database { "none" } else { self.services.databases.kind() };
        let database = DatabaseKind::parse(kind).unwrap_or(DatabaseKind::None);
        let new = NewApp {
            name: name.clone(),
            ports: self.settings.app_ports.clone(),
            ports_in_use: self.services.host.ports_in_use(),
            database,
        };
        let event = self.event(ask, EventCode::AppCreated, format!("{name} was created"));
        let app = self.services.store.create_app(new, event).await?;
        match self.furnish(&app).await {
            Ok(handle) => Ok(self.created(&handle, database)),
            Err(failure) => {
                // Nothing half made stays: its name is free again, its number is not.
                let event = self.event(ask, EventCode::AppDestroyed, format!("{name} could not be made: {failure}"));
                if let Err(error) = self.services.store.destroy_app(app.number, event).await {
                    tracing::error!(%error, app = %name, "a half made app cannot be removed");
                }
                self.wipe_destroyed().await;
                Err(failure)
            }
        }
    }

    async fn furnish(&self, app: &App) -> Result<AppHandle, Failure> {
        self.make_places(app.number).await?;
        self.start_app(app).await
    }

    /// Folders, users and the repository of an app. Idempotent.
    pub(crate) async fn make_places(&self, number: AppNumber) -> Result<(), Failure> {
        self.services.engine.prepare(number).await?;
        self.services.repositories.create(number).await
    }

    fn made_up_name(&self) -> Result<AppName, Failure> {
        let now = usize::try_from(self.services.now_unix_ms()).unwrap_or(0);
        for attempt in 0..1_000 {
            let pick = now + attempt * 7;
            let name = format!("{}-{}-{}", ADJECTIVES[pick % 16], NOUNS[pick / 16 % 16], pick % 9_000 + 1_000);
            let name: AppName = name.parse()?;
            if self.find(&name).is_none() {
                return Ok(name);
            }
        }
        Err(Failure::new(Kind::Refused, "app.no_name", "no free name was found").fix("give one: paas apps:create NAME"))
    }

    pub(super) fn created(&self, app: &AppHandle, database: DatabaseKind) -> CreateReply {
        let (url, port_url) = self.urls(&app.identity);
        let mut notes = Vec::new();
        if database == DatabaseKind::Sqlite {
            notes.push("no PostgreSQL on this box: DATABASE_URL is a SQLite file; install it with `apt install postgresql`".to_owned());
        }
        CreateReply {
            name: app.identity.name.to_string(),
            url,
            port_url,
            ssh_remote: self.ssh_remote(&app.identity.name),
            local_remote: format!("file:///{}", app.identity.name),
            database: database.as_str().to_owned(),
            notes,
        }
    }

    fn ssh_remote(&self, name: &AppName) -> String {
        format!("{}@{}:{name}", self.settings.login_user, self.settings.public_address)
    }

    fn summary(&self, app: &AppHandle) -> AppSummary {
        let view = app.view.borrow();
        AppSummary {
            name: app.identity.name.to_string(),
            release: view.current.map(|v| v.to_string()),
            processes: process_words(&view),
            url: self.urls(&app.identity).0,
        }
    }

    pub(super) async fn app_info(&self, ask: &Ask, info: Info) -> Result<InfoReply, Failure> {
        let app = self.app_for(&ask.actor, &info.app, Role::Viewer, "look at")?;
        self.info_of(&app).await
    }

    async fn info_of(&self, app: &AppHandle) -> Result<InfoReply, Failure> {
        let store = &self.services.store;
        let record = store.app(app.identity.number).await?;
        let slug = match store.current_release(app.identity.number).await? {
            Some(current) => Some(self.slug_of(app.identity.number, current.release.slug).await?),
            None => None,
        };
        Ok(InfoReply {
            summary: self.summary(app),
            port_url: self.urls(&app.identity).1,
            ssh_remote: self.ssh_remote(&app.identity.name),
            local_remote: format!("file:///{}", app.identity.name),
            deploy_branches: record.deploy_branches,
            root: record.root,
            slug_bytes: slug.as_ref().map(|s| s.bytes),
            buildpack: slug.map(|s| s.manifest.buildpack),
            database: record.database.as_str().to_owned(),
            created_unix_ms: record.created_unix_ms,
        })
    }

    pub(super) async fn set(&self, ask: &Ask, set: Set) -> Result<InfoReply, Failure> {
        let app = self.app_for(&ask.actor, &set.app, Role::Owner, "change settings of")?;
        let settings = set.settings.iter().map(|(key, value)| setting(key, value)).collect::<Result<Vec<_>, _>>()?;
        for (setting, key) in settings.into_iter().zip(set.settings.keys()) {
            let event = self.event(ask, EventCode::AppSet, format!("{key} of {} was set", app.identity.name));
            self.services.store.set_app_setting(app.identity.number, setting, event).await?;
        }
        self.info_of(&app).await
    }

    pub(super) fn event(&self, ask: &Ask, code: EventCode, text: impl Into<String>) -> NewEvent {
        NewEvent::new(self.services.now_unix_ms(), ask.actor.name(), code, text)
    }
}

fn setting(key: &str, value: &str) -> Result<AppSetting, Failure> {
    match key {
        "deploy-branch" => {
            let branches: Vec<String> = value.split(',').map(str::trim).filter(|b| !b.is_empty()).map(str::to_owned).collect();
            for branch in &branches {
                format!("refs/heads/{branch}").parse::<model::RefName>()?;
            }
            Ok(AppSetting::DeployBranches(branches))
        }
        "root" if value.is_empty() => Ok(AppSetting::Root(None)),
        "root" => {
            let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.starts_with('-');
            if value.len() > 200 || !value.split('/').all(plain) || value.chars().any(char::is_control) {
                return Err(Failure::new(Kind::Usage, "app.bad_setting", "this is not a folder of the repository")
                    .fix("write it without a leading slash: root=services/api"));
            }
            Ok(AppSetting::Root(Some(value.to_owned())))
        }
        other => Err(Failure::new(Kind::Usage, "app.bad_setting", format!("unknown setting `{other}`"))
            .fix("known are: deploy-branch=NAME[,NAME] and root=FOLDER")),
    }
}
