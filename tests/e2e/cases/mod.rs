//! The case list of supervision: what happens to processes on a real machine. Which claim
//! proves which row stands in `tests/cases.md`; the programs are in `tests/programs`.

mod bombs;
mod crowds;
mod ends;
mod floods;
mod inheritance;
mod machine;
mod starts;

use super::support::checkout::Checkout;
use super::support::{App, Host, small};

/// The text of a program of `tests/programs`.
macro_rules! program {
    ($name:literal) => {
        include_str!(concat!("../../programs/", $name))
    };
}
pub(crate) use program;

/// An app without a database, created and not yet pushed.
#[track_caller]
pub(crate) fn create<'h>(host: &'h Host, name: &str, procfile: &str, files: &[(&str, &str)]) -> App<'h> {
    let mut all = vec![("Procfile", procfile), ("bin/web", small::WEB)];
    all.extend(files);
    let checkout = Checkout::of_files(host, &all);
    host.paas_in(checkout.folder(), &["apps:create", name, "--no-database"]).expect_ok();
    App::new(name, checkout)
}

/// The small app with one more process type, which stands at 0.
#[track_caller]
pub(crate) fn serve_with<'h>(host: &'h Host, name: &str, process_type: &str, text: &str) -> App<'h> {
    let file = format!("bin/{process_type}");
    let app = create(host, name, &format!("web: bin/web\n{process_type}: {file}\n"), &[(&file, text)]);
    app.push().expect_accepted();
    assert_eq!(host.facts(name)["version"], "one");
    app
}

/// `paas ps:scale WORD`.
#[track_caller]
pub(crate) fn scale(app: &App<'_>, word: &str) {
    app.paas(&["ps:scale", word]).expect_ok();
}

/// Processes of a host with this word on their command line.
pub(crate) fn running(host: &Host, word: &str) -> Vec<u32> {
    let all = host.processes().into_iter();
    all.filter(|pid| super::support::processes::words(*pid).iter().any(|found| found == word)).collect()
}
