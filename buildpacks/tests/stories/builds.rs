//! Real builds: git, pip and npm as the host has them.

use std::path::Path;
use std::process::Command;

use insta::assert_snapshot;

use crate::support::{Author, Outcome};

fn run(folder: &Path, program: &str, file: &str) -> String {
    let output = Command::new(folder.join(program)).arg(file).current_dir(folder).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn problem(outcome: &Outcome) -> String {
    assert!(!outcome.succeeded);
    outcome.told()
}

#[test]
fn a_python_app_is_built_once_and_reused_while_its_requirements_stay() {
    let author = Author::with_fixture("python", "one-dependency");
    let mut first = author.push(|_| ());
    assert_snapshot!(first.told(), @r"
    -----> Python app detected (requirements.txt)
    -----> Using Python N (the newest of this machine, since no .python-version pins one)
    -----> Installing dependencies (pip install -r requirements.txt)
           dependencies not reused: nothing is kept yet
    -----> Discovering process types
           Procfile declares types     -> web, worker
    -----> Compressing slug... done, N KB
    ");
    let (app, manifest) = first.unpacked();
    assert_eq!(run(app.path(), ".venv/bin/python", "app.py"), "1.17.0\n");
    assert_eq!(manifest.path, ["/app/.venv/bin"]);
    let compiled = Command::new("find").arg(app.path()).args(["-name", "six.*.pyc"]).output().expect("find");
    assert!(!compiled.stdout.is_empty(), "byte code is made while building");

    author.write("app.py", "import six\nprint('changed', six.__version__)\n");
    let mut second = author.push(|_| ());
    assert_snapshot!(second.told(), @r"
    -----> Python app detected (requirements.txt)
    -----> Using Python N (the newest of this machine, since no .python-version pins one)
    -----> Restoring cache: dependencies unchanged, reused (saved N s)
    -----> Discovering process types
           Procfile declares types     -> web, worker
    -----> Compressing slug... done, N KB
    ");
    let (app, _) = second.unpacked();
    assert_eq!(run(app.path(), ".venv/bin/python", "app.py"), "changed 1.17.0\n");

    author.write("requirements.txt", "six==1.16.0\n");
    let mut third = author.push(|_| ());
    assert!(third.steps().contains("dependencies not reused: requirements.txt changed\n"), "{}", third.steps());
    assert_eq!(run(third.unpacked().0.path(), ".venv/bin/python", "app.py"), "changed 1.16.0\n");
}

#[test]
fn the_same_source_and_dependencies_give_the_same_slug() {
    let author = Author::with_fixture("python", "one-dependency");
    let mut first = author.push(|spec| spec.commit = "a".repeat(40));
    let mut second = author.push(|spec| spec.commit = "a".repeat(40));
    assert!(second.steps().contains("reused"));
    assert!(first.bytes() == second.bytes(), "the slugs differ");
}

#[test]
fn a_python_app_without_dependencies_needs_no_pip() {
    let author = Author::with_fixture("python", "one-file-bot");
    let mut outcome = author.push(|_| ());
    assert_snapshot!(outcome.told(), @r"
    -----> Python app detected (bot.py)
    -----> Using Python N (the newest of this machine, since no .python-version pins one)
    -----> Making a virtual environment (no requirements: nothing to install)
    -----> Discovering process types
           Procfile declares types     -> worker
    -----> Compressing slug... done, N KB
    ");
    assert_eq!(run(outcome.unpacked().0.path(), ".venv/bin/python", "bot.py"), "hello\n");
}

#[test]
fn a_failed_install_says_why_and_keeps_nothing() {
    let author = Author::with_fixture("python", "a-package-that-does-not-exist");
    let outcome = author.push(|_| ());
    assert_snapshot!(problem(&outcome), @r"
    -----> Python app detected (requirements.txt)
    -----> Using Python N (the newest of this machine, since no .python-version pins one)
    -----> Installing dependencies (pip install -r requirements.txt)
           dependencies not reused: nothing is kept yet
     !     installing dependencies failed: `pythonN -I -m pip --python .venv/bin/python install --no-compile -r requirements.txt` exited N
     !     a package of requirements.txt does not exist in that version, or not for this Python
     !     check its name and version, or pin another Python in .python-version
    ");
    assert!(!author.cache().join("python.json").exists());
}

#[test]
fn a_node_app_is_built_once_and_reused_while_its_lockfile_stays() {
    let author = Author::with_fixture("node", "one-dependency");
    let mut first = author.push(|_| ());
    assert_snapshot!(first.told(), @r"
    -----> Node.js app detected (package.json)
    -----> Using Node.js N, npm N (the newest of this machine)
    -----> Installing dependencies (npm ci)
           dependencies not reused: nothing is kept yet
    -----> Discovering process types
           Default types for Node.js    -> web
    -----> Compressing slug... done, N KB
    ");
    let (app, manifest) = first.unpacked();
    let node = |folder: &Path| {
        let output = Command::new("node").arg("index.js").current_dir(folder).output().expect("node: apt install nodejs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(node(app.path()), "1m\n");
    assert_eq!(manifest.commands[&model::ProcessType::web()], "npm start");

    let mut second = author.push(|_| ());
    assert!(second.steps().contains("Restoring cache: dependencies unchanged, reused (saved "), "{}", second.steps());
    assert_eq!(node(second.unpacked().0.path()), "1m\n");
    let rebuilt = author.push(|spec| spec.use_cache = false);
    assert!(rebuilt.steps().contains("dependencies not reused: the cache was not asked"), "{}", rebuilt.steps());
}

#[test]
fn a_build_script_sees_dev_dependencies_and_the_slug_does_not() {
    let author = Author::with_fixture("node", "build-script");
    for round in ["installed", "reused"] {
        let mut outcome = author.push(|spec| {
            spec.config = [("API_TOKEN".to_owned(), "very-secret-token".to_owned())].into();
        });
        assert!(outcome.log().contains("       built with ******** production\n"), "{round}: {}", outcome.log());
        let (app, _) = outcome.unpacked();
        assert!(app.path().join("built.js").exists() && app.path().join("node_modules/ms").exists(), "{round}");
        assert!(!app.path().join("node_modules/wrappy").exists(), "{round}");
        assert_eq!(outcome.steps().contains("reused (saved"), round == "reused");
    }
}

#[test]
fn a_lockfile_that_disagrees_is_explained() {
    let outcome = Author::with_fixture("node", "out-of-sync").push(|_| ());
    assert_snapshot!(problem(&outcome), @r"
    -----> Node.js app detected (package.json)
    -----> Using Node.js N, npm N (the newest of this machine)
    -----> Installing dependencies (npm ci)
           dependencies not reused: nothing is kept yet
     !     installing dependencies failed: `npm ci --omit=dev` exited N
     !     package.json and package-lock.json do not agree
     !     run `npm install` and commit package-lock.json
    ");
}

#[test]
fn a_dry_run_shows_the_plan_and_builds_nothing() {
    let author = Author::with_fixture("node", "one-dependency");
    let mut outcome = author.push(|spec| spec.plan_only = true);
    assert!(outcome.succeeded);
    assert_snapshot!(outcome.told(), @r"
    -----> Node.js app detected (package.json)
    -----> Using Node.js N, npm N (the newest of this machine)
    -----> Would do: Installing dependencies (npm ci)
           dependencies not reused: nothing is kept yet
    ");
    assert!(outcome.bytes().is_empty());
}

#[test]
fn a_procfile_app_needs_no_build_and_names_what_vanishes() {
    let author = Author::with_fixture("procfile", "shell");
    let mut outcome = author.push(|spec| spec.formation = [("web".to_owned(), 2), ("worker".to_owned(), 1)].into());
    assert_snapshot!(outcome.told(), @r"
    -----> Procfile app detected (nothing to build)
    -----> Discovering process types
           Procfile declares types     -> worker
     !     web runs N and is no longer declared: it will be stopped
    -----> Compressing slug... done, N B
    ");
    let (app, manifest) = outcome.unpacked();
    assert_eq!(manifest.commands.keys().map(ToString::to_string).collect::<Vec<_>>(), ["worker"]);
    assert_eq!(run(app.path(), "bin/work", ""), "working\n");
}

#[test]
fn a_broken_procfile_is_told_with_its_place_before_anything_is_installed() {
    let outcome = Author::with_fixture("procfile", "broken").push(|_| ());
    assert_snapshot!(problem(&outcome), @r"
    !     Procfile:N:N: `web gunicorn app` is not a valid process type: N to N letters, digits, dashes and underscores, starting with a letter or digit
    !     web gunicorn app:app
    !     ^
    !     name the process type with letters, digits, `-` and `_`
    ");
}

#[test]
fn an_unknown_language_lists_what_is_looked_for() {
    let outcome = Author::with_fixture("procfile", "unknown").push(|_| ());
    assert_snapshot!(problem(&outcome), @r"
    !     no buildpack knows what to do with this app
    !     none of these is at the top of the repository: python (requirements.txt, .python-version, *.py); node (package.json); procfile (Procfile)
    !     add the file of your language, or a Procfile that starts a program of the repository; if the app is in a folder: paas apps:set root=FOLDER
    ");
}

#[test]
fn an_app_that_nothing_starts_is_refused_with_the_line_to_add() {
    let outcome = Author::with_fixture("node", "nothing-to-start").push(|_| ());
    assert_snapshot!(problem(&outcome), @r#"
    -----> Node.js app detected (package.json)
    -----> Using Node.js N, npm N (the newest of this machine)
    -----> package.json names no dependencies: nothing to install
     !     nothing says what to start
     !     there is no Procfile, and for Node.js no command is plain from the source
     !     add `"start": "node FILE"` to the scripts of package.json, or a Procfile with `web: node FILE`
    "#);
}

#[test]
fn a_committed_node_modules_is_replaced_and_an_ignored_file_left_out() {
    let author = Author::with_fixture("node", "one-dependency");
    std::fs::create_dir_all(author.checkout().join("node_modules/old")).expect("folder");
    author.write("node_modules/old/index.js", "");
    author.write("big.psd", "x");
    author.write(".slugignore", "*.psd\n");
    let mut outcome = author.push(|_| ());
    assert!(outcome.steps().contains(" !     node_modules is in the repository and is not used"), "{}", outcome.steps());
    let (app, _) = outcome.unpacked();
    assert!(!app.path().join("node_modules/old").exists() && !app.path().join("big.psd").exists());
}
