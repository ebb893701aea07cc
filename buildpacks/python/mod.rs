//! Python with pip: an interpreter of the host, a virtual environment at `.venv`.

mod frameworks;
mod interpreter;
mod requirements;

use std::collections::BTreeMap;

use builder::plan::{BuildCommand, BuildPlan, Buildpack, CachePlan, EnvValue, Hint, KeyPart, PlanContext, PlanError, Restore, Stage};
use builder::toolchains::Interpreter;
use builder::{Problem, SourceTree};

use requirements::Requirements;

/// Raised whenever the same files would make another `.venv`.
const VERSION: &str = "1";
const VENV: &str = ".venv";
const VENV_PYTHON: &str = ".venv/bin/python";

/// requirements.txt and pip.
#[derive(Debug, Clone, Copy)]
pub struct Python;

impl Buildpack for Python {
    fn name(&self) -> &'static str {
        "python"
    }

    fn looks_for(&self) -> &'static str {
        "requirements.txt, .python-version, *.py"
    }

    fn detect(&self, tree: &dyn SourceTree, context: &PlanContext<'_>) -> Result<Option<BuildPlan>, PlanError> {
        let Some(reason) = reason(tree)? else { return Ok(None) };
        let requirements = Requirements::read(tree)?;
        let chosen = interpreter::choose(tree, context.toolchains.pythons())?;
        let mut plan = BuildPlan::new("python", "Python", reason);
        plan.interpreter = Some(format!("Python {}", chosen.interpreter.version));
        plan.steps.push(format!("Using Python {} ({})", chosen.interpreter.version, chosen.why));
        plan.warnings.extend(chosen.warning);
        plan.env = environment();
        plan.path = vec![format!("{VENV}/bin")];
        plan.host_paths = chosen.interpreter.host_path.iter().map(|path| path.display().to_string()).collect();
        plan.needs_postgresql = requirements.has_postgresql_driver();
        frameworks::start(tree, &requirements, &mut plan)?;
        stages(&mut plan, chosen.interpreter, &requirements)?;
        Ok(Some(plan))
    }
}

/// Why this is a Python app, if it is one.
fn reason(tree: &dyn SourceTree) -> Result<Option<String>, PlanError> {
    if tree.has_file("requirements.txt") {
        return Ok(Some("requirements.txt".to_owned()));
    }
    // Node.js apps have Python files, pins and lockfiles of tools lying around.
    if tree.has_file("package.json") {
        return Ok(None);
    }
    // Before the pins: `uv init` writes one, and the app needs what its lockfile names.
    for (name, export) in [
        ("uv.lock", "uv export --no-dev --no-emit-project -o requirements.txt"),
        ("poetry.lock", "poetry export -o requirements.txt"),
        ("Pipfile", "pipenv requirements > requirements.txt"),
        ("pyproject.toml", "pip-compile -o requirements.txt pyproject.toml"),
        ("setup.py", "echo . > requirements.txt"),
    ] {
        if tree.has_file(name) && (name != "pyproject.toml" || describes_a_project(tree)?) {
            let problem = Problem::new("python.no_requirements", format!("this is a Python app ({name}) without a requirements.txt"))
                .why("dependencies are installed with pip from requirements.txt; other tools are not supported yet")
                .fix(format!("write one and commit it: {export}"));
            return Err(problem.into());
        }
    }
    let is_module = |name: &String| name.strip_suffix(".py").is_some() && tree.has_file(name);
    let pin = [".python-version", "runtime.txt"].into_iter().find(|name| tree.has_file(name)).map(str::to_owned);
    Ok(match pin {
        Some(pin) => Some(pin),
        None => tree.names("")?.into_iter().find(is_module),
    })
}

/// Often pyproject.toml only holds the settings of a formatter.
fn describes_a_project(tree: &dyn SourceTree) -> Result<bool, PlanError> {
    let text = tree.text("pyproject.toml")?.unwrap_or_default();
    Ok(text.lines().any(|line| line.starts_with("[project") || line.starts_with("[tool.poetry")))
}

/// The language's good manners; config vars win over them.
fn environment() -> BTreeMap<String, String> {
    let pairs = [
        ("PYTHONUNBUFFERED", "1"),
        // `python jobs/clock.py` finds the app's own modules.
        ("PYTHONPATH", "/app"),
        // Only the router reaches the app, so what it says of the client is true.
        ("FORWARDED_ALLOW_IPS", "*"),
        ("GUNICORN_CMD_ARGS", "--access-logfile -"),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// A command of Python itself. Isolated, or a module of the app's could take the place of
/// one of Python's: many have an `email.py`.
fn isolated(python: &str, module: &str, arguments: &[&str]) -> BuildCommand {
    BuildCommand::new([python, "-I", "-m", module].iter().chain(arguments).copied()).env("PYTHONPATH", EnvValue::Text(String::new()))
}

fn stages(plan: &mut BuildPlan, python: &Interpreter, requirements: &Requirements) -> Result<(), PlanError> {
    let program = python.path.display().to_string();
    if !requirements.anything {
        plan.stages.push(Stage {
            title: "Making a virtual environment (no requirements: nothing to install)".to_owned(),
            doing: "making a virtual environment".to_owned(),
            commands: vec![isolated(&program, "venv", &["--clear", "--without-pip", VENV])],
            cache: None,
            timeout: None,
        });
        return Ok(());
    }
    let pip = python.installer.as_deref().ok_or_else(|| no_pip(python))?;
    let mut commands = if understands_other_pythons(pip) {
        vec![isolated(&program, "venv", &["--clear", "--without-pip", VENV]), install(&program, &["--python", VENV_PYTHON])]
    } else {
        vec![isolated(&program, "venv", &["--clear", VENV]), install(VENV_PYTHON, &[])]
    };
    // A slug has no times, so byte code must not be checked against them; made here,
    // it is not made again at each start. Packages ship files that no Python compiles.
    let compile = ["-q", "-j", "0", "--invalidation-mode", "unchecked-hash", ".venv/lib"];
    commands.push(BuildCommand { may_fail: true, ..isolated(VENV_PYTHON, "compileall", &compile) });
    let cache = (!requirements.local).then(|| cache(python, pip, requirements));
    if requirements.local {
        plan.warnings.push("requirements.txt installs from the repository itself: dependencies are installed anew at each push".to_owned());
    }
    plan.stages.push(Stage {
        title: "Installing dependencies (pip install -r requirements.txt)".to_owned(),
        doing: "installing dependencies".to_owned(),
        commands,
        cache: cache.as_ref().map(|cache| cache.name.clone()),
        timeout: None,
    });
    plan.caches.extend(cache);
    Ok(())
}

fn cache(python: &Interpreter, pip: &str, requirements: &Requirements) -> CachePlan {
    let mut key: Vec<KeyPart> = requirements.files.iter().map(|(name, content)| KeyPart::content(name, content)).collect();
    key.push(KeyPart::version("Python", python.version.to_string()));
    key.push(KeyPart::version("interpreter", python.path.display().to_string()));
    key.push(KeyPart::version("pip", pip));
    key.push(KeyPart::version("machine", std::env::consts::ARCH));
    key.push(KeyPart::version("buildpack", VERSION));
    CachePlan { name: "python".to_owned(), what: "dependencies".to_owned(), key, paths: vec![VENV.to_owned()], restore: Restore::Packed }
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
