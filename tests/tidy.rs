//! What no compiler checks: who may import whom, how long files get, what may not be
//! written into the repository.

#[path = "tidy/cases.rs"]
mod cases;
#[path = "tidy/commands.rs"]
mod commands;
#[path = "tidy/failures.rs"]
mod failures;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Lines of a file, tests apart, above which it must be split.
const FILE_LINES_MAX: usize = 500;
/// Lines above which a warning is printed.
const FILE_LINES_WARNED: usize = 400;
/// Packages in Cargo.lock.
const PACKAGES_MAX: usize = 340;

/// Crate → the workspace crates that it imports, no more and no less (ARCHITECTURE.md,
/// "Rooms"). `paas` wires everything together and is not listed.
const LAYERS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("logs", &[]),
    ("shim", &["logs"]),
    ("launch", &["shim"]),
    ("api", &["model"]),
    ("addons", &["model"]),
    ("builder", &["model"]),
    ("buildpacks", &["builder", "model"]),
    ("control", &["api", "model"]),
    ("router", &["logs", "model"]),
    ("runner", &["launch", "logs", "model", "shim"]),
];

/// Crate → packages without which its room promises to do, the rooms that it imports
/// included.
const FORBIDDEN: &[(&str, &[&str])] =
    &[("model", &["tokio"]), ("api", &["tokio"]), ("buildpacks", &["tokio"]), ("launch", &["serde", "serde_json", "tokio"])];

/// Every file that git knows, relative to the top.
fn files() -> Vec<PathBuf> {
    let listed = Command::new("git").args(["-C", TOP, "ls-files", "--cached", "--others", "--exclude-standard"]).output();
    let listed = listed.expect("git is missing: apt install git");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).expect("file names");
    listed.lines().map(PathBuf::from).filter(|file| Path::new(TOP).join(file).is_file()).collect()
}

/// Text of a file; nothing for one that is not text.
fn text(file: &Path) -> String {
    fs::read_to_string(Path::new(TOP).join(file)).unwrap_or_default()
}

fn is_rust(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "rs")
}

/// The part of a file before its unit tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

fn is_test(file: &Path) -> bool {
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    file.components().any(|part| part.as_os_str() == "tests") || name == "tests.rs" || name.ends_with("_tests.rs")
}

fn metadata() -> serde_json::Value {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version=1", "--no-deps", "--manifest-path"]).arg(Path::new(TOP).join("Cargo.toml"));
    let output = command.output().expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON of cargo metadata")
}

/// Crate of the workspace → its direct dependencies; those of tests and build scripts apart.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let own = packages.iter().filter(|package| package["source"].is_null());
    let names = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().expect("dependencies").iter();
        let normal = all.filter(|dependency| dependency["kind"].is_null());
        normal.filter_map(|dependency| Some(dependency["name"].as_str()?.to_owned())).collect()
    };
    own.map(|package| (package["name"].as_str().expect("name").to_owned(), names(package))).collect()
}

#[test]
fn every_crate_imports_the_rooms_below_it_and_no_other() {
    let dependencies = dependencies();
    for (name, imports) in &dependencies {
        let Some((_, rooms)) = LAYERS.iter().find(|(layer, _)| layer == name) else {
            assert_eq!(name, "paas", "{name} has no room in ARCHITECTURE.md");
            continue;
        };
        let mut found: Vec<_> = imports.iter().filter(|import| dependencies.contains_key(*import)).collect();
        found.sort();
        assert_eq!(found, *rooms, "what {name} imports");
    }
}

/// `app.json` is JSON that an author wrote; every other type gets its wire form at the edge.
#[test]
fn model_knows_json_in_app_json_alone() {
    let elsewhere = |file: &&PathBuf| file.starts_with("model/src") && !file.to_string_lossy().starts_with("model/src/author/app_json");
    let found: Vec<_> = files().iter().filter(elsewhere).filter(|file| text(file).contains("serde")).cloned().collect();
    assert_eq!(found, Vec::<PathBuf>::new());
}

#[test]
fn rooms_that_promise_to_do_without_something_do() {
    let dependencies = dependencies();
    for (name, forbidden) in FORBIDDEN {
        let mut rooms = vec![*name];
        while let Some(room) = rooms.pop() {
            let found: Vec<_> = dependencies[room].iter().filter(|import| forbidden.contains(&import.as_str())).collect();
            assert!(found.is_empty(), "{name} must do without {found:?} of {room}");
            rooms.extend(dependencies[room].iter().filter(|import| dependencies.contains_key(*import)).map(String::as_str));
        }
    }
}

#[test]
fn no_file_is_too_long_to_be_read_at_once() {
    let mut too_long = Vec::new();
    for file in files().into_iter().filter(|file| is_rust(file)) {
        let lines = without_tests(&text(&file)).lines().count();
        if lines > FILE_LINES_WARNED {
            println!("{} has {lines} lines: think of splitting it", file.display());
        }
        if lines > FILE_LINES_MAX {
            too_long.push(format!("{}: {lines}", file.display()));
        }
    }
    assert!(too_long.is_empty(), "more than {FILE_LINES_MAX} lines without their tests: {too_long:#?}");
}

