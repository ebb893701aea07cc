//! `checks` and `checks:run`.

use api::checks::{CheckRow, Checks, ChecksReply, InstanceChecks, Run, RunReply, TryRow};
use api::{Failure, Role};
use model::author::CheckKind;
use model::engine::{CheckObserved, CheckTried};

use super::Ask;
use super::rows::shown;
use crate::app::AppView;
use crate::control::Control;

impl Control {
    pub(super) fn checks(&self, ask: &Ask, checks: &Checks) -> Result<ChecksReply, Failure> {
        let app = self.app_for(&ask.actor, &checks.app, Role::Viewer, "look at")?;
        // The engine's newest: not every try is news to the app's task.
        let observed = self.services.engine.observed(&app.identity.name).borrow().clone();
        let view = AppView { observed, ..app.view.borrow().clone() };
        let instances = shown(&view).map(|instance| InstanceChecks {
            name: instance.instance.name(),
            release: instance.version.to_string(),
            state: instance.phase.word().to_owned(),
            status: instance.status.clone(),
            checks: instance.checks.iter().map(check_row).collect(),
        });
        Ok(ChecksReply { app: app.identity.name.to_string(), instances: instances.collect() })
    }

    pub(super) async fn try_checks(&self, ask: &Ask, run: Run) -> Result<RunReply, Failure> {
        let app = self.app_for(&ask.actor, &run.app, Role::Deployer, "check")?;
        let tries = self.services.engine.try_checks(&app.identity.name).await;
        Ok(RunReply { tries: tries.into_iter().map(try_row).collect() })
    }
}

fn kind_word(kind: Option<CheckKind>) -> String {
    kind.map_or("default", CheckKind::word).to_owned()
}

fn check_row(check: &CheckObserved) -> CheckRow {
    CheckRow {
        check: check.check.clone(),
        kind: kind_word(check.kind),
        rule: check.rule.clone(),
        warn: check.warn,
        state: check.state.word().to_owned(),
        since_unix_ms: check.since_unix_ms,
        answer: check.answer.clone(),
        took_ms: check.took_ms,
        failures: check.failures,
    }
}

fn try_row(tried: CheckTried) -> TryRow {
    TryRow {
        instance: tried.instance.name(),
        release: tried.version.to_string(),
        check: tried.check,
        kind: kind_word(tried.kind),
        request: tried.request,
        answer: tried.answer,
        passed: tried.passed,
        took_ms: tried.took_ms,
    }
}
