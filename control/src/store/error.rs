//! What can go wrong in the store. The words for people are in `failure.rs`.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use model::{AppName, AppNumber, KeptPath, ProcessType, ReleaseVersion, SlugId};
use rusqlite::ErrorCode;

/// An error of the store. Whatever fails inside a transaction leaves nothing behind.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk has no room for this change. Nothing of it was kept.
    #[error("the disk is full")]
    DiskFull {
        /// SQLite's own words.
        source: rusqlite::Error,
    },
    /// The file cannot be trusted. It is left as it is.
    #[error("the database {path:?} is damaged: {detail}")]
    Corrupt {
        /// The file; empty for a database in memory.
        path: PathBuf,
        /// What was found.
        detail: String,
        /// SQLite's own words, if it noticed by itself.
        source: Option<rusqlite::Error>,
    },
    /// A later paas has written it.
    #[error("the database {path:?} has format {found}, this paas knows formats up to {known}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this binary knows.
        known: u32,
    },
    /// It is a SQLite database, but not one of paas.
    #[error("{path:?} is a database of another program")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another server has it open.
    #[error("the database {path:?} is open in another server")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A file or folder of the store cannot be made, read or locked.
    #[error("cannot {doing} {path:?}")]
    File {
        /// The step, as in "cannot …".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The key is gone, and there are values that only it opens.
    #[error("the key file {path:?} is missing")]
    KeyMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The key file is no key, or can be read by others.
    #[error("the key file {path:?} cannot be used: {detail}")]
    KeyUnusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// Values in the database were encrypted with another key.
    #[error("the database was not written with the key in {path:?}")]
    KeyMismatch {
        /// The key file; empty if a single value names another key.
        path: PathBuf,
    },
    /// The crypto library refused to work.
    #[error("encryption failed")]
    Encryption,
    /// An encrypted value is not what was stored at this place.
    #[error("the stored value of {place} was changed or moved")]
    Tampered {
        /// Where it lies, for people.
        place: String,
    },
    /// Something stored does not read as what it should be.
    #[error("{column} holds `{value}`, which cannot be read")]
    Unreadable {
        /// Table and column.
        column: &'static str,
        /// What stands there.
        value: String,
    },
    /// Another statement of SQLite failed.
    #[error("cannot {doing} in the database")]
    Database {
        /// The request, as in "cannot …".
        doing: &'static str,
        /// SQLite's own words.
        source: rusqlite::Error,
    },
    /// The thread of the store is gone.
    #[error("the store is closed")]
    Closed,
    /// A bug: the request ended in a panic. Nothing of it was kept.
    #[error("the request ended in a panic")]
    Panicked,

    /// Another living app has this name.
    #[error("the name {0} is taken")]
    AppNameTaken(AppName),
    /// Every port of the range belongs to an app.
    #[error("no port is free from {} to {}", .0.start(), .0.end())]
    NoFreePort(RangeInclusive<u16>),
    /// There is no living app with this number.
    #[error("there is no app number {0}")]
    NoSuchApp(AppNumber),
    /// There is no such release.
    #[error("there is no release {0}")]
    NoSuchRelease(ReleaseVersion),
    /// A release that is no candidate any more cannot be switched to or failed.
    #[error("release {0} is no candidate any more")]
    ReleaseDecided(ReleaseVersion),
    /// Another release serves now than when this candidate was made.
    #[error("another release went live since {0} was made")]
    CurrentMoved(ReleaseVersion),
    /// Another change of the config vars was saved in between.
    #[error("the config vars were changed meanwhile")]
    ConfigMoved,
    /// There is no such set of config vars.
    #[error("there is no config version {0}")]
    NoSuchConfig(u32),
    /// The slug is unknown, or its file was removed.
    #[error("the slug {0} is not kept any more")]
    SlugGone(SlugId),
    /// There is no such build.
    #[error("there is no build {0}")]
    NoSuchBuild(u32),
    /// The build has ended already.
    #[error("build {0} has ended already")]
    BuildEnded(u32),
    /// There is no such push, or it is settled.
    #[error("push {0} is not open")]
    NoSuchPush(i64),
    /// Nothing at this path of the app lasts.
    #[error("{0} is not kept")]
    NotKept(KeptPath),
    /// One of the two lies in the other.
    #[error("{path} and {other}, which is kept already, lie in each other")]
    KeptInside {
        /// The new one.
        path: KeptPath,
        /// The one that is kept.
        other: KeptPath,
    },
    /// More paths than an app may keep.
    #[error("an app keeps at most {} paths", model::limits::KEPT_PATHS_MAX)]
    TooManyKept,
    /// The app has no such process type.
    #[error("there is no process type {0}")]
    NoSuchProcessType(ProcessType),
    /// The key belongs to somebody else.
    #[error("the key belongs to {0} already")]
    KeyTaken(String),
    /// There is no such person, or no grant of that kind.
    #[error("{0} has no such access")]
    NoSuchAccess(String),
    /// A word that the store does not take.
    #[error(transparent)]
    Invalid(#[from] model::Invalid),
    /// Something is over its limit.
    #[error("{what} is over its limit of {limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit, with its unit.
        limit: String,
    },
}

impl From<rusqlite::Error> for StoreError {
    fn from(source: rusqlite::Error) -> Self {
        match source.sqlite_error() {
            Some(error) if is_full(*error) => Self::DiskFull { source },
            Some(error) if matches!(error.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt { path: PathBuf::new(), detail: source.to_string(), source: Some(source) }
            }
            _ => Self::Database { doing: "work", source },
        }
    }
}

/// A full disk shows as `SQLITE_FULL`, or where the shared index of the write-ahead log cannot grow.
fn is_full(error: rusqlite::ffi::Error) -> bool {
    error.code == ErrorCode::DiskFull || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
}

impl StoreError {
    /// Adds what was being done, and to which file.
    pub(super) fn in_context(self, doing: &'static str, path: &Path) -> Self {
        match self {
            Self::Database { source, .. } => Self::Database { doing, source },
            Self::Corrupt { detail, source, .. } => Self::Corrupt { path: path.to_owned(), detail, source },
            other => other,
        }
    }

    pub(super) fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), source }
    }
}
