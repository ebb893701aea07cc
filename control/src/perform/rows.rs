//! What instances look like in replies.

use api::ps::{EndStory, InstanceRow, LeftRow, LookRow, ProbeRow};
use model::engine::{InstanceObserved, InstancePhase, KeptEnd, LastEnd, LeftBehind, ReleaseMode};
use model::text::milliseconds;
use model::{ProbeSeen, ThreadsAt};

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
    view.observed.instances.iter().map(AsRef::as_ref).filter(|i| {
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
        hint: instance.hint.as_ref().map(ToString::to_string),
        last_end: instance.last_end.as_ref().map(end_line),
        next_start_unix_ms: instance.next_start_unix_ms,
    }
}

pub(super) fn left_row(left: &LeftBehind) -> LeftRow {
    LeftRow { release: left.version.to_string(), what: left.leavings.told(), fix: left.leavings.command(&left.instance.app) }
}

/// `silent for 60 s (GET / timed out), killed by SIGKILL, ran 75 s`.
pub(super) fn end_line(end: &LastEnd) -> String {
    match end.reason {
        model::StopReason::Exited => format!("{} after {}", end.status, milliseconds(end.ran_ms)),
        _ => format!("{}, {}, ran {}", end.reason, end.status, milliseconds(end.ran_ms)),
    }
}

/// An end as the engine would keep it.
pub(super) fn kept(end: &LastEnd) -> KeptEnd {
    KeptEnd {
        instance: end.run.instance.name(),
        release: end.run.version.to_string(),
        run: end.run.number,
        status: end.status.to_string(),
        reason: end.reason.to_string(),
        code: end.reason.code().map(str::to_owned),
        at_unix_ms: end.at_unix_ms,
        ran_ms: end.ran_ms,
        last_lines: end.last_lines.clone(),
        flight: end.flight.clone(),
    }
}

pub(super) fn end_story(end: KeptEnd) -> EndStory {
    let flight = end.flight;
    let look = flight.looked_unix_ms.map(|at_unix_ms| LookRow {
        at_unix_ms,
        processes: flight.processes,
        memory_bytes: flight.memory.map(|memory| memory.bytes),
        memory_is_share: flight.memory.is_some_and(|memory| memory.is_share),
        memory_peak_bytes: flight.memory.and_then(|memory| memory.peak_bytes),
        open_files: flight.open_files,
        threads: flight.threads.iter().map(threads).collect(),
        peers: flight.peers,
    });
    let (hint, fix) = flight.hint.map(|hint| (hint.found, hint.fix)).unzip();
    let probe = |ProbeSeen { at_unix_ms, text, took_ms }| ProbeRow { at_unix_ms, text, took_ms };
    EndStory {
        release: end.release,
        run: end.run,
        reason: end.reason,
        status: end.status,
        code: end.code,
        at_unix_ms: end.at_unix_ms,
        ran_ms: end.ran_ms,
        last_lines: end.last_lines,
        hint,
        fix,
        out_of_memory: flight.out_of_memory,
        probes: flight.probes.into_iter().map(probe).collect(),
        look,
    }
}

/// `python3: 2 threads waiting in futex_wait_queue`
fn threads(at: &ThreadsAt) -> String {
    let count = if at.count == 1 { "1 thread".to_owned() } else { format!("{} threads", at.count) };
    let place = at.waits_in.as_ref().map(|place| format!(" in {place}")).unwrap_or_default();
    format!("{}: {count} {}{place}", at.name, at.state_word())
}
