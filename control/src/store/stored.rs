//! JSON that lies in columns. Readable for ever: a new kind of cause is a new word.

use std::collections::BTreeMap;
use std::str::FromStr;

use model::author::AppJson;
use model::{Cause, Formation, ReleaseVersion, SlugManifest};
use serde::{Deserialize, Serialize};

use super::StoreError;

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum StoredCause {
    Deploy { commit: String },
    Config { keys: Vec<String>, set: bool },
    Rollback { to: u32 },
    Rebuild { commit: String },
}

/// A cause as it is stored.
pub(super) fn cause_text(cause: &Cause) -> Result<String, StoreError> {
    let stored = match cause.clone() {
        Cause::Deploy { commit } => StoredCause::Deploy { commit },
        Cause::Config { keys, set } => StoredCause::Config { keys, set },
        Cause::Rollback { to } => StoredCause::Rollback { to: to.0 },
        Cause::Rebuild { commit } => StoredCause::Rebuild { commit },
    };
    text("releases.cause", &stored)
}

/// Reads a stored cause.
pub(super) fn cause(text: &str) -> Result<Cause, StoreError> {
    let stored = serde_json::from_str(text).map_err(|_| StoreError::Unreadable { column: "releases.cause", value: text.to_owned() })?;
    Ok(match stored {
        StoredCause::Deploy { commit } => Cause::Deploy { commit },
        StoredCause::Config { keys, set } => Cause::Config { keys, set },
        StoredCause::Rollback { to } => Cause::Rollback { to: ReleaseVersion(to) },
        StoredCause::Rebuild { commit } => Cause::Rebuild { commit },
    })
}

/// A formation as it is stored.
pub(super) fn formation_text(formation: &Formation) -> Result<String, StoreError> {
    let counts: BTreeMap<&str, u32> = formation.0.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    text("releases.formation", &counts)
}

/// Reads a stored formation.
pub(super) fn formation(text: &str) -> Result<Formation, StoreError> {
    let unreadable = || StoreError::Unreadable { column: "releases.formation", value: text.to_owned() };
    let counts: BTreeMap<String, u32> = serde_json::from_str(text).map_err(|_| unreadable())?;
    let counts = counts.into_iter().map(|(name, count)| Ok((name.parse().map_err(|_| unreadable())?, count)));
    Ok(Formation(counts.collect::<Result<_, StoreError>>()?))
}

#[derive(Serialize, Deserialize)]
struct StoredManifest {
    commands: BTreeMap<String, String>,
    /// As the text of its own format.
    #[serde(default = "empty_object")]
    app_json: String,
    env: BTreeMap<String, String>,
    path: Vec<String>,
    buildpack: String,
    interpreter: Option<String>,
    host_paths: Vec<String>,
    shared_libraries: Vec<String>,
    source_version: String,
    entries: u64,
    unpacked_bytes: u64,
}

fn empty_object() -> String {
    "{}".to_owned()
}

/// A manifest as it is stored.
pub(super) fn manifest_text(manifest: &SlugManifest) -> Result<String, StoreError> {
    // Every field by name: a new one cannot be forgotten here.
    let SlugManifest {
        commands,
        app_json,
        env,
        path,
        buildpack,
        interpreter,
        host_paths,
        shared_libraries,
        source_version,
        entries,
        unpacked_bytes,
    } = manifest.clone();
    let stored = StoredManifest {
        commands: commands.into_iter().map(|(name, command)| (name.to_string(), command)).collect(),
        app_json: app_json.to_json(),
        env: env.into_iter().map(|(key, value)| (key.to_string(), value)).collect(),
        path,
        buildpack,
        interpreter,
        host_paths,
        shared_libraries,
        source_version,
        entries,
        unpacked_bytes,
    };
    text("slugs.manifest", &stored)
}

/// Reads a stored manifest.
pub(super) fn manifest(text: &str) -> Result<SlugManifest, StoreError> {
    let unreadable = || StoreError::Unreadable { column: "slugs.manifest", value: text.to_owned() };
    let stored: StoredManifest = serde_json::from_str(text).map_err(|_| unreadable())?;
    Ok(SlugManifest {
        commands: words(stored.commands).ok_or_else(unreadable)?,
        app_json: AppJson::parse(stored.app_json.as_bytes()).map_err(|_| unreadable())?.0,
        env: words(stored.env).ok_or_else(unreadable)?,
        path: stored.path,
        buildpack: stored.buildpack,
        interpreter: stored.interpreter,
        host_paths: stored.host_paths,
        shared_libraries: stored.shared_libraries,
        source_version: stored.source_version,
        entries: stored.entries,
        unpacked_bytes: stored.unpacked_bytes,
    })
}

fn words<T: FromStr + Ord>(texts: BTreeMap<String, String>) -> Option<BTreeMap<T, String>> {
    texts.into_iter().map(|(name, value)| Some((name.parse().ok()?, value))).collect()
}

fn text(column: &'static str, value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unreadable { column, value: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_and_formations_keep_the_form_that_they_were_stored_in() {
        let stored = [
            (r#"{"kind":"deploy","commit":"aa"}"#, Cause::Deploy { commit: "aa".into() }),
            (r#"{"kind":"config","keys":["K"],"set":true}"#, Cause::Config { keys: vec!["K".into()], set: true }),
            (r#"{"kind":"rollback","to":3}"#, Cause::Rollback { to: ReleaseVersion(3) }),
            (r#"{"kind":"rebuild","commit":"aa"}"#, Cause::Rebuild { commit: "aa".into() }),
        ];
        for (text, value) in stored {
            assert_eq!(cause_text(&value).expect("text"), text);
            assert_eq!(cause(text).expect("cause"), value);
        }
        let counts = formation(r#"{"web":2,"worker":0}"#).expect("formation");
        assert_eq!(formation_text(&counts).expect("text"), r#"{"web":2,"worker":0}"#);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_that_names_its_column() {
        for bad in ["", "{}", r#"{"kind":"later"}"#] {
            assert!(matches!(cause(bad), Err(StoreError::Unreadable { column: "releases.cause", .. })), "{bad}");
        }
        assert!(matches!(formation(r#"{"../x":1}"#), Err(StoreError::Unreadable { .. })));
    }
}
