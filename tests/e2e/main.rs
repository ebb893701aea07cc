//! The claims of paas, checked from outside through CLI, HTTP, SSH and git.
//!
//! `PAAS_TEST_MODE=root|rootless` says who starts the servers; without it the caller does.

#![expect(clippy::print_stderr, reason = "a failed test shows the logs of the servers that it started")]

#[path = "../support/mod.rs"]
mod support;

mod building;
mod cases;
mod chaos;
mod checks;
mod commands;
mod disk;
mod examples;
mod hanging;
mod hostile_trees;
mod interrupted;
mod leftovers;
mod operating;
mod port_doctor;
mod pushing;
mod refusals;
mod releases;
mod searching_logs;
mod ssh;
mod storage;
mod surviving;
mod switching;
mod type_settings;
mod watching;
