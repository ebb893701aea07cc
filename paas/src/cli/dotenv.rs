//! Reads `.env` files: `NAME=value`, quotes, comments, values over several lines.
//!
//! A `$` stays a `$`: values go to the app unchanged, and nothing is looked up in the
//! environment of whoever imports them.

use std::collections::BTreeMap;

use api::{Failure, Kind};

/// The names and values; the last one of a name wins.
pub fn read(text: &str) -> Result<BTreeMap<String, String>, Failure> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut vars = BTreeMap::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let line_number = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            rest = after;
            continue;
        }
        let start = rest.trim_start();
        let start = start
            .strip_prefix("export")
            .filter(|more| more.starts_with([' ', '\t']))
            .map_or(start, |more| more.trim_start_matches([' ', '\t']));
        let name_length = start.find(['=', '\n']).unwrap_or(start.len());
        let name = start[..name_length].trim();
        let Some(value) = start[name_length..].strip_prefix('=') else { return Err(problem(line_number, "there is no `=` in it")) };
        if name.parse::<model::EnvKey>().is_err() {
            return Err(problem(
                line_number,
                "what stands before `=` is no name: letters, digits and underscores, not starting with a digit",
            ));
        }
        let (value, after) = read_value(value.trim_start_matches([' ', '\t'])).map_err(|why| problem(line_number, why))?;
        vars.insert(name.to_owned(), value);
        rest = after;
    }
    Ok(vars)
}

/// A value and what comes after its line.
fn read_value(text: &str) -> Result<(String, &str), &'static str> {
    let Some(quote @ ('"' | '\'' | '`')) = text.chars().next() else {
        let (line, after) = text.split_once('\n').unwrap_or((text, ""));
        return Ok((without_comment(line).to_owned(), after));
    };
    let (value, rest) = if quote == '"' { double_quoted(&text[1..])? } else { literal(&text[1..], quote)? };
    let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') { Ok((value, after)) } else { Err("there is something after the closing quote") }
}

/// An unquoted value ends before a comment that has a blank in front of it.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices('#').map(|(at, _)| at).find(|at| *at == 0 || line[..*at].ends_with([' ', '\t']));
    line[..comment.unwrap_or(line.len())].trim()
}

fn literal(text: &str, quote: char) -> Result<(String, &str), &'static str> {
    text.split_once(quote).map(|(value, rest)| (value.to_owned(), rest)).ok_or(NOT_CLOSED)
}

fn double_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut signs = text.chars();
    loop {
        match signs.next().ok_or(NOT_CLOSED)? {
            '"' => return Ok((value, signs.as_str())),
            '\\' => match signs.next().ok_or(NOT_CLOSED)? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                sign @ ('"' | '\\' | '$' | '`') => value.push(sign),
                sign => value.extend(['\\', sign]),
            },
            sign => value.push(sign),
        }
    }
}

const NOT_CLOSED: &str = "a quote is opened and never closed";

/// Never repeats the line: it may hold a secret.
fn problem(line: usize, why: &str) -> Failure {
    Failure::new(Kind::Usage, "dotenv.invalid", format!("line {line} of the .env file cannot be read"))
        .why(why)
        .fix("write NAME=value, or NAME=\"value\" for blanks at its ends, `#` and several lines; nothing was set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(read(text).expect(text), expected, "{text:?}");
    }

    #[test]
    fn the_common_forms_are_read() {
        check("", &[]);
        check("\u{feff}# comment\n\nA=1\r\nexport B = two \nexport\tC=3", &[("A", "1"), ("B", "two"), ("C", "3")]);
        check("A=x # comment\nB=x#y\nC=#none\nD=\nE= a b ", &[("A", "x"), ("B", "x#y"), ("C", ""), ("D", ""), ("E", "a b")]);
        check("A=\" x \" # comment\nB='it is $HOME'\nC=`\"'`", &[("A", " x "), ("B", "it is $HOME"), ("C", "\"'")]);
        check("A=a=b\nexportX=1\nexport=2", &[("A", "a=b"), ("exportX", "1"), ("export", "2")]);
        check("A=1\nA=2", &[("A", "2")]);
    }

    #[test]
    fn values_go_over_several_lines_and_stay_unchanged() {
        check(
            "KEY=\"-----BEGIN\nabc=\n-----END\"\nB='x\n# no comment\n'\nC=1",
            &[("KEY", "-----BEGIN\nabc=\n-----END"), ("B", "x\n# no comment\n"), ("C", "1")],
        );
        check(r#"A="a\nb\t\"c\" \\ \$x \d""#, &[("A", "a\nb\t\"c\" \\ $x \\d")]);
        check("A=$PATH ${B} ünï", &[("A", "$PATH ${B} ünï")]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_and_not_repeated() {
        for (text, line) in [
            ("A=1\nsecret words", 2),
            ("A='1\n2'\n1A=secret", 3),
            ("A=\"secret", 1),
            ("=secret", 1),
            ("A='x' secret", 1),
            ("A B=secret", 1),
        ] {
            let failure = read(text).expect_err(text);
            assert!(failure.what.starts_with(&format!("line {line} ")), "{text:?}: {}", failure.what);
            assert!(!format!("{failure:?}").contains("secret"), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([A-Z=\"'`#\\\\ \n]|é){0,60}") {
            let _ = read(&text);
        }

        #[test]
        fn a_quoted_value_comes_back(value in "[^\"\\\\\r]{0,40}") {
            let vars = read(&format!("K=\"{value}\"\n")).expect("read");
            proptest::prop_assert_eq!(vars.get("K"), Some(&value));
        }
    }
}
