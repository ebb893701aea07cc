use std::collections::BTreeSet;

use clap::{CommandFactory, Parser};

use super::*;

/// Operations that git or another command asks, not a command of their name.
const NOT_A_COMMAND: [&str; 1] = ["git"];

#[test]
fn the_grammar_of_the_command_line_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn every_operation_has_a_command_with_help() {
    let command = Arguments::command();
    let names: BTreeSet<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    for row in api::TABLE.iter().filter(|row| !NOT_A_COMMAND.contains(&row.name)) {
        assert!(names.contains(row.name), "{} has no command", row.name);
        let command = command.find_subcommand(row.name).expect(row.name);
        assert!(command.get_about().is_some(), "{} has no help", row.name);
    }
}

#[test]
fn an_unknown_command_names_the_nearest_one() {
    for (given, nearest) in [("ps:scal", "ps:scale"), ("app:create", "apps:create"), ("config:sett", "config:set"), ("lgos", "logs")] {
        let error = Arguments::try_parse_from(["paas", given]).expect_err(given);
        let fix = unknown_command(&error).fix.expect("fix");
        assert!(fix.contains(&format!("`paas {nearest}`")), "{given}: {fix}");
    }
}

#[test]
fn options_stand_before_or_behind_and_a_command_keeps_its_own() {
    let parsed = Arguments::try_parse_from(["paas", "run", "-a", "hello", "python", "-a", "x", "--json"]).expect("parsed");
    assert_eq!(parsed.globals.app.as_deref(), Some("hello"));
    assert!(!parsed.globals.json, "an option of the command was taken for ours");
    let parsed = Arguments::try_parse_from(["paas", "ps:scale", "web=2", "worker-1", "--app", "hello", "--json"]).expect("parsed");
    assert_eq!(parsed.globals.app.as_deref(), Some("hello"));
    assert!(parsed.globals.json);
}
