//! The Procfile: `TYPE: COMMAND`, one per line.
//!
//! Read as leniently as Heroku reads it (CRLF, comments, no space after the colon,
//! the last of two equal types wins with a warning), but a line that means nothing
//! is an error with its place, because a forgotten process is found out too late.

use std::collections::BTreeMap;
use std::fmt;

use crate::text::is_unsafe;
use crate::{ProcessType, limits};

/// The commands of an app, by process type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Procfile {
    /// Command per process type.
    pub commands: BTreeMap<ProcessType, String>,
    /// What was odd but understood.
    pub warnings: Vec<ProcfileWarning>,
}

/// Something odd in a Procfile that was understood all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcfileWarning {
    /// Line, counted from 1.
    pub line: usize,
    /// What is odd, for people.
    pub text: String,
}

/// A Procfile that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcfileError {
    /// Line, counted from 1; 0 when the whole file is meant.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// The line as written, without control characters, cut.
    pub source_line: String,
    /// What is wrong.
    pub what: String,
    /// How to fix it.
    pub fix: String,
}

impl fmt::Display for ProcfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "Procfile: {}", self.what);
        }
        writeln!(f, "Procfile:{}:{}: {}", self.line, self.column, self.what)?;
        writeln!(f, "  {}", self.source_line)?;
        write!(f, "  {}^", " ".repeat(self.column.saturating_sub(1)))
    }
}

impl std::error::Error for ProcfileError {}

impl Procfile {
    /// Parses the bytes of a Procfile.
    ///
    /// ```
    /// let procfile = model::author::Procfile::parse(b"web: gunicorn app:app\n").unwrap();
    /// assert_eq!(procfile.commands.len(), 1);
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Self, ProcfileError> {
        let whole = |what: &str, fix: &str| ProcfileError {
            line: 0,
            column: 0,
            source_line: String::new(),
            what: what.to_owned(),
            fix: fix.to_owned(),
        };
        if bytes.len() > limits::PROCFILE_BYTES_MAX {
            return Err(whole("larger than 64 KiB", "move long commands into a script in bin/"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| whole("is not UTF-8 text", "save it as UTF-8 without a byte order mark"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut procfile = Self::default();
        for (index, line) in text.lines().enumerate() {
            procfile.line(index + 1, line)?;
        }
        if procfile.commands.is_empty() {
            return Err(whole("declares no process", "add a line such as `web: COMMAND`"));
        }
        Ok(procfile)
    }

    fn line(&mut self, number: usize, raw: &str) -> Result<(), ProcfileError> {
        let line = raw.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let indent = raw.chars().take_while(|c| c.is_whitespace()).count();
        let fail = |column: usize, what: String, fix: &str| {
            Err(ProcfileError {
                line: number,
                column,
                source_line: raw.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).take(120).collect(),
                what,
                fix: fix.to_owned(),
            })
        };
        let Some((name, command)) = line.split_once(':') else {
            return fail(indent + 1, "no `:` after the process type".to_owned(), "write it as `web: COMMAND`");
        };
        let name = name.trim_end();
        let process_type: ProcessType = match name.parse() {
            Ok(process_type) => process_type,
            Err(error) => return fail(indent + 1, error.to_string(), "name the process type with letters, digits, `-` and `_`"),
        };
        let command = command.trim();
        let column = indent + name.chars().count() + 2;
        if command.is_empty() {
            return fail(column, format!("`{process_type}` has no command"), "write the command after the colon");
        }
        if command.len() > limits::COMMAND_BYTES_MAX || command.contains('\0') {
            return fail(column, format!("the command of `{process_type}` is too long or holds a NUL"), "move it into a script in bin/");
        }
        if self.commands.insert(process_type.clone(), command.to_owned()).is_some() {
            let text = format!("`{process_type}` is declared twice, the last line counts");
            self.warnings.push(ProcfileWarning { line: number, text });
        }
        if self.commands.len() > limits::PROCESS_TYPES_MAX {
            return fail(1, "more than 64 process types".to_owned(), "split the app");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn types(text: &str) -> Vec<(String, String)> {
        let procfile = Procfile::parse(text.as_bytes()).expect("parses");
        procfile.commands.iter().map(|(t, c)| (t.to_string(), c.clone())).collect()
    }

    #[test]
    fn what_heroku_tolerates_is_read() {
        let text = "# a comment\r\nweb:gunicorn app:app\r\n\r\n  worker :  python w.py --x=a:b  \n";
        assert_eq!(
            types(text),
            [("web".to_owned(), "gunicorn app:app".to_owned()), ("worker".to_owned(), "python w.py --x=a:b".to_owned())]
        );
    }

    #[test]
    fn a_duplicate_counts_once_with_a_warning() {
        let procfile = Procfile::parse(b"web: a\nweb: b\n").expect("parses");
        assert_eq!(procfile.commands[&ProcessType::web()], "b");
        assert_eq!(procfile.warnings[0].line, 2);
    }

    #[test]
    fn an_error_names_line_and_column() {
        let error = Procfile::parse(b"web: a\n  wor ker: b\n").expect_err("bad type");
        assert_eq!((error.line, error.column), (2, 3));
        let error = Procfile::parse(b"web gunicorn").expect_err("no colon");
        insta::assert_snapshot!(error.to_string(), @r"
        Procfile:1:1: no `:` after the process type
          web gunicorn
          ^
        ");
        assert_eq!(Procfile::parse(b"web:   \n").expect_err("no command").line, 1);
        assert_eq!(Procfile::parse(b"\n# nothing\n").expect_err("empty").line, 0);
        assert_eq!(Procfile::parse(&[0xff, 0xfe]).expect_err("not text").line, 0);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Procfile::parse(&bytes);
        }

        #[test]
        fn a_valid_line_keeps_its_command(command in "[a-z][ -~]{0,60}[a-z]") {
            prop_assert_eq!(types(&format!("web: {command}\n")), vec![("web".to_owned(), command)]);
        }
    }
}
