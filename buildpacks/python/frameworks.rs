//! What frameworks want: Django its static files, and all of them a server when there is no
//! Procfile, if requirements.txt names one.

use std::collections::BTreeMap;
use std::io;

use builder::SourceTree;
use builder::plan::{BuildCommand, BuildPlan, EnvValue, Hint, Stage};

use super::install::VENV_PYTHON;
use super::requirements::Requirements;
use crate::limits;

/// A web application in a module at the top.
struct Application {
    /// `app:app`.
    target: String,
    is_async: bool,
}

/// Fills in the default command, or what to do where there is none.
pub(super) fn start(tree: &dyn SourceTree, requirements: &Requirements, plan: &mut BuildPlan) -> io::Result<()> {
    let django = if requirements.has("django") && tree.has_file("manage.py") { django_package(tree)? } else { None };
    let application = application(tree)?;
    let command = match (&django, &application) {
        (Some(package), _) if requirements.has("gunicorn") => Some(format!("gunicorn {package}.wsgi")),
        (None, Some(app)) if app.is_async && requirements.has_uvicorn() => {
            Some(format!("uvicorn {} --host 0.0.0.0 --port $PORT", app.target))
        }
        (None, Some(app)) if !app.is_async && requirements.has("gunicorn") => Some(format!("gunicorn {}", app.target)),
        (None, Some(app)) if !app.is_async && requirements.has("waitress") => {
            Some(format!("waitress-serve --listen=*:$PORT {}", app.target))
        }
        _ => None,
    };
    if let Some(command) = command {
        plan.default_commands.insert("web".to_owned(), command);
        return Ok(());
    }
    plan.start_hint = match (django, application) {
        (Some(package), _) => format!("add gunicorn to requirements.txt, then it is started with `web: gunicorn {package}.wsgi`"),
        (None, Some(app)) if app.is_async => {
            format!("add uvicorn to requirements.txt, then it is started with `web: uvicorn {} --host 0.0.0.0 --port $PORT`", app.target)
        }
        (None, Some(app)) => format!("add gunicorn to requirements.txt, then it is started with `web: gunicorn {}`", app.target),
        (None, None) => {
            let module = modules(tree)?.into_iter().next().unwrap_or_else(|| "main.py".to_owned());
            format!("add a Procfile, for a web app with `web: gunicorn MODULE:app`, for anything else with `worker: python {module}`")
        }
    };
    Ok(())
}

/// Django's static files, collected as on Heroku: where the settings say where to.
pub(super) fn static_files(
    tree: &dyn SourceTree,
    requirements: &Requirements,
    config: &BTreeMap<String, String>,
) -> io::Result<Option<Stage>> {
    let is_wanted = requirements.has("django") && tree.has_file("manage.py") && !config.contains_key("DISABLE_COLLECTSTATIC");
    if !is_wanted || !names_static_root(tree)? {
        return Ok(None);
    }
    let fix = "set what the settings read as config vars, or leave this step out: `paas config:set DISABLE_COLLECTSTATIC=1`";
    let hints = ["Traceback", "CommandError"].map(|shown| Hint::new(shown, "Django could not collect its static files", fix));
    // Byte code beside the sources would hold the time of this build.
    let command = BuildCommand::new([VENV_PYTHON, "manage.py", "collectstatic", "--noinput"])
        .env("PYTHONDONTWRITEBYTECODE", EnvValue::Text("1".to_owned()))
        .hints(hints.into());
    Ok(Some(Stage::new("Collecting static files (manage.py collectstatic)", "collecting static files", vec![command])))
}

/// Without `STATIC_ROOT` there is nowhere to collect them.
fn names_static_root(tree: &dyn SourceTree) -> io::Result<bool> {
    let mut settings = Vec::new();
    for package in tree.names("")?.into_iter().filter(|name| is_identifier(name)) {
        settings.push(format!("{package}/settings.py"));
        let parts = tree.names(&format!("{package}/settings"))?.into_iter().filter(|name| name.strip_suffix(".py").is_some());
        settings.extend(parts.map(|part| format!("{package}/settings/{part}")));
    }
    for file in settings.iter().filter(|file| tree.has_file(file)).take(limits::SEARCHED_MODULES_MAX) {
        let text = tree.text(file)?.unwrap_or_default();
        if text.lines().any(|line| line.trim_start().starts_with("STATIC_ROOT")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The package that holds `wsgi.py`.
fn django_package(tree: &dyn SourceTree) -> io::Result<Option<String>> {
    Ok(tree.names("")?.into_iter().find(|name| is_identifier(name) && tree.has_file(&format!("{name}/wsgi.py"))))
}

/// The first `NAME = Flask(…)` or `NAME = FastAPI(…)` of the modules at the top.
fn application(tree: &dyn SourceTree) -> io::Result<Option<Application>> {
    const CLASSES: [(&str, bool); 6] = [
        ("Flask(", false),
        ("flask.Flask(", false),
        ("FastAPI(", true),
        ("fastapi.FastAPI(", true),
        ("Starlette(", true),
        ("Quart(", true),
    ];
    for file in modules(tree)? {
        let text = tree.text(&file)?.unwrap_or_default();
        let found = text.lines().find_map(|line| {
            let (left, right) = line.split_once('=')?;
            let name = left.split(':').next().unwrap_or_default().trim_end();
            let (_, is_async) = CLASSES.iter().find(|(class, _)| right.trim_start().starts_with(class))?;
            is_identifier(name).then(|| (name.to_owned(), *is_async))
        });
        if let Some((name, is_async)) = found {
            let module = file.trim_end_matches(".py");
            return Ok(Some(Application { target: format!("{module}:{name}"), is_async }));
        }
    }
    Ok(None)
}

/// Modules at the top, the usual names first.
fn modules(tree: &dyn SourceTree) -> io::Result<Vec<String>> {
    let is_module = |name: &String| name.strip_suffix(".py").is_some_and(is_identifier) && tree.has_file(name);
    let mut modules: Vec<String> = tree.names("")?.into_iter().filter(is_module).collect();
    modules.sort_by_key(|name| !matches!(name.as_str(), "app.py" | "main.py" | "wsgi.py" | "asgi.py"));
    modules.truncate(limits::SEARCHED_MODULES_MAX);
    Ok(modules)
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
