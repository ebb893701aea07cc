//! What instances look like in replies.

use api::ps::{EndStory, InstanceRow};
use model::engine::{InstanceObserved, InstancePhase, LastEnd, ReleaseMode};
use model::text::milliseconds;

use crate::app::AppView;

/// `web 2/2 up`, one per process type that should run.
pub(super) fn process_words(view: &AppView) -> Vec<String> {
    if view.stopped {
        return vec!["stopped".to_owned()];
    }
    let wanted = view.formation.kept_up().filter(|(_, count)| *count > 0);
    wanted
        .map(|(process_type, count)| {
            let serving = shown(view).filter(|i| i.instance.process_type == *process_type);
            let up = serving.filter(|i| i.phase == InstancePhase::Ready).count();
            format!("{process_type} {up}/{count} up")
        })
        .collect()
}

/// The instances that people mean: of the current release, and what else is alive.
pub(super) fn shown(view: &AppView) -> impl Iterator<Item = &InstanceObserved> {
    view.observed.instances.iter().filter(|i| {
        Some(i.version) == view.current || i.run.is_some() || view.modes.get(&i.version).is_some_and(|m| *m != ReleaseMode::Retire)
    })
}

pub(super) fn instance_row(instance: &InstanceObserved) -> InstanceRow {
    InstanceRow {
        name: instance.instance.name(),
        release: instance.version.to_string(),
        state: instance.phase.word().to_owned(),
        since_unix_ms: instance.since_unix_ms,
        port: instance.port,
        shim_pid: instance.shim_pid,
        restarts: instance.restarts,
        check: instance.check.clone(),
        last_end: instance.last_end.as_ref().map(end_line),
        next_start_unix_ms: instance.next_start_unix_ms,
    }
}

/// `silent for 60 s (GET / timed out), killed by SIGKILL, ran 75 s`.
pub(super) fn end_line(end: &LastEnd) -> String {
    match end.reason {
        model::StopReason::Exited => format!("{} after {}", end.status, milliseconds(end.ran_ms)),
        _ => format!("{}, {}, ran {}", end.reason, end.status, milliseconds(end.ran_ms)),
    }
}

pub(super) fn end_story(end: &LastEnd) -> EndStory {
    EndStory {
        release: end.run.version.to_string(),
        reason: end.reason.to_string(),
        status: end.status.to_string(),
        code: end.reason.code().map(str::to_owned),
        at_unix_ms: end.at_unix_ms,
        ran_ms: end.ran_ms,
        last_lines: end.last_lines.clone(),
    }
}
