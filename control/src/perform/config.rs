//! `config` and its changes. A change is a release: if the app does not start with it,
//! it is not saved and the old release keeps serving.

use std::sync::Arc;

use api::config::{Change, ChangeReply, Get, GetReply};
use api::{Failure, Kind, Role};
use model::{Cause, ConfigVars, EnvKey, Secret};

use super::Ask;
use crate::app::AppHandle;
use crate::control::Control;
use crate::deploy::{Switch, refused_change};
use crate::store::EventCode;
use crate::turns::Turn;

impl Control {
    pub(super) async fn config(&self, ask: &Ask, get: Get) -> Result<GetReply, Failure> {
        let app = self.app_for(&ask.actor, &get.app, Role::Deployer, "read the config of")?;
        let (_, config) = self.services.store.current_config(app.identity.number).await?;
        let record = self.services.store.app(app.identity.number).await?;
        let addons = self.addon_env(&record).await?;
        let plain = |vars: &ConfigVars| vars.iter().map(|(k, v)| (k.to_string(), v.reveal().to_owned())).collect();
        let mut addon_vars: std::collections::BTreeMap<String, String> = plain(&addons);
        addon_vars.retain(|key, _| key.parse::<EnvKey>().is_ok_and(|key| config.get(&key).is_none()));
        Ok(GetReply { vars: plain(&config), addon_vars })
    }

    pub(super) async fn change_config(self: &Arc<Self>, ask: &Ask, change: Change) -> Result<ChangeReply, Failure> {
        let app = self.app_for(&ask.actor, &change.app, Role::Deployer, "configure")?;
        // Checked before anything waits for a deploy that runs.
        let set = change
            .set
            .iter()
            .map(|(key, value)| Ok((key.parse::<EnvKey>()?, Secret::new(value.clone()))))
            .collect::<Result<Vec<_>, Failure>>()?;
        let unset = change.unset.iter().map(|key| key.parse::<EnvKey>()).collect::<Result<Vec<_>, _>>()?;
        let turn = self.turn(&app, &ask.lines, &ask.cancel).await?;
        let (base, before) = self.services.store.current_config(app.identity.number).await?;
        let mut config = before.clone();
        for key in &unset {
            if !config.unset(key) && before.get(key).is_none() {
                return Err(
                    Failure::new(Kind::NotFound, "config.not_set", format!("{key} is not set")).fix("see what is set with `paas config`")
                );
            }
        }
        for (key, value) in set {
            config.set(key, value)?;
        }
        let keys: Vec<String> = change.set.keys().chain(&change.unset).cloned().collect();
        if config == before {
            return Ok(ChangeReply { release: None, keys, unchanged: true });
        }
        let current = self.services.store.app(app.identity.number).await?.current;
        if change.no_restart || current.is_none() {
            let event = self.event(ask, EventCode::ConfigSaved, format!("config changed: {}", keys.join(", ")));
            self.services.store.save_config(app.identity.number, base, config, event).await?;
            return Ok(ChangeReply { release: None, keys, unchanged: false });
        }
        let cause = Cause::Config { keys: keys.clone(), set: !change.set.is_empty() };
        let release = self.release_config(ask, &app, config, cause, turn).await?;
        Ok(ChangeReply { release: Some(release), keys, unchanged: false })
    }

    async fn release_config(
        self: &Arc<Self>,
        ask: &Ask,
        app: &AppHandle,
        config: ConfigVars,
        cause: Cause,
        turn: Turn,
    ) -> Result<String, Failure> {
        let number = app.identity.number;
        let store = &self.services.store;
        let Some(current) = store.current_release(number).await? else {
            return Err(Failure::no_such_app(app.identity.name.as_str()));
        };
        let slug = self.slug_of(number, current.release.slug).await?;
        let config_version = store.insert_config(number, config, self.services.now_unix_ms()).await?;
        let formation = store.formation(number).await?;
        let keys = if let Cause::Config { keys, .. } = &cause { keys.join(", ") } else { String::new() };
        let release = self.insert_candidate(app, slug.id, config_version, formation, cause, ask.actor.name()).await?;
        let version = release.version;
        let underway = self.begin_work(number, turn);
        let switch = Switch {
            release,
            manifest: slug.manifest,
            release_phase: true,
            accept_5xx: false,
            undo: None,
            lines: ask.lines.clone(),
            cancel: underway.cancel(),
        };
        match underway.while_wanted(ask.cancel.clone(), self.switch(app, switch)).await {
            Ok(()) => Ok(version.to_string()),
            Err(failure) => {
                Err(refused_change(failure, &format!("{keys} not saved"), "look at `paas logs`, correct the value and set it again"))
            }
        }
    }
}
