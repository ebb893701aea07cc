//! Small helpers around statements: rows become plain values before they leave.

use std::str::FromStr;

use model::{Invalid, SlugId};
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::StoreError;

/// Runs a statement that returns nothing; answers how many rows it changed.
pub(super) fn execute(db: &Connection, sql: &str, parameters: impl Params) -> Result<usize, StoreError> {
    Ok(db.prepare_cached(sql)?.execute(parameters)?)
}

/// All rows of a query.
pub(super) fn rows<T>(
    db: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    db.prepare_cached(sql)?.query_and_then(parameters, read)?.collect()
}

/// The first row of a query, if there is one.
pub(super) fn row<T>(
    db: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    db.prepare_cached(sql)?.query_and_then(parameters, read)?.next().transpose()
}

/// The single value of a query that always has one.
pub(super) fn value<T: rusqlite::types::FromSql>(db: &Connection, sql: &str, parameters: impl Params) -> Result<T, StoreError> {
    Ok(db.prepare_cached(sql)?.query_row(parameters, |row| row.get(0))?)
}

/// The single value of a query that may have none.
pub(super) fn value_if_any<T: rusqlite::types::FromSql>(
    db: &Connection,
    sql: &str,
    parameters: impl Params,
) -> Result<Option<T>, StoreError> {
    Ok(db.prepare_cached(sql)?.query_row(parameters, |row| row.get(0)).optional()?)
}

/// A column that holds a word of the model.
pub(super) fn word<T: FromStr<Err = Invalid>>(row: &Row<'_>, column: &'static str) -> Result<T, StoreError> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| StoreError::Unreadable { column, value: text })
}

/// A column that holds a slug's name.
pub(super) fn slug(row: &Row<'_>, column: &str) -> Result<SlugId, StoreError> {
    Ok(SlugId(row.get(column)?))
}

/// A column that holds a size in bytes.
pub(super) fn bytes(row: &Row<'_>, column: &'static str) -> Result<u64, StoreError> {
    let bytes: i64 = row.get(column)?;
    u64::try_from(bytes).map_err(|_| StoreError::Unreadable { column, value: bytes.to_string() })
}

/// A size in bytes as SQLite takes it.
pub(super) fn integer(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// How many rows a listing may return, as SQLite takes it.
pub(super) fn limit(wanted: usize) -> i64 {
    i64::try_from(wanted.min(super::limits::LISTED_ROWS_MAX)).unwrap_or(i64::MAX)
}

/// Cuts a text to at most `bytes` without splitting a character.
pub(super) fn cut(mut text: String, bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes));
    text
}
