//! Files that an app's author writes.

mod app_json;
mod procfile;

pub use app_json::{AppJson, AppJsonError, CheckAction, CheckKind, HealthCheck};
pub use procfile::{Procfile, ProcfileError, ProcfileWarning};
