//! Names and texts in SQL.

use std::fmt;

/// A name of a database, role or schema: a letter and a number. Shows itself quoted, ready
/// for a statement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgIdent(String);

impl PgIdent {
    pub(super) fn numbered(letter: char, number: u32) -> Self {
        Self(format!("{letter}{number}"))
    }

    /// The bare name, for parameters and connection strings.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PgIdent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// A text as a literal of SQL, whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_stay_in_their_quotes() {
        assert_eq!(PgIdent::numbered('d', 17).to_string(), "\"d17\"");
        assert_eq!(literal("it's \\"), "E'it''s \\\\'");
    }
}
