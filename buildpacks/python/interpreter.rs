//! Which Python of the host an app gets, and why.

use builder::plan::PlanError;
use builder::toolchains::{Interpreter, Version};
use builder::{Problem, SourceTree};

use crate::limits;

/// The interpreter and what is told about it.
#[derive(Debug)]
pub(super) struct Chosen<'a> {
    pub(super) interpreter: &'a Interpreter,
    pub(super) why: String,
    pub(super) warning: Option<String>,
}

/// What a pin file asks for: one to three numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pin {
    numbers: Vec<u32>,
    text: String,
    file: &'static str,
}

pub(super) fn choose<'a>(tree: &dyn SourceTree, pythons: &'a [Interpreter]) -> Result<Chosen<'a>, PlanError> {
    let pin = pin(tree)?;
    let Some(newest) = pythons.first() else {
        return Err(Problem::new("host.no_python", "this machine has no Python 3")
            .fix("apt install python3 python3-venv python3-pip")
            .into());
    };
    let Some(pin) = pin else {
        let why = "the newest of this machine, since no .python-version pins one".to_owned();
        return Ok(Chosen { interpreter: newest, why, warning: None });
    };
    let with = |numbers: &[u32]| pythons.iter().find(|python| agrees(python.version, numbers));
    if let Some(interpreter) = with(&pin.numbers) {
        return Ok(Chosen { interpreter, why: pin.file.to_owned(), warning: None });
    }
    let same_minor = if pin.numbers.len() == 3 { with(&pin.numbers[..2]) } else { None };
    if let Some(interpreter) = same_minor {
        let warning = format!("Python {} ({}) is not on this machine, {} is: used instead", pin.text, pin.file, interpreter.version);
        return Ok(Chosen { interpreter, why: format!("nearest to {} of {}", pin.text, pin.file), warning: Some(warning) });
    }
    Err(missing(&pin, pythons).into())
}

fn agrees(version: Version, numbers: &[u32]) -> bool {
    [version.major, version.minor, version.patch].iter().zip(numbers).all(|(have, want)| have == want)
}

fn missing(pin: &Pin, pythons: &[Interpreter]) -> Problem {
    let have: Vec<String> = pythons.iter().take(limits::SHOWN_VERSIONS_MAX).map(|python| python.version.to_string()).collect();
    let package = match pin.numbers.as_slice() {
        [major, minor, ..] => format!("install it on the machine (pyenv install {major}.{minor}, apt install python{major}.{minor})"),
        _ => "install it on the machine".to_owned(),
    };
    Problem::new("python.version_missing", format!("Python {} is not on this machine", pin.text))
        .why(format!("{} asks for it; there is {}", pin.file, have.join(", ")))
        .fix(format!("{package}, or change {}", pin.file))
        .file(pin.file)
}

/// The first pin file that says something.
fn pin(tree: &dyn SourceTree) -> Result<Option<Pin>, PlanError> {
    for file in [".python-version", "runtime.txt"] {
        let text = tree.text(file)?.unwrap_or_default();
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let Some((number, line)) = lines.into_iter().find(|(_, line)| !line.is_empty() && !line.starts_with('#')) else { continue };
        let text = line.strip_prefix("python-").unwrap_or(line);
        let numbers: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        return match numbers {
            Some(numbers) if numbers.len() <= 3 => Ok(Some(Pin { numbers, text: text.to_owned(), file })),
            _ => Err(Problem::new(
                "python.version_unclear",
                format!("{file}:{number}: `{}` is not a Python version", model::text::clean(line, 60)),
            )
            .fix("write 3, 3.11 or 3.11.7")
            .file(file)
            .at(number, 1)
            .into()),
        };
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use builder::MemoryTree;

    fn pythons() -> Vec<Interpreter> {
        let python = |minor, patch| Interpreter {
            path: format!("/usr/bin/python3.{minor}").into(),
            version: Version::new(3, minor, patch),
            installer: Some("24.0".to_owned()),
            host_path: None,
        };
        vec![python(13, 0), python(11, 7), python(11, 2), python(9, 18)]
    }

    fn choice(file: &'static str, text: &str) -> Result<(String, bool), String> {
        let pythons = pythons();
        let tree = MemoryTree::from([(file, text)]);
        choose(&tree, &pythons).map(|c| (c.interpreter.version.to_string(), c.warning.is_some())).map_err(|e| e.to_string())
    }

    #[test]
    fn pins_choose_exactly_or_within_the_minor_or_fail() {
        let ok = |version: &str, warned| Ok((version.to_owned(), warned));
        assert_eq!(choice(".python-version", "3.11\n"), ok("3.11.7", false));
        assert_eq!(choice(".python-version", "# pin\n3.11.2\n3.9\n"), ok("3.11.2", false));
        assert_eq!(choice(".python-version", "3.11.9"), ok("3.11.7", true));
        assert_eq!(choice(".python-version", "3"), ok("3.13.0", false));
        assert_eq!(choice("runtime.txt", "python-3.9.18"), ok("3.9.18", false));
        assert_eq!(choice("README", "3.9"), ok("3.13.0", false));
        assert_eq!(choice(".python-version", "3.14"), Err("Python 3.14 is not on this machine".to_owned()));
        assert_eq!(choice(".python-version", "pypy3.10"), Err(".python-version:1: `pypy3.10` is not a Python version".to_owned()));
        assert!(choose(&MemoryTree::from([("x", "")]), &[]).is_err());
    }

    #[test]
    fn a_missing_version_names_what_there_is() {
        let pythons = pythons();
        let error = choose(&MemoryTree::from([(".python-version", "2.7")]), &pythons).expect_err("missing").problem();
        assert_eq!(error.why.as_deref(), Some(".python-version asks for it; there is 3.13.0, 3.11.7, 3.11.2, 3.9.18"));
        assert!(error.fix.is_some());
    }
}
