//! What authors do who come from Heroku, and what they are told to do, works.

use std::path::Path;

use crate::support::Author;

fn set(name: &str, value: &str) -> std::collections::BTreeMap<String, String> {
    [(name.to_owned(), value.to_owned())].into()
}

/// Whether files are there.
fn are_there(app: &Path, files: &[&str]) -> Vec<bool> {
    files.iter().map(|file| app.join(file).exists()).collect()
}

#[test]
fn an_app_of_two_languages_says_how_the_other_is_built() {
    let author = Author::with_fixture("python", "assets-with-package-json");
    let first = author.push(|spec| spec.plan_only = true);
    assert!(first.steps().contains("also looks like Node.js (package.json); to build that, name requirements.txt in .slugignore\n"));

    author.write(".slugignore", "requirements.txt\n");
    let second = author.push(|spec| spec.plan_only = true);
    assert!(second.steps().starts_with("-----> Node.js app detected (package.json)\n"), "{}", second.steps());
}

#[test]
fn an_install_script_has_the_tools_of_development_and_the_slug_does_not() {
    let author = Author::with_fixture("node", "build-script");
    author.write(
        "package.json",
        r#"{
            "name": "built",
            "scripts": { "prepare": "node -e \"require('wrappy')\"", "start": "node index.js" },
            "dependencies": { "ms": "2.1.3" },
            "devDependencies": { "wrappy": "1.0.2" }
        }"#,
    );
    let packages = ["node_modules/ms", "node_modules/wrappy"];
    let (app, _) = author.push(|_| ()).unpacked();
    assert_eq!(are_there(app.path(), &packages), [true, false]);
    let (app, _) = author.push(|spec| spec.config = set("NPM_CONFIG_PRODUCTION", "false")).unpacked();
    assert_eq!(are_there(app.path(), &packages), [true, true], "kept on request");
}

#[test]
fn a_module_named_like_one_of_pythons_is_the_apps_and_not_the_installers() {
    let author = Author::with_fixture("python", "one-dependency");
    author.write("email.py", "raise SystemExit('email.py of the app was imported')\n");
    let (_, manifest) = author.push(|_| ()).unpacked();
    let found = manifest.env.iter().find(|(name, _)| name.as_str() == "PYTHONPATH").map(|(_, value)| value.as_str());
    assert_eq!(found, Some("/app"), "as on Heroku, any script imports the app's modules");
}

#[test]
fn static_files_of_django_are_collected_also_when_dependencies_are_reused() {
    let author = Author::with_fixture("python", "django");
    author.write("Procfile", "web: python -m shop\n");
    // Django itself is large: this one is named and not installed.
    author.write("requirements.txt", "six==1.17.0\ndjango ; python_version < '3'\n");
    author.write("shop/settings.py", "import os\nif 'SETTING' in os.environ:\n    STATIC_ROOT = 'collected'\n");
    author.write(
        "manage.py",
        "import os, sys, six, shop.settings\nassert sys.argv[1:] == ['collectstatic', '--noinput']\nos.mkdir(shop.settings.STATIC_ROOT)\n",
    );
    let files = ["collected", "shop/__pycache__", ".venv/bin/python"];
    for how in ["-----> Installing dependencies", "-----> Restoring cache: dependencies unchanged"] {
        let mut outcome = author.push(|spec| spec.config = set("SETTING", "1"));
        assert!(outcome.steps().contains(how), "{}", outcome.steps());
        assert!(outcome.steps().contains("-----> Collecting static files (manage.py collectstatic)\n"));
        assert_eq!(are_there(outcome.unpacked().0.path(), &files), [true, false, true]);
    }
    let mut without = author.push(|spec| spec.config = set("DISABLE_COLLECTSTATIC", "1"));
    assert_eq!(are_there(without.unpacked().0.path(), &files), [false, false, true]);
    let failed = author.push(|_| ());
    assert!(!failed.succeeded && failed.steps().contains(" !     set what the settings read as config vars"), "{}", failed.log());
}

#[test]
fn hooks_around_pip_run_with_what_was_installed() {
    let author = Author::with_fixture("python", "one-dependency");
    std::fs::create_dir(author.checkout().join("bin")).expect("folder");
    author.write("bin/pre_compile", "#!/bin/sh\necho before >said\n");
    author.write("bin/post_compile", "#!/bin/sh\npython -c 'import six' && echo after >>said\n");
    let mut outcome = author.push(|_| ());
    let (app, _) = outcome.unpacked();
    assert_eq!(std::fs::read_to_string(app.path().join("said")).expect("both ran"), "before\nafter\n");
    assert!(outcome.steps().contains("bin/pre_compile may change what is installed"), "{}", outcome.steps());
}

#[test]
fn what_an_install_script_puts_into_the_home_is_there_also_when_dependencies_are_reused() {
    let author = Author::with_fixture("node", "one-dependency");
    let package = author.checkout().join("package");
    std::fs::create_dir(&package).expect("folder");
    author.write(
        "package/package.json",
        r#"{"name": "browser", "version": "1.0.0", "scripts": {"install": "mkdir -p ~/.cache/browser && echo x >~/.cache/browser/program"}}"#,
    );
    author.run("tar", &["czf", "browser.tgz", "package"]);
    std::fs::remove_dir_all(package).expect("only its archive stays");
    author.run("npm", &["install", "--package-lock-only", "./browser.tgz"]);
    for how in ["-----> Installing dependencies", "-----> Restoring cache: dependencies unchanged"] {
        let mut outcome = author.push(|_| ());
        assert!(outcome.steps().contains(how), "{}", outcome.steps());
        assert_eq!(are_there(outcome.unpacked().0.path(), &[".cache/browser/program", "node_modules/browser"]), [true, true]);
    }
}
