//! Names in SQL.

use std::fmt;

use crate::limits::IDENTIFIER_BYTES_MAX;

/// A name of a database, role or schema. Shows itself quoted, ready for a statement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgIdent(String);

/// A name that PostgreSQL would cut or cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a PostgreSQL name has 1 to 63 bytes and no NUL")]
pub struct InvalidIdent;

impl PgIdent {
    /// Any name that PostgreSQL keeps as it is.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidIdent> {
        let name = name.into();
        if name.is_empty() || name.len() > IDENTIFIER_BYTES_MAX || name.contains('\0') {
            return Err(InvalidIdent);
        }
        Ok(Self(name))
    }

    /// A letter and a number, which needs no check.
    pub(crate) fn numbered(letter: char, number: u32) -> Self {
        Self(format!("{letter}{number}"))
    }

    /// The bare name, for parameters and connection strings.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PgIdent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A text as a literal of SQL, whatever `standard_conforming_strings` says.
pub(crate) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        let name = PgIdent::new("a\"; DROP DATABASE d1; --").expect("valid");
        assert_eq!(name.to_string(), "\"a\"\"; DROP DATABASE d1; --\"");
        assert_eq!(literal("it's \\"), "E'it''s \\\\'");
    }

    #[test]
    fn a_name_that_would_be_cut_is_refused() {
        for bad in [String::new(), "a\0b".to_owned(), "x".repeat(64)] {
            assert!(PgIdent::new(bad).is_err());
        }
        assert!(PgIdent::new("x".repeat(63)).is_ok());
    }
}
