//! Python with pip: an interpreter of the host, a virtual environment at `.venv`.

mod frameworks;
mod install;
mod interpreter;
mod requirements;

use std::collections::BTreeMap;

use builder::plan::{BuildPlan, Buildpack, PlanContext, PlanError};
use builder::{Problem, SourceTree};

use requirements::Requirements;

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
        plan.path = vec![format!("{}/bin", install::VENV)];
        plan.host_paths = chosen.interpreter.host_path.iter().map(|path| path.display().to_string()).collect();
        plan.needs_postgresql = requirements.has_postgresql_driver();
        frameworks::start(tree, &requirements, &mut plan)?;
        let collect = frameworks::static_files(tree, &requirements, context.config)?;
        install::stages(&mut plan, chosen.interpreter, &requirements, tree, collect)?;
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
