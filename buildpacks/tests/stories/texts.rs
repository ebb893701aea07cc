//! What a build tells its author to do is something that works.

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
