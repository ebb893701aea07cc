//! A virtual environment at `.venv` with what pip puts into it.

use builder::plan::{BuildCommand, BuildPlan, CachePlan, EnvValue, Hint, KeyPart, PlanError, Restore, Stage};
use builder::toolchains::Interpreter;
use builder::{Problem, SourceTree};

use super::requirements::Requirements;

/// Raised whenever the same files would make another `.venv`.
const VERSION: &str = "1";
pub(super) const VENV: &str = ".venv";
pub(super) const VENV_PYTHON: &str = ".venv/bin/python";

/// A command of Python itself. Isolated, or a module of the app's could take the place of
/// one of Python's: many have an `email.py`.
fn isolated(python: &str, module: &str, arguments: &[&str]) -> BuildCommand {
    BuildCommand::new([python, "-I", "-m", module].iter().chain(arguments).copied()).env("PYTHONPATH", EnvValue::Text(String::new()))
}

/// Fills in what is run: Heroku's hooks around pip, and what a framework wants besides.
pub(super) fn stages(
    plan: &mut BuildPlan,
    python: &Interpreter,
    requirements: &Requirements,
    tree: &dyn SourceTree,
    collect: Option<Stage>,
) -> Result<(), PlanError> {
    let (before, after) = (hook(tree, "bin/pre_compile"), hook(tree, "bin/post_compile"));
    let anew = match (requirements.local, &before) {
        (true, _) => Some("requirements.txt installs from the repository itself"),
        (false, Some(_)) => Some("bin/pre_compile may change what is installed"),
        (false, None) => None,
    };
    let restore = match (&after, &collect) {
        (Some(_), _) => Restore::Unpacked,
        (None, Some(_)) => Restore::Read,
        (None, None) => Restore::Packed,
    };
    plan.stages.extend(before);
    let program = python.path.display().to_string();
    if requirements.anything {
        let pip = python.installer.as_deref().ok_or_else(|| no_pip(python))?;
        let cache = anew.is_none().then(|| cache(python, pip, requirements, restore));
        plan.warnings.extend(anew.map(|why| format!("{why}: dependencies are installed anew at each push")));
        plan.stages.push(Stage { cache: cache.as_ref().map(|cache| cache.name.clone()), ..dependencies(&program, pip) });
        plan.caches.extend(cache);
    } else {
        let venv = isolated(&program, "venv", &["--clear", "--without-pip", VENV]);
        let title = "Making a virtual environment (no requirements: nothing to install)";
        plan.stages.push(Stage::new(title, "making a virtual environment", vec![venv]));
    }
    plan.stages.extend(collect);
    plan.stages.extend(after);
    Ok(())
}

fn dependencies(program: &str, pip: &str) -> Stage {
    let mut commands = if understands_other_pythons(pip) {
        vec![isolated(program, "venv", &["--clear", "--without-pip", VENV]), install(program, &["--python", VENV_PYTHON])]
    } else {
        vec![isolated(program, "venv", &["--clear", VENV]), install(VENV_PYTHON, &[])]
    };
    // A slug has no times, so byte code must not be checked against them; made here,
    // it is not made again at each start. Packages ship files that no Python compiles.
    let compile = ["-q", "-j", "0", "--invalidation-mode", "unchecked-hash", ".venv/lib"];
    commands.push(BuildCommand { may_fail: true, ..isolated(VENV_PYTHON, "compileall", &compile) });
    Stage::new("Installing dependencies (pip install -r requirements.txt)", "installing dependencies", commands)
}

/// A script that the app brings for this moment. As on Heroku, it need not be executable.
fn hook(tree: &dyn SourceTree, path: &str) -> Option<Stage> {
    let run = format!("chmod +x {path} && exec {path}");
    let command = || BuildCommand::new(["sh", "-c", &run]).env("PYTHONDONTWRITEBYTECODE", EnvValue::Text("1".to_owned()));
    tree.has_file(path).then(|| Stage::new(format!("Running {path}"), &format!("running {path}"), vec![command()]))
}

fn cache(python: &Interpreter, pip: &str, requirements: &Requirements, restore: Restore) -> CachePlan {
    let mut key: Vec<KeyPart> = requirements.files.iter().map(|(name, content)| KeyPart::content(name, content)).collect();
    key.push(KeyPart::version("Python", python.version.to_string()));
    key.push(KeyPart::version("interpreter", python.path.display().to_string()));
    key.push(KeyPart::version("pip", pip));
    key.push(KeyPart::version("machine", std::env::consts::ARCH));
    key.push(KeyPart::version("buildpack", VERSION));
    CachePlan { name: "python".to_owned(), what: "dependencies".to_owned(), key, paths: vec![VENV.to_owned()], restore }
}

fn install(python: &str, options: &[&str]) -> BuildCommand {
    let text = |value: &str| EnvValue::Text(value.to_owned());
    isolated(python, "pip", &[options, &["install", "--no-compile", "-r", "requirements.txt"]].concat())
        .env("PIP_CACHE_DIR", EnvValue::CacheFolder("pip".to_owned()))
        .env("PIP_DISABLE_PIP_VERSION_CHECK", text("1"))
        .env("PIP_NO_INPUT", text("1"))
        .env("PIP_PROGRESS_BAR", text("off"))
        .env("PIP_ROOT_USER_ACTION", text("ignore"))
        .hints(hints())
}

fn hints() -> Vec<Hint> {
    let network = "the package index cannot be reached";
    vec![
        Hint::new("Invalid requirement", "a line of requirements.txt is no requirement", "write it as NAME==VERSION"),
        Hint::new(
            "pg_config executable not found",
            "psycopg2 compiles itself and needs PostgreSQL's headers",
            "require psycopg2-binary instead, or install the headers: apt install libpq-dev",
        ),
        Hint::new(
            "No matching distribution found",
            "a package of requirements.txt does not exist in that version, or not for this Python",
            "check its name and version, or pin another Python in .python-version",
        ),
        Hint::new(
            "ResolutionImpossible",
            "requirements.txt asks for versions that exclude each other",
            "loosen one of the versions named above",
        ),
        Hint::new(
            "gcc' failed",
            "a package compiles itself and this machine has no compiler or headers",
            "apt install build-essential python3-dev",
        ),
        Hint::new("Temporary failure in name resolution", network, "check the machine's DNS, then push again"),
        Hint::new("Failed to establish a new connection", network, "check the machine's network, then push again"),
        Hint::new("No space left on device", "the disk is full", Problem::MAKE_ROOM),
    ]
}

/// `pip --python` came with 22.3; it spares installing pip into every environment.
fn understands_other_pythons(pip: &str) -> bool {
    let mut parts = pip.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (22, 3)
}

fn no_pip(python: &Interpreter) -> Problem {
    Problem::new("host.no_pip", format!("Python {} of this machine has no pip", python.version))
        .why(format!("{} can import neither pip nor ensurepip", python.path.display()))
        .fix("apt install python3-venv")
}

#[cfg(test)]
mod tests {
    #[test]
    fn pip_is_installed_into_the_environment_only_by_old_pips() {
        for (version, understands) in [
            ("22.3", true),
            ("23.0.1", true),
            ("22.2.2", false),
            ("9.0.1", false),
            ("100.0", true),
            ("ensurepip 23.0.1", false),
            ("?", false),
        ] {
            assert_eq!(super::understands_other_pythons(version), understands, "{version}");
        }
    }
}
