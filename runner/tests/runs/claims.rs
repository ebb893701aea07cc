//! What must be true, each tried in every mode.

use std::path::Path;

use crate::stage::{Stage, modes};

fn play(scenario: &str) {
    for mode in modes() {
        Stage::new(mode).play(scenario);
    }
}

fn number(path: &Path) -> i32 {
    std::fs::read_to_string(path).expect("a number").trim().parse().expect("a number")
}

#[test]
fn a_run_starts_quickly_as_its_own_user_in_a_world_of_its_own() {
    play("world");
}

#[test]
fn every_line_is_kept_whatever_its_length() {
    play("lines");
}

#[test]
fn exit_codes_and_signals_are_exact() {
    play("ends");
}

#[test]
fn a_command_that_cannot_be_executed_says_so() {
    play("not_executable");
}

#[test]
fn a_stop_is_polite_and_then_not() {
    play("stops");
}

#[test]
fn nothing_of_a_run_outlives_its_first_process() {
    play("grandchildren");
}

#[test]
fn what_an_app_writes_is_forgotten_and_removed() {
    play("layers");
}

#[test]
fn descriptors_and_a_terminal_reach_the_child() {
    play("descriptors");
}

#[test]
fn the_apps_processes_cannot_touch_their_supervisor() {
    play("supervisor");
}

#[test]
fn launch_binds_and_refuses_what_is_not_ours() {
    play("tasks");
}

#[test]
fn a_failed_start_leaves_nothing() {
    play("failed_start");
}

#[test]
fn everything_of_an_app_can_be_wiped() {
    play("wipe_app");
}

#[test]
fn many_runs_start_at_once() {
    play("many");
}

#[test]
fn a_run_outlives_whoever_started_it_and_is_adopted_as_the_same() {
    for mode in modes() {
        let mut stage = Stage::new(mode);
        stage.play("start_and_leave");
        stage.start_launch();
        stage.play("adopt_and_stop");
    }
}

#[test]
fn killing_a_shim_kills_its_app_and_is_seen_as_that() {
    for mode in modes() {
        let stage = Stage::new(mode);
        stage.play("start_and_leave");
        let shim = number(&stage.root().join("runs/1/last-shim"));
        let pid = rustix::process::Pid::from_raw(shim).expect("pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
        stage.play("adopt_lost");
    }
}

#[test]
fn a_process_that_got_the_number_of_a_shim_that_is_gone_is_left_alone() {
    for mode in modes() {
        let stage = Stage::new(mode);
        stage.play("start_and_leave");
        stage.play("adopt_stranger");
    }
}

#[test]
fn a_run_whose_shim_does_not_listen_is_adopted_and_can_be_killed() {
    for mode in modes() {
        let stage = Stage::new(mode);
        stage.play("start_and_leave");
        stage.play("adopt_mute");
    }
}

#[test]
fn a_held_lock_without_a_known_process_is_no_end_and_its_release_is_one() {
    for mode in modes() {
        let stage = Stage::new(mode);
        stage.play("start_and_leave");
        stage.play("adopt_unclear");
    }
}

#[test]
fn without_launch_nothing_starts_and_with_the_next_one_it_does() {
    for mode in modes() {
        let mut stage = Stage::new(mode);
        stage.play("start_and_leave");
        stage.stop_launch();
        stage.play("launch_gone");
        stage.start_launch();
        stage.play("adopt_and_stop");
    }
}

#[test]
fn a_command_inside_a_run_finds_what_the_apps_process_found() {
    play("join_world");
}

#[test]
fn the_end_of_a_command_inside_a_run_is_exact() {
    play("join_ends");
}

#[test]
fn a_command_inside_a_run_is_killed_with_everything_it_started_and_the_app_is_not() {
    play("join_kills");
}

#[test]
fn a_command_joins_no_run_but_the_one_of_its_app() {
    play("join_refusals");
}

#[test]
fn a_command_inside_a_run_has_a_terminal() {
    play("join_terminal");
}

#[test]
fn commands_inside_a_run_leave_nothing() {
    play("join_often");
}

#[test]
fn what_the_processes_of_a_run_say_of_themselves_is_heard_and_nobody_elses() {
    play("notify");
}

#[test]
fn a_flood_of_notifications_costs_its_sender_the_time() {
    play("notify_flood");
}

#[test]
fn a_server_that_was_away_hears_what_still_matters() {
    for mode in modes() {
        let stage = Stage::new(mode);
        stage.play("notify_restart_begin");
        stage.play("notify_restart_end");
    }
}

#[test]
fn a_run_reads_an_empty_input_and_keeps_no_zombies() {
    play("input_and_zombies");
}

#[test]
fn a_stop_reaches_what_has_made_namespaces_of_its_own() {
    play("own_namespaces");
}

#[test]
fn a_run_of_an_earlier_boot_is_over() {
    play("reboot");
}
