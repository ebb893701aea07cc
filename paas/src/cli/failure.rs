//! How a failure looks: what, why, fix, causes.

use api::Failure;

use super::text::{Color, lines, paint, plain};

/// The failure as lines for standard error.
pub fn render(failure: &Failure, color: bool) -> String {
    let what = failure.what.lines().enumerate().map(|(number, line)| {
        let mark = if number == 0 { paint(" !     ", Color::Red, color) } else { INDENT.to_owned() };
        format!("{mark}{}", plain(line))
    });
    let why = failure.why.iter().flat_map(|why| why.lines()).map(|line| format!("{INDENT}{}", plain(line)));
    let fix = failure.fix.iter().flat_map(|fix| fix.lines()).enumerate().map(|(number, line)| {
        let label = if number == 0 { paint("fix: ", Color::Bold, color) } else { "     ".to_owned() };
        format!("{INDENT}{label}{}", plain(line))
    });
    let causes = failure.causes.iter().map(|cause| paint(&format!("{INDENT}because: {}", plain(cause)), Color::Dim, color));
    lines(what.chain(why).chain(fix).chain(causes))
}

/// Seven blanks: the column where a problem's text begins.
const INDENT: &str = "       ";

#[cfg(test)]
mod tests {
    use api::Kind;

    use super::*;

    #[test]
    fn a_failure_says_what_why_and_how_to_fix_in_that_order() {
        let failure = Failure::new(Kind::Failed, "build.failed", "the build failed")
            .why("uv exited 2\nsee above")
            .fix("run `uv lock` and push again\nor \u{1b}[2Jpin it")
            .caused_by(&std::io::Error::other("gone"));
        insta::assert_snapshot!(render(&failure, false), @r"
         !     the build failed
               uv exited 2
               see above
               fix: run `uv lock` and push again
                    or pin it
               because: gone
        ");
        assert!(render(&failure, true).contains("\u{1b}[31m"));
    }
}
