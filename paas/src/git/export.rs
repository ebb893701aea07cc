//! Streams the tree of a commit as a tar, out of a quarantine or a repository.

use std::io::{self, BufWriter, Write};
use std::os::fd::RawFd;
use std::path::Path;

use api::{Failure, Kind};
use builder::source::{self, ExportError, ExportLimits};
use git2::Repository;

use super::protocol::{SourceDone, source_unread};
use crate::descriptors;

/// Where the profile Export has the tar go.
const SOURCE_DESCRIPTOR: RawFd = 3;

/// `paas internal export`: the tree of a commit to descriptor 3. Returns what was sent,
/// for standard output.
pub fn export_to_descriptor(path: &Path, commit: &str, folder: Option<&str>) -> Result<SourceDone, Failure> {
    let out = descriptors::take(SOURCE_DESCRIPTOR).map_err(|error| Failure::internal("there is no pipe for the source", &error))?;
    export(&super::repository::open(path)?, commit, folder, std::fs::File::from(out))
}

/// Streams the tree, or one folder of it; the pipe is closed when this returns.
pub fn export(repository: &Repository, commit: &str, folder: Option<&str>, out: impl Write) -> Result<SourceDone, Failure> {
    let summary = source::export_folder(repository, commit, folder, BufWriter::new(out), &ExportLimits::default()).map_err(|error| {
        if matches!(&error, ExportError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return source_unread();
        }
        let problem = error.problem();
        let failure = Failure::new(Kind::Refused, &problem.code, problem.what);
        Failure { why: problem.why, fix: problem.fix, ..failure }
    })?;
    Ok(SourceDone { commit: commit.to_owned(), entries: summary.entries, bytes: summary.bytes, warnings: summary.warnings })
}