#[test]
fn no_file_names_a_folder_of_somebodys_machine() {
    // Written in two halves, or this file would find itself.
    let folders = [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/root/pro", "ject")];
    let mut found = Vec::new();
    for file in files() {
        for (number, line) in text(&file).lines().enumerate() {
            // Made-up accounts in tests and docs are nobody's machine.
            let line = line.replace(concat!("/ho", "me/anna"), "").replace(concat!("overlay's /wo", "rk/"), "");
            if folders.iter().any(|folder| starts_a_path(&line, folder)) {
                found.push(format!("{}:{}", file.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "absolute paths of a machine: {found:#?}");
}

/// Whether the folder stands in the line as the start of an absolute path.
fn starts_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}/".contains(c)))
}

#[test]
fn only_the_command_line_prints() {
    let prints =
        [concat!("print", "ln!("), concat!("eprint", "ln!("), concat!("eprint", "!("), concat!(" print", "!("), concat!("dbg", "!(")];
    let may_print = |file: &Path| {
        let name = file.to_string_lossy();
        is_test(file) || name.starts_with("paas/src/cli") || name.ends_with("build.rs")
    };
    let mut found = Vec::new();
    for file in files().into_iter().filter(|file| is_rust(file) && !may_print(file)) {
        for (number, line) in without_tests(&text(&file)).lines().enumerate() {
            if !line.trim_start().starts_with("//") && prints.iter().any(|print| line.contains(print)) {
                found.push(format!("{}:{}", file.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "only paas/src/cli prints: {found:#?}");
}

#[test]
fn tests_wait_for_conditions_and_never_for_a_fixed_time() {
    let sleeps = [concat!("sl", "eep(Duration"), concat!("sl", "eep(std"), concat!("thread::sl", "eep("), concat!("time::sl", "eep(")];
    let mut found = Vec::new();
    for file in files().into_iter().filter(|file| is_rust(file)) {
        let text = text(&file);
        let tests = if is_test(&file) { text.as_str() } else { &text[without_tests(&text).len()..] };
        // A paused clock only jumps: that is no waiting.
        if tests.contains("start_paused") {
            continue;
        }
        let lines: Vec<&str> = tests.lines().collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| sleeps.iter().any(|sleep| line.contains(sleep))) {
            if !paces_a_loop(&lines[..number], line) {
                found.push(format!("{}: {}", file.display(), line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "tests that sleep: {found:#?}");
}

/// Whether a line is in the body of a loop: it looks again and again, or acts slowly on purpose.
fn paces_a_loop(before: &[&str], line: &str) -> bool {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut outer = depth(line);
    for above in before.iter().rev().filter(|above| !above.trim().is_empty()) {
        if depth(above) < outer {
            outer = depth(above);
            let starts = above.trim_start();
            if ["for ", "while ", "loop {"].iter().any(|word| starts.starts_with(word)) {
                return true;
            }
        }
    }
    false
}

/// Only bodies of child processes stand aside: the test that each one names starts it, by name.
#[test]
fn every_ignored_test_runs_as_the_child_of_one_that_does() {
    let mut found = Vec::new();
    for file in files().into_iter().filter(|file| is_rust(file)) {
        let text = text(&file);
        for (at, start) in text.match_indices(concat!("#[igno", "re")) {
            let rest = &text[at + start.len()..];
            let parent = rest.strip_prefix(" = \"runs as the child of ").and_then(|rest| rest.split_once("\"]")).map(|(name, _)| name);
            if !parent.is_some_and(|name| text.contains(&format!("fn {name}(")) && text.contains("\"--ignored\"")) {
                found.push(format!("{}: {}", file.display(), rest.lines().next().unwrap_or_default()));
            }
        }
    }
    assert!(found.is_empty(), "ignored, and nothing runs them: {found:#?}");
}

#[test]
fn the_lockfile_does_not_grow_unnoticed() {
    let packages = text(Path::new("Cargo.lock")).matches("[[package]]").count();
    assert!(packages <= PACKAGES_MAX, "{packages} packages in Cargo.lock: which one is worth it?");
}

#[test]
fn every_example_says_what_it_shows_and_how() {
    for example in ["python-postgres", "node-web", "worker-and-clock", "discord-style-bot"] {
        let folder = Path::new("procfile-examples").join(example);
        assert!(text(&folder.join("README.md")).contains("git push paas main"), "{example}/README.md");
        assert!(!text(&folder.join("Procfile")).is_empty(), "{example}/Procfile");
        let lockfile = text(&folder.join("package-lock.json"));
        assert!(!lockfile.contains("\"resolved\""), "{example}: its lockfile names a registry");
    }
}
