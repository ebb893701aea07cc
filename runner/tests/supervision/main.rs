//! The whole runner with real processes: a slug is unpacked, a web process serves, a
//! server goes and the next one finds everything again. As root and in user namespaces.

mod scenarios;
#[path = "../runs/stage.rs"]
mod stage;

use std::sync::atomic::{AtomicU16, Ordering};

use stage::{Mode, Stage, modes};

/// Ports of one stage.
pub(crate) const PORTS: u16 = 10;
/// Stages of this binary at most.
const STAGES: u16 = 10;

/// A stage with ports of its own: in user namespaces all apps of the box have one user,
/// and one stage would take the other's listener for its own.
fn stage_of(mode: Mode) -> Stage {
    static STAGE: AtomicU16 = AtomicU16::new(0);
    let stage = Stage::new(mode);
    let test = u16::try_from(std::process::id() % 80).expect("small");
    let first = 24_000 + (test * STAGES + STAGE.fetch_add(1, Ordering::Relaxed) % STAGES) * PORTS;
    std::fs::write(stage.root().join("first-port"), first.to_string()).expect("written");
    stage
}

#[test]
fn a_slug_serves_and_the_next_server_finds_it_again() {
    for mode in modes() {
        let stage = stage_of(mode);
        stage.play("serve_and_leave");
        stage.play("return_and_stop");
    }
}

#[test]
fn what_no_target_wants_is_stopped_by_the_next_server() {
    for mode in modes() {
        let stage = stage_of(mode);
        stage.play("serve_and_leave");
        stage.play("unclaimed");
    }
}

#[test]
fn a_run_that_cannot_be_judged_is_not_started_a_second_time() {
    for mode in modes() {
        let stage = stage_of(mode);
        stage.play("serve_and_leave");
        stage.play("return_unclear");
    }
}

#[test]
fn a_destroyed_app_takes_its_one_offs_along() {
    for mode in modes() {
        stage_of(mode).play("destroy");
    }
}

#[test]
fn a_candidate_that_crashes_says_why_with_its_last_words() {
    for mode in modes() {
        stage_of(mode).play("crash");
    }
}
