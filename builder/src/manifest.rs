//! The manifest inside a slug: first entry of its tarball, version 1.
//!
//! It is written by the build, so by the app's author: whoever reads it from outside
//! gets checked words and bounded lists, or an error.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::ControlFlow;

use model::author::AppJson;
use model::{EnvKey, ProcessType, SlugManifest};
use serde::{Deserialize, Serialize};

use crate::archive::{ArchiveError, Member, MemberKind, each_member};
use crate::limits;
use crate::source::names::check_path;

/// Where the manifest is in the tarball.
pub const PATH: &str = ".paas/manifest.json";
/// The version that is written. Every past one stays readable.
const VERSION: u32 = 1;

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The first entry of the tarball is something else.
    #[error("the slug does not begin with {PATH}")]
    Missing,
    /// Its JSON is not what was expected.
    #[error("its JSON is not understood")]
    Malformed(#[source] serde_json::Error),
    /// A later version of paas wrote it.
    #[error("version {0} is newer than this paas understands")]
    Newer(u32),
    /// A word in it does not follow its grammar.
    #[error("a word in it is not valid")]
    Word(#[source] model::Invalid),
    /// A list or text in it is over its limit, or a path is none.
    #[error("{0} is over its limit or not usable")]
    Limit(&'static str),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u32,
    buildpack: String,
    interpreter: Option<String>,
    source_version: String,
    commands: BTreeMap<String, String>,
    /// The author's `app.json`, as far as it matters once the app is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    app_json: Option<serde_json::Value>,
    env: BTreeMap<String, String>,
    path: Vec<String>,
    host_paths: Vec<String>,
    shared_libraries: Vec<String>,
    entries: u64,
    unpacked_bytes: u64,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

/// The manifest as its file holds it; equal manifests give equal bytes.
pub fn encode(manifest: &SlugManifest) -> Result<Vec<u8>, ManifestError> {
    let wire = Wire {
        version: VERSION,
        buildpack: manifest.buildpack.clone(),
        interpreter: manifest.interpreter.clone(),
        source_version: manifest.source_version.clone(),
        commands: manifest.commands.iter().map(|(name, command)| (name.to_string(), command.clone())).collect(),
        app_json: app_json(&manifest.app_json)?,
        env: manifest.env.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
        path: manifest.path.clone(),
        host_paths: manifest.host_paths.clone(),
        shared_libraries: manifest.shared_libraries.clone(),
        entries: manifest.entries,
        unpacked_bytes: manifest.unpacked_bytes,
    };
    let mut bytes = serde_json::to_vec_pretty(&wire).map_err(ManifestError::Malformed)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn app_json(app_json: &AppJson) -> Result<Option<serde_json::Value>, ManifestError> {
    let is_empty = *app_json == AppJson::default();
    (!is_empty).then(|| serde_json::from_str(&app_json.to_json()).map_err(ManifestError::Malformed)).transpose()
}

/// A manifest from the bytes of its file.
pub fn decode(bytes: &[u8]) -> Result<SlugManifest, ManifestError> {
    if bytes.len() as u64 > limits::MANIFEST_BYTES_MAX {
        return Err(ManifestError::Limit("its size"));
    }
    let VersionOnly { version } = serde_json::from_slice(bytes).map_err(ManifestError::Malformed)?;
    if version > VERSION {
        return Err(ManifestError::Newer(version));
    }
    checked(serde_json::from_slice(bytes).map_err(ManifestError::Malformed)?)
}

fn checked(wire: Wire) -> Result<SlugManifest, ManifestError> {
    let limit = |ok: bool, what| if ok { Ok(()) } else { Err(ManifestError::Limit(what)) };
    let command_ok = |c: &String| !c.trim().is_empty() && c.len() <= model::limits::COMMAND_BYTES_MAX && !c.contains('\0');
    limit((1..=model::limits::PROCESS_TYPES_MAX).contains(&wire.commands.len()), "its list of process types")?;
    limit(wire.commands.values().all(command_ok), "a command")?;
    let value_ok = |v: &String| v.len() <= model::limits::ENV_VALUE_BYTES_MAX && !v.contains('\0');
    limit(wire.env.len() <= limits::MANIFEST_ENV_MAX && wire.env.values().all(value_ok), "its environment")?;
    let lists = [&wire.path, &wire.host_paths, &wire.shared_libraries];
    limit(lists.iter().all(|list| list.len() <= limits::MANIFEST_LIST_MAX), "a list")?;
    let plain = |text: &str| text.len() <= limits::MANIFEST_TEXT_BYTES_MAX && !text.chars().any(model::text::is_unsafe);
    let texts = lists.into_iter().flatten().chain(&wire.interpreter).chain([&wire.buildpack]);
    limit(texts.into_iter().all(|text| plain(text)), "a text")?;
    let absolute = |path: &String| path.strip_prefix('/').is_some_and(|rest| check_path(rest.as_bytes()).is_ok()) && !path.contains(':');
    limit(wire.path.iter().chain(&wire.host_paths).all(absolute), "a path")?;
    let is_commit = wire.source_version.len() <= 64 && wire.source_version.bytes().all(|b| b.is_ascii_hexdigit());
    limit(is_commit, "its commit")?;
    limit(wire.entries <= limits::SLUG_ENTRIES_MAX, "its number of entries")?;
    limit(wire.unpacked_bytes <= limits::SLUG_UNPACKED_BYTES_MAX, "its unpacked size")?;
    let word = ManifestError::Word;
    let app_json =
        wire.app_json.map(|value| AppJson::parse(value.to_string().as_bytes()).map_err(|_| ManifestError::Limit("its app.json")));
    Ok(SlugManifest {
        commands: wire.commands.into_iter().map(|(t, c)| Ok((t.parse::<ProcessType>()?, c))).collect::<Result<_, _>>().map_err(word)?,
        app_json: app_json.transpose()?.map(|(app_json, _)| app_json).unwrap_or_default(),
        env: wire.env.into_iter().map(|(k, v)| Ok((k.parse::<EnvKey>()?, v))).collect::<Result<_, _>>().map_err(word)?,
        path: wire.path,
        buildpack: wire.buildpack,
        interpreter: wire.interpreter,
        host_paths: wire.host_paths,
        shared_libraries: wire.shared_libraries,
        source_version: wire.source_version,
        entries: wire.entries,
        unpacked_bytes: wire.unpacked_bytes,
    })
}

/// Reads the manifest of a slug, and no more of it than that takes.
pub fn read(slug: &mut impl Read) -> Result<SlugManifest, ArchiveError> {
    let mut manifest = None;
    each_member(flate2::read::MultiGzDecoder::new(slug), |mut member| {
        manifest = Some(of_member(&mut member)?);
        Ok(ControlFlow::Break(()))
    })?;
    manifest.ok_or_else(|| wrong(ManifestError::Missing))
}

/// The manifest from the first member of a slug.
pub(crate) fn of_member(member: &mut Member<'_>) -> Result<SlugManifest, ArchiveError> {
    if member.path != PATH.as_bytes() || !matches!(member.kind, MemberKind::File) {
        return Err(wrong(ManifestError::Missing));
    }
    if member.size > limits::MANIFEST_BYTES_MAX {
        return Err(wrong(ManifestError::Limit("its size")));
    }
    let mut bytes = Vec::new();
    member.content.read_to_end(&mut bytes).map_err(ArchiveError::Read)?;
    decode(&bytes).map_err(wrong)
}

fn wrong(error: ManifestError) -> ArchiveError {
    ArchiveError::Manifest(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> SlugManifest {
        SlugManifest {
            commands: [("web".parse().expect("type"), "gunicorn app:app".to_owned())].into(),
            app_json: AppJson::default(),
            env: [("PYTHONUNBUFFERED".parse().expect("key"), "1".to_owned())].into(),
            path: vec!["/app/.venv/bin".to_owned()],
            buildpack: "python".to_owned(),
            interpreter: Some("Python 3.11.7".to_owned()),
            host_paths: Vec::new(),
            shared_libraries: Vec::new(),
            source_version: "1a2b3c4d".repeat(5),
            entries: 7,
            unpacked_bytes: 1_234,
        }
    }

    #[test]
    fn a_manifest_survives_its_way() {
        assert_eq!(decode(&encode(&example()).expect("encodes")).expect("decodes"), example());
    }

    #[test]
    fn what_an_enemy_writes_is_refused() {
        let good = String::from_utf8(encode(&example()).expect("encodes")).expect("text");
        for (from, to) in [
            ("\"web\"", "\"we b\""),
            ("gunicorn app:app", " "),
            ("PYTHONUNBUFFERED", "A=B"),
            ("/app/.venv/bin", "/app/../etc"),
            ("/app/.venv/bin", "relative"),
            ("/app/.venv/bin", "/a:/b"),
            ("Python 3.11.7", "Py\\u001b[31m"),
            ("\"version\": 1", "\"version\": 2"),
            ("\"entries\": 7", "\"entries\": 99999999999"),
            ("\"entries\": 7", "\"entries\": -1"),
            ("\"entries\": 7", "\"surprise\": 1, \"entries\": 7"),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good, "{from}");
            assert!(decode(bad.as_bytes()).is_err(), "{to} was taken");
        }
    }

    #[test]
    fn what_app_json_says_travels_with_the_slug() {
        let text = br#"{"healthchecks": {"web": [{"type": "liveness", "path": "/live"}]}, "scripts": {"predeploy": "bin/x"}}"#;
        let manifest = SlugManifest { app_json: AppJson::parse(text).expect("read").0, ..example() };
        assert_eq!(decode(&encode(&manifest).expect("encoded")).expect("decoded"), manifest);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
            let _ = read(&mut bytes.as_slice());
        }
    }
}
