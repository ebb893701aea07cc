//! What to start when there is no Procfile: only a server that requirements.txt names.

use std::io;

use builder::SourceTree;
use builder::plan::BuildPlan;

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
        (None, Some(app)) if app.is_async && requirements.has("uvicorn") => {
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
