//! One entry of `healthchecks`, in Dokku's fields.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{AppJsonError, CheckAction, CheckKind, HealthCheck};
use crate::{ProcessType, limits};

/// What Dokku takes for the app's own port where none is named.
const DOKKU_PORT: u16 = 5_000;
/// Dokku's uptime where nothing else says what to check.
const DOKKU_UPTIME_S: u32 = 10;

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireCheck {
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Statuses>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    http_headers: Vec<WireHeader>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    listening: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    attempts: Option<u32>,
    timeout: Option<u32>,
    wait: Option<u32>,
    initial_delay: Option<u32>,
    #[serde(skip_serializing_if = "is_false")]
    warn: bool,
    #[serde(skip_serializing)]
    on_failure: Option<Value>,
    #[serde(skip_serializing)]
    description: Option<Value>,
    #[serde(flatten, skip_serializing)]
    other: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct WireHeader {
    name: String,
    value: String,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Statuses {
    One(u16),
    Many(Vec<u16>),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

pub(super) fn read_check(
    place: &str,
    process_type: &ProcessType,
    wire: &WireCheck,
    warnings: &mut Vec<String>,
) -> Result<HealthCheck, AppJsonError> {
    let fail = |field: &str, what: &str, fix: &str| AppJsonError::at(format!("{place}.{field}"), what, fix);
    warnings.extend(wire.other.keys().map(|key| format!("`{place}.{key}` is not known and does nothing")));
    if wire.on_failure.is_some() {
        warnings.push(format!("`{place}.onFailure` does nothing here: `paas events` and the log tell a failing check"));
    }
    if wire.scheme.as_deref().is_some_and(|scheme| scheme != "http") {
        return Err(fail("scheme", "checks speak plain HTTP, as the router does", "leave it out, or write \"http\""));
    }
    let kind = match wire.kind.as_str() {
        "" | "startup" => CheckKind::Startup,
        "readiness" => CheckKind::Readiness,
        "liveness" => CheckKind::Liveness,
        _ => return Err(fail("type", "not a kind of check", "write startup, readiness or liveness")),
    };
    let text_ok = |text: &str| text.len() <= limits::CHECK_TEXT_BYTES_MAX && !text.chars().any(crate::text::is_unsafe);
    if !wire.name.as_deref().is_none_or(text_ok) {
        return Err(fail("name", "too long, or holds control characters", "give it a short name"));
    }
    let number = |field: &str, value: Option<u32>, default: u32, range: std::ops::RangeInclusive<u32>| match value.unwrap_or(default) {
        value if range.contains(&value) => Ok(value),
        _ => Err(fail(field, "out of range", &format!("a number from {} to {}", range.start(), range.end()))),
    };
    let (attempts, timeout, delay) = (1..=limits::CHECK_ATTEMPTS_MAX, 1..=limits::CHECK_TIMEOUT_S_MAX, 0..=limits::CHECK_DELAY_S_MAX);
    let check = HealthCheck {
        kind,
        attempts: number("attempts", wire.attempts, limits::CHECK_ATTEMPTS, attempts)?,
        timeout_s: number("timeout", wire.timeout, limits::CHECK_TIMEOUT_S, timeout)?,
        wait_s: number("wait", wire.wait, limits::CHECK_WAIT_S, limits::CHECK_WAIT_S_MIN..=limits::CHECK_DELAY_S_MAX)?,
        initial_delay_s: number("initialDelay", wire.initial_delay, 0, delay)?,
        warn: wire.warn,
        port: None,
        name: wire.name.clone().filter(|name| !name.is_empty()),
        action: action(process_type, wire, &fail)?,
    };
    let needs_port = matches!(check.action, CheckAction::Http { .. } | CheckAction::Tcp);
    let port = match wire.port {
        Some(0) => return Err(fail("port", "not a port", "a number from 1 to 65535")),
        Some(DOKKU_PORT) if process_type.is_web() && needs_port => {
            warnings.push(format!("`{place}.port`: 5000 stands for the app's own port, so $PORT is checked"));
            None
        }
        port => port,
    };
    if needs_port && port.is_none() && !process_type.is_web() {
        return Err(fail("port", "only web has a $PORT", "name the port that it listens on"));
    }
    Ok(HealthCheck { port, ..check })
}

fn action(
    process_type: &ProcessType,
    wire: &WireCheck,
    fail: &dyn Fn(&str, &str, &str) -> AppJsonError,
) -> Result<CheckAction, AppJsonError> {
    let about_http = wire.status.is_some() || wire.content.as_ref().is_some_and(|c| !c.is_empty()) || !wire.http_headers.is_empty();
    let is_http = wire.path.as_ref().is_some_and(|path| !path.is_empty()) || about_http;
    let uptime = wire.uptime.filter(|seconds| *seconds > 0);
    let actions = [is_http, wire.listening, !wire.command.is_empty(), uptime.is_some()];
    if actions.iter().filter(|is_set| **is_set).count() > 1 {
        return Err(fail("path", "one check does one thing", "make a check each of path, listening, command and uptime"));
    }
    if let Some(seconds) = uptime {
        let range = 1..=limits::CHECK_DELAY_S_MAX;
        return range.contains(&seconds).then_some(CheckAction::Uptime(seconds)).ok_or_else(|| fail("uptime", "too long", "at most 3600"));
    }
    if wire.listening {
        return Ok(CheckAction::Tcp);
    }
    if !wire.command.is_empty() {
        let fits = |word: &String| word.len() <= limits::CHECK_TEXT_BYTES_MAX && !word.contains('\0');
        let usable = wire.command.len() <= limits::CHECK_WORDS_MAX && wire.command.iter().all(fits) && !wire.command[0].is_empty();
        return if usable {
            Ok(CheckAction::Command(wire.command.clone()))
        } else {
            Err(fail("command", "too long, or no program", "[\"bin/check\"]"))
        };
    }
    if is_http || process_type.is_web() { http(wire, fail) } else { Ok(CheckAction::Uptime(DOKKU_UPTIME_S)) }
}

fn http(wire: &WireCheck, fail: &dyn Fn(&str, &str, &str) -> AppJsonError) -> Result<CheckAction, AppJsonError> {
    let path = wire.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
    let is_path = path.starts_with('/') && path.len() <= limits::CHECK_TEXT_BYTES_MAX && path.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_path {
        return Err(fail("path", "not the path of a URL", "begin it with / and encode blanks as %20"));
    }
    let statuses = match &wire.status {
        None => Vec::new(),
        Some(Statuses::One(status)) => vec![*status],
        Some(Statuses::Many(statuses)) => statuses.clone(),
    };
    if statuses.len() > limits::CHECK_HEADERS_MAX || statuses.iter().any(|status| !(100..=599).contains(status)) {
        return Err(fail("status", "not a status code", "200, or [200, 204]"));
    }
    let content = wire.content.clone().filter(|content| !content.is_empty());
    if content.as_ref().is_some_and(|content| content.len() > limits::CHECK_TEXT_BYTES_MAX) {
        return Err(fail("content", "too long", "a few words that only the right page has"));
    }
    let token =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte));
    let line = |value: &str| value.len() <= limits::CHECK_TEXT_BYTES_MAX && value.bytes().all(|byte| byte >= b' ' && byte != 0x7f);
    let headers = &wire.http_headers;
    if headers.len() > limits::CHECK_HEADERS_MAX || !headers.iter().all(|header| token(&header.name) && line(&header.value)) {
        return Err(fail("httpHeaders", "not header lines", "[{\"name\": \"X-Check\", \"value\": \"1\"}]"));
    }
    let headers = headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect();
    Ok(CheckAction::Http { path, statuses, content, headers })
}

pub(super) fn write_check(check: &HealthCheck) -> Value {
    let mut wire = WireCheck {
        kind: check.kind.word().to_owned(),
        name: check.name.clone(),
        port: check.port,
        attempts: Some(check.attempts),
        timeout: Some(check.timeout_s),
        wait: Some(check.wait_s),
        initial_delay: Some(check.initial_delay_s),
        warn: check.warn,
        ..WireCheck::default()
    };
    match &check.action {
        CheckAction::Http { path, statuses, content, headers } => {
            wire.path = Some(path.clone());
            wire.status = (!statuses.is_empty()).then(|| Statuses::Many(statuses.clone()));
            wire.content.clone_from(content);
            wire.http_headers = headers.iter().map(|(name, value)| WireHeader { name: name.clone(), value: value.clone() }).collect();
        }
        CheckAction::Tcp => wire.listening = true,
        CheckAction::Command(words) => wire.command.clone_from(words),
        CheckAction::Uptime(seconds) => wire.uptime = Some(*seconds),
    }
    // Strings, numbers and lists of them: nothing that JSON cannot hold.
    serde_json::to_value(wire).unwrap_or_default()
}
