//! Commands that texts name.

use std::collections::BTreeSet;
use std::path::Path;

use super::{files, is_rust, is_test, text, without_tests};

/// Names and aliases of every command, as `paas/src/cli/arguments.rs` declares them.
fn commands() -> BTreeSet<String> {
    let source = text(Path::new("paas/src/cli/arguments.rs"));
    let (_, declared) = source.split_once("pub enum Command {\n").expect("the commands");
    let (declared, _) = declared.split_once("\n}\n").expect("their end");
    let mut commands = BTreeSet::from(["help".to_owned()]);
    let mut is_named = false;
    for line in declared.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        if line.starts_with("#[command(") {
            for key in ["name = \"", "alias = \""] {
                let names = line.match_indices(key).filter_map(|(at, _)| line[at + key.len()..].split('"').next());
                commands.extend(names.map(str::to_owned));
            }
            is_named = line.contains("name = ");
        } else {
            let variant = line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            if !is_named {
                commands.insert(variant.to_lowercase());
            }
            is_named = false;
        }
    }
    commands
}

/// The words after `paas` that a line gives out as commands: every one in backticks, and
/// anywhere those with a colon. `git push paas a:b` names refs.
fn named(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("paas ") {
        let word = line[at + "paas ".len()..].split(|c: char| !(c.is_ascii_lowercase() || ":_".contains(c))).next().unwrap_or_default();
        let word = word.trim_end_matches(':');
        let is_quoted = line[..at].ends_with('`') || line[..at].ends_with("`sudo ");
        if (word.contains(':') && !line[..at].ends_with("git push ")) || (is_quoted && !word.is_empty()) {
            found.push(word);
        }
    }
    found
}

#[test]
fn every_command_that_a_text_names_exists() {
    let commands = commands();
    assert!(["status", "apps:create", "create", "pg", "run", "internal"].iter().all(|name| commands.contains(*name)), "{commands:?}");
    let mut found = Vec::new();
    for file in files().into_iter().filter(|file| !is_test(file)) {
        let text = text(&file);
        let text = if is_rust(&file) { without_tests(&text) } else { &text };
        for (number, line) in text.lines().enumerate() {
            let unknown = named(line).into_iter().filter(|word| !commands.contains(*word));
            found.extend(unknown.map(|word| format!("{}:{}: paas {word}", file.display(), number + 1)));
        }
    }
    assert!(found.is_empty(), "these are no commands: {found:#?}");
}
