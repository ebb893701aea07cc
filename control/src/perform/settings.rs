//! `ps:overlap` and `ps:limits`: what people set for a process type.

use api::ps::{Limits, Overlap, SettingsReply, SettingsRow};
use api::{Failure, Kind, Role};
use model::ProcessType;

use super::Ask;
use crate::app::AppHandle;
use crate::control::Control;
use crate::limits::{BOOT_TIMEOUT_S_MAX, SHOWN_WORD_CHARS_MAX, STOP_TIMEOUT_S_MAX};
use crate::store::{EventCode, TypeChange};

impl Control {
    pub(super) async fn overlap(&self, ask: &Ask, overlap: Overlap) -> Result<SettingsReply, Failure> {
        let app = self.app_for(&ask.actor, &overlap.app, Role::Deployer, "configure")?;
        let process_type: ProcessType = overlap.process_type.parse()?;
        let change = TypeChange { overlap: Some(overlap.on), ..TypeChange::default() };
        let text = format!("overlap of {process_type} is {}", if overlap.on { "on" } else { "off" });
        self.change_type(ask, &app, process_type, change, text).await
    }

    pub(super) async fn limits(&self, ask: &Ask, limits: Limits) -> Result<SettingsReply, Failure> {
        let changes = limits.boot_timeout.is_some() || limits.stop_timeout.is_some();
        let role = if changes { Role::Deployer } else { Role::Viewer };
        let app = self.app_for(&ask.actor, &limits.app, role, "configure")?;
        let process_type = limits.process_type.as_deref().map(str::parse::<ProcessType>).transpose()?;
        let Some(process_type) = process_type else {
            return if changes { Err(no_type()) } else { self.settings_of(&app, None).await };
        };
        if !changes {
            return self.settings_of(&app, Some(&process_type)).await;
        }
        if limits.boot_timeout.is_some() && !process_type.is_web() {
            return Err(Failure::new(Kind::Usage, "limits.not_for_type", format!("{process_type} has no boot timeout"))
                .why("only web has to answer on a port; other processes are up once they have run for 10 s")
                .fix("set it for web: paas ps:limits web --boot-timeout 120"));
        }
        let change = TypeChange {
            overlap: None,
            boot_timeout_s: limits.boot_timeout.as_deref().map(|word| seconds("boot timeout", word, BOOT_TIMEOUT_S_MAX)).transpose()?,
            stop_timeout_s: limits.stop_timeout.as_deref().map(|word| seconds("stop timeout", word, STOP_TIMEOUT_S_MAX)).transpose()?,
        };
        let told = [("boot timeout", change.boot_timeout_s), ("stop timeout", change.stop_timeout_s)];
        let told = told.iter().filter_map(|(name, value)| {
            let value = (*value)?.map_or_else(|| "the default".to_owned(), |s| format!("{s} s"));
            Some(format!("{name} of {process_type} is {value}"))
        });
        let text = told.collect::<Vec<_>>().join(", ");
        self.change_type(ask, &app, process_type, change, text).await
    }

    async fn change_type(
        &self,
        ask: &Ask,
        app: &AppHandle,
        process_type: ProcessType,
        change: TypeChange,
        text: String,
    ) -> Result<SettingsReply, Failure> {
        let event = self.event(ask, EventCode::ProcessesSet, text);
        self.services.store.change_type(app.identity.number, process_type.clone(), change, event).await?;
        app.reload();
        self.settings_of(app, Some(&process_type)).await
    }

    async fn settings_of(&self, app: &AppHandle, only: Option<&ProcessType>) -> Result<SettingsReply, Failure> {
        let (store, number) = (&self.services.store, app.identity.number);
        let settings = store.type_settings(number).await?;
        let formation = store.formation(number).await?;
        let types = formation.kept_up().filter(|(t, _)| only.is_none_or(|only| only == *t)).map(|(process_type, _)| {
            let of = settings.get(process_type).copied().unwrap_or_default();
            SettingsRow {
                process_type: process_type.to_string(),
                overlap: of.overlap.unwrap_or(process_type.is_web()),
                boot_timeout_s: of.boot_timeout_s,
                stop_timeout_s: of.stop_timeout_s,
            }
        });
        let types: Vec<_> = types.collect();
        match only {
            Some(only) if types.is_empty() => Err(crate::store::StoreError::NoSuchProcessType(only.clone()).into()),
            _ => Ok(SettingsReply { types }),
        }
    }
}

fn no_type() -> Failure {
    Failure::new(Kind::Usage, "limits.no_type", "which process type is not said").fix("name one: paas ps:limits web --stop-timeout 60")
}

/// `90`, or `default`.
fn seconds(name: &str, word: &str, most: u32) -> Result<Option<u32>, Failure> {
    if word == "default" {
        return Ok(None);
    }
    match word.parse::<u32>() {
        Ok(seconds) if (1..=most).contains(&seconds) => Ok(Some(seconds)),
        _ => {
            let shown = model::text::clean(word, SHOWN_WORD_CHARS_MAX);
            Err(Failure::new(Kind::Usage, "limits.bad_seconds", format!("`{shown}` is no {name}"))
                .fix(format!("give seconds from 1 to {most}, or `default`")))
        }
    }
}
