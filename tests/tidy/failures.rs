//! docs/errors.md has every failure that the source can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::{TOP, files, is_rust, is_test, text, without_tests};

/// What makes a failure. `Self` is one of them where the types themselves live.
const CONSTRUCTORS: [&str; 6] =
    ["Failure::new(", "Problem::new(", "Problem::system(", "Self::new(", "Self::system(", "BuildFailure { code: "];
/// Codes of failures that were made elsewhere, and `invalid.…`, which the page explains.
const PASSED_ON: [&str; 4] = ["&problem.code", "failure.code.clone(", "code", "&code"];

/// What the source says of a code.
#[derive(Default)]
struct Code {
    kinds: BTreeSet<String>,
    what: Option<String>,
}

#[derive(Default)]
struct Codes {
    found: BTreeMap<String, Code>,
    /// Constructors whose code is no literal.
    unseen: Vec<String>,
}

impl Codes {
    fn read(&mut self, file: &Path, source: &str) {
        let is_home = ["impl Failure {", "impl Problem {"].iter().any(|home| source.contains(home));
        for constructor in CONSTRUCTORS.iter().filter(|constructor| is_home || !constructor.starts_with("Self")) {
            for (at, _) in source.match_indices(constructor).filter(|(at, _)| starts_a_word(source, *at)) {
                let rest = source[at + constructor.len()..].trim_start();
                let (kind, rest) = rest.strip_prefix("Kind::").and_then(|rest| rest.split_once(',')).unwrap_or((kind_of(file), rest));
                let rest = rest.trim_start();
                if self.add(kind, rest, &source[..at]) {
                    continue;
                }
                let code = rest.split([',', ')']).next().unwrap_or_default();
                match helper(&source[..at]).filter(|_| code == "code") {
                    Some(name) => self.read_calls(source, &name, kind),
                    None if PASSED_ON.contains(&code) => {}
                    None => self.unseen.push(format!("{}: {constructor}{code}", file.display())),
                }
            }
        }
    }

    /// Takes what a helper is called with.
    fn read_calls(&mut self, source: &str, name: &str, kind: &str) {
        let call = format!("{name}(");
        for (at, _) in source.match_indices(&call).filter(|(at, _)| starts_a_word(source, *at)) {
            self.add(kind, source[at + call.len()..].trim_start(), &source[..at]);
        }
    }

    /// Takes a code and what is told with it from the arguments of a constructor.
    fn add(&mut self, kind: &str, arguments: &str, before: &str) -> bool {
        let Some((code, rest)) = literal(arguments) else { return false };
        let rest = rest.strip_prefix(".to_owned()").unwrap_or(rest).trim_start_matches([',', ' ', '\n']);
        let rest = rest.strip_prefix("what: ").unwrap_or(rest);
        let rest = if rest.starts_with("what") { variable(before).unwrap_or(rest) } else { rest };
        let found = self.found.entry(code).or_default();
        found.kinds.insert(words(kind));
        found.what = found.what.take().or(literal(rest.strip_prefix("format!(").unwrap_or(rest)).map(|(what, _)| what));
        true
    }
}

/// The kind of a failure that names none: a build's, which fails, unless its source was not
/// even taken.
fn kind_of(file: &Path) -> &'static str {
    if file.starts_with("builder/src/source") { "Refused" } else { "Failed" }
}

/// The closure or function with a parameter `code` in whose first lines the source ends.
fn helper(before: &str) -> Option<String> {
    let lines = before.lines().rev().take(3);
    let heads = lines.filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("let ").and_then(|rest| rest.split_once(" = |")).or_else(|| line.split_once("fn ")?.1.split_once('('))
    });
    heads.into_iter().find(|(_, parameters)| parameters.starts_with("code")).map(|(name, _)| name.to_owned())
}

/// What the function in which the source ends last put into `what`.
fn variable(before: &str) -> Option<&str> {
    let function = before.rsplit("\n}\n").next()?;
    Some(function.rsplit_once("let what = ")?.1)
}

fn starts_a_word(source: &str, at: usize) -> bool {
    !source[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
}

/// The string literal that a piece of source starts with, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let end = inner.match_indices('"').map(|(at, _)| at).find(|at| !inner[..*at].ends_with('\\'))?;
    Some((inner[..end].replace("\\\"", "\""), &inner[end + 1..]))
}

/// `docs/errors.md` ends with this heading and the table of codes.
const CODES_HEADING: &str = "## Failure codes\n";

#[test]
fn every_failure_code_is_documented() {
    let mut codes = Codes::default();
    // The shim has failures of its own, which only the server reads.
    for file in files().into_iter().filter(|file| is_rust(file) && !is_test(file) && !file.starts_with("runner/shim")) {
        codes.read(&file, without_tests(&text(&file)));
    }
    assert!(codes.unseen.is_empty(), "no code can be read here: {:#?}", codes.unseen);
    let file = Path::new("docs/errors.md");
    let written = text(file);
    let mut table = String::from("\n| code | kind | what |\n|---|---|---|\n");
    for (code, Code { kinds, what }) in codes.found {
        let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
        let what = what.unwrap_or_else(|| "(says which)".to_owned()).replace('|', "\\|");
        writeln!(table, "| `{code}` | {kinds} | {what} |").expect("text in memory");
    }
    let (head, found) = written.split_once(CODES_HEADING).expect("the heading of the table");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(Path::new(TOP).join(file), format!("{head}{CODES_HEADING}{table}")).expect("docs/errors.md");
    } else {
        assert!(found == table, "docs/errors.md is not what the source says: UPDATE_DOCS=1 cargo test -p paas --test tidy");
    }
}

/// `NotFound` as people read it: `not found`.
fn words(kind: &str) -> String {
    let spread: String = kind.chars().flat_map(|c| c.is_uppercase().then_some(' ').into_iter().chain(c.to_lowercase())).collect();
    spread.trim().to_owned()
}
