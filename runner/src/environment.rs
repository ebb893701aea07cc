//! What a process of an app finds: its command, environment and manners. Pure.
//!
//! ```text
//! platform defaults < buildpack defaults < add-ons < one-off < config vars < platform facts
//! ```

use std::collections::BTreeMap;

use model::engine::{OneOffCommand, ReleaseTarget};
use model::{EnvKey, RunId};
use shim::notify::NOTIFY_SOCKET;

use crate::limits::{HOST_LABEL_CHARS_MAX, OPEN_FILES, WEB_WORKER_MIB};

const HOME: &str = "/app";
const DATA_DIR: &str = "/data";
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SIGTERM: i32 = 15;

/// Sourced in the shell that then becomes the command, so that signals reach it.
const PROFILE: &str = "for f in /app/.profile.d/*.sh; do [ -r \"$f\" ] && . \"$f\"; done; unset f; ";

/// What the machine offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Cores.
    pub cores: u64,
    /// `/bin/bash` is there.
    pub has_bash: bool,
}

/// One process to be started.
#[derive(Debug, Clone, Copy)]
pub struct Process<'a> {
    /// Its run.
    pub run: &'a RunId,
    /// Its release.
    pub release: &'a ReleaseTarget,
    /// Its command.
    pub command: &'a OneOffCommand,
    /// Its port (web only).
    pub port: Option<u16>,
    /// More environment of a one-off, below config vars.
    pub one_off_env: &'a BTreeMap<String, String>,
}

/// The whole order for the shim.
pub fn spec(process: &Process<'_>, machine: &Machine) -> shim::Spec {
    shim::Spec {
        argv: argv(process.command, machine.has_bash),
        env: env(process, machine).into_iter().map(|(key, value)| (key.into_bytes(), value.into_bytes())).collect(),
        working_directory: HOME.into(),
        stop_signal: SIGTERM,
        open_files: OPEN_FILES,
        hostname: hostname(process.run).into_bytes(),
        log_subject: Vec::new(),
        kept: Vec::new(),
    }
}

fn argv(command: &OneOffCommand, has_bash: bool) -> Vec<Vec<u8>> {
    let shell = if has_bash { "/bin/bash" } else { "/bin/sh" };
    let name = if has_bash { "bash" } else { "sh" };
    let (script, words) = match command {
        // A second shell reads the command, since `exec a && b` would not be what it says.
        OneOffCommand::Shell(line) => (format!("{PROFILE}exec {shell} -c \"$1\""), std::slice::from_ref(line)),
        OneOffCommand::Words(words) => (format!("{PROFILE}exec \"$@\""), words.as_slice()),
    };
    let fixed = [shell.to_owned(), "-c".to_owned(), script, name.to_owned()];
    fixed.into_iter().chain(words.iter().cloned()).map(String::into_bytes).collect()
}

fn env(process: &Process<'_>, machine: &Machine) -> BTreeMap<String, String> {
    let release = process.release;
    let mut env = BTreeMap::new();
    let mut set = |key: &str, value: String| {
        if !value.contains('\0') {
            env.insert(key.to_owned(), value);
        }
    };
    set("LANG", "C.UTF-8".to_owned());
    set("MEMORY_AVAILABLE", machine.memory_mib.to_string());
    set("WEB_CONCURRENCY", web_concurrency(machine).to_string());
    for (key, value) in release.manifest.env.iter().filter(|(key, _)| !EnvKey::is_reserved(key)) {
        set(key.as_str(), value.clone());
    }
    for (key, value) in release.addon_env.iter() {
        set(key.as_str(), value.reveal().to_owned());
    }
    for (key, value) in process.one_off_env {
        set(key, value.clone());
    }
    for (key, value) in release.config.iter() {
        set(key.as_str(), value.reveal().to_owned());
    }
    set("HOME", HOME.to_owned());
    set("DATA_DIR", DATA_DIR.to_owned());
    set("NOTIFY_SOCKET", NOTIFY_SOCKET.to_owned());
    set("DYNO", process.run.instance.name());
    set("APP", process.run.instance.app.to_string());
    set("RELEASE_VERSION", process.run.version.to_string());
    set("SOURCE_VERSION", release.manifest.source_version.clone());
    if let Some(port) = process.port {
        set("PORT", port.to_string());
    }
    let path = path(&release.manifest.path, env.get("PATH"));
    env.insert("PATH".to_owned(), path);
    env
}

/// The build's tools, then what the app wants, else the system's folders.
fn path(tools: &[String], wanted: Option<&String>) -> String {
    let tools = tools.iter().filter(|folder| folder.starts_with('/') && !folder.contains([':', '\0']));
    let rest = wanted.map_or(SYSTEM_PATH, String::as_str);
    tools.map(String::as_str).chain([rest]).collect::<Vec<_>>().join(":")
}

fn web_concurrency(machine: &Machine) -> u64 {
    (machine.memory_mib / WEB_WORKER_MIB).min(machine.cores).max(1)
}

/// A name of its own for each run: with the same name and the same process number
/// everywhere, `host:pid` ids of workers would collide.
fn hostname(run: &RunId) -> String {
    let tail = format!("-{}", run.number);
    let head: String = format!("{}-{}-{}", run.instance.app, run.instance.process_type, run.instance.ordinal)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(HOST_LABEL_CHARS_MAX.saturating_sub(tail.len()))
        .collect();
    format!("{head}{tail}")
}

#[cfg(test)]
#[path = "environment_tests.rs"]
mod tests;
