//! What authors do who come from Heroku, and what they are told to do, works.

use crate::support::Author;

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
    let (app, _) = author.push(|_| ()).unpacked();
    assert!(app.path().join("node_modules/ms").exists());
    assert!(!app.path().join("node_modules/wrappy").exists());
}

#[test]
fn a_module_named_like_one_of_pythons_is_the_apps_and_not_the_installers() {
    let author = Author::with_fixture("python", "one-dependency");
    author.write("email.py", "raise SystemExit('email.py of the app was imported')\n");
    let (_, manifest) = author.push(|_| ()).unpacked();
    let found = manifest.env.iter().find(|(name, _)| name.as_str() == "PYTHONPATH").map(|(_, value)| value.as_str());
    assert_eq!(found, Some("/app"), "as on Heroku, any script imports the app's modules");
}
