//! `app.json` as it is written: what is read leniently, what is an error, what is only told.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::check::{WireCheck, read_check, write_check};
use super::{AppJson, AppJsonError};
use crate::{ProcessType, limits};

/// Keys of Heroku and Dokku that have their meaning elsewhere or none on one's own machine.
const KNOWN_ELSEWHERE: [&str; 14] = [
    "$schema",
    "addons",
    "buildpacks",
    "cron",
    "description",
    "env",
    "environments",
    "image",
    "keywords",
    "logo",
    "name",
    "repository",
    "stack",
    "website",
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireScripts {
    predeploy: Option<String>,
    postdeploy: Option<String>,
    /// Dokku's own: its `predeploy` wins, its `postdeploy` is another than Heroku's.
    dokku: DokkuScripts,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DokkuScripts {
    predeploy: Option<String>,
    postdeploy: Option<String>,
}

#[derive(Deserialize)]
struct WireQuantity {
    quantity: Option<u32>,
}

/// Reads an author's `app.json`; returns what is odd in it too.
pub(super) fn parse(bytes: &[u8]) -> Result<(AppJson, Vec<String>), AppJsonError> {
    if bytes.len() > limits::APP_JSON_BYTES_MAX {
        return Err(AppJsonError::whole("larger than 256 KiB", "keep data in files of its own"));
    }
    let whole: Value = serde_json::from_slice(bytes).map_err(|error| AppJsonError::syntax(&error))?;
    let Value::Object(whole) = whole else { return Err(AppJsonError::whole("not an object", "write it as { \"healthchecks\": … }")) };
    let (mut app, mut warnings) = (AppJson::default(), Vec::new());
    for (key, value) in whole {
        match key.as_str() {
            "healthchecks" => app.checks = read_checks(value, &mut warnings)?,
            "formation" => app.formation = read_formation(value)?,
            "scripts" => read_scripts(value, &mut app, &mut warnings)?,
            known if KNOWN_ELSEWHERE.contains(&known) => {}
            unknown => warnings.push(format!("`{unknown}` is not known and does nothing")),
        }
    }
    Ok((app, warnings))
}

fn read_checks(value: Value, warnings: &mut Vec<String>) -> Result<BTreeMap<ProcessType, Vec<super::HealthCheck>>, AppJsonError> {
    let lists: BTreeMap<String, Vec<Value>> = from("healthchecks", value, "a list of checks for each process type")?;
    let mut checks = BTreeMap::new();
    for (name, list) in lists {
        let process_type = process_type(&format!("healthchecks.{name}"), &name)?;
        if list.len() > limits::CHECKS_PER_TYPE_MAX {
            let what = format!("more than {} checks", limits::CHECKS_PER_TYPE_MAX);
            return Err(AppJsonError::at(format!("healthchecks.{name}"), &what, "keep those that tell something different"));
        }
        let read = list.into_iter().enumerate().map(|(index, value)| {
            let place = format!("healthchecks.{name}[{index}]");
            let wire: WireCheck = from(&place, value, "an object such as {\"type\": \"liveness\", \"path\": \"/\"}")?;
            read_check(&place, &process_type, &wire, warnings)
        });
        let read = read.collect::<Result<_, _>>()?;
        checks.insert(process_type, read);
    }
    Ok(checks)
}

fn read_formation(value: Value) -> Result<BTreeMap<ProcessType, u32>, AppJsonError> {
    let entries: BTreeMap<String, WireQuantity> = from("formation", value, "{\"web\": {\"quantity\": 2}}")?;
    let mut formation = BTreeMap::new();
    for (name, entry) in entries {
        let place = format!("formation.{name}");
        let Some(quantity) = entry.quantity else { continue };
        if quantity > limits::INSTANCES_PER_TYPE_MAX {
            return Err(AppJsonError::at(place, &format!("{quantity} is too many"), "at most 100 of one type"));
        }
        formation.insert(process_type(&place, &name)?, quantity);
    }
    Ok(formation)
}

fn read_scripts(value: Value, app: &mut AppJson, warnings: &mut Vec<String>) -> Result<(), AppJsonError> {
    let scripts: WireScripts = from("scripts", value, "{\"predeploy\": \"COMMAND\"}")?;
    warnings.extend(scripts.other.keys().map(|key| format!("`scripts.{key}` is not known and does nothing")));
    app.predeploy = command("predeploy", scripts.dokku.predeploy.or(scripts.predeploy))?;
    app.postdeploy = command("dokku.postdeploy", scripts.dokku.postdeploy)?;
    app.first_postdeploy = command("postdeploy", scripts.postdeploy)?;
    Ok(())
}

fn command(name: &str, command: Option<String>) -> Result<Option<String>, AppJsonError> {
    match command {
        Some(command) if command.trim().is_empty() => Ok(None),
        Some(command) if command.len() > limits::COMMAND_BYTES_MAX || command.contains('\0') => {
            Err(AppJsonError::at(format!("scripts.{name}"), "too long, or holds a NUL", "move it into a script in bin/"))
        }
        command => Ok(command),
    }
}

/// Equal values give equal text, and [`parse`] reads it back without a warning.
pub(super) fn write(app: &AppJson) -> String {
    let mut whole = Map::new();
    if !app.checks.is_empty() {
        let lists = app.checks.iter().map(|(name, list)| (name.to_string(), list.iter().map(write_check).collect()));
        whole.insert("healthchecks".to_owned(), Value::Object(lists.collect()));
    }
    if !app.formation.is_empty() {
        let entries = app.formation.iter().map(|(name, quantity)| (name.to_string(), json!({ "quantity": quantity })));
        whole.insert("formation".to_owned(), Value::Object(entries.collect()));
    }
    let scripts = [("predeploy", &app.predeploy), ("postdeploy", &app.first_postdeploy)];
    let mut scripts: Map<String, Value> =
        scripts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_ref()?)))).collect();
    if let Some(text) = &app.postdeploy {
        scripts.insert("dokku".to_owned(), json!({ "postdeploy": text }));
    }
    if !scripts.is_empty() {
        whole.insert("scripts".to_owned(), Value::Object(scripts));
    }
    Value::Object(whole).to_string()
}

fn process_type(place: &str, name: &str) -> Result<ProcessType, AppJsonError> {
    name.parse()
        .map_err(|error: crate::Invalid| AppJsonError::at(place.to_owned(), &error.to_string(), "name a process type of the Procfile"))
}

fn from<T: for<'a> Deserialize<'a>>(place: &str, value: Value, shape: &str) -> Result<T, AppJsonError> {
    serde_json::from_value(value).map_err(|error| AppJsonError::at(place.to_owned(), &error.to_string(), &format!("write it as {shape}")))
}
