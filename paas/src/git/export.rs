//! Streams the tree of a commit as a tar, out of a quarantine or a repository.

use std::io::{BufWriter, Write};
use std::os::fd::RawFd;
use std::path::Path;

use api::{Failure, Kind};
use builder::source::{self, ExportLimits};
use git2::Repository;

use super::protocol::SourceDone;
use crate::descriptors;

/// Where the profile Export has the tar go.
const SOURCE_DESCRIPTOR: RawFd = 3;

/// `paas internal export`: the tree of a commit or ref to descriptor 3. Returns what
/// was sent, for standard output.
pub fn export_to_descriptor(path: &Path, reference: &str, folder: Option<&str>) -> Result<SourceDone, Failure> {
    let out = descriptors::take(SOURCE_DESCRIPTOR).map_err(|error| Failure::internal("there is no pipe for the source", &error))?;
    let repository = super::repository::open(path)?;
    let commit = resolve(&repository, reference)?;
    export(&repository, &commit, folder, std::fs::File::from(out))
}

/// The commit that a branch, a tag, a full ref or an object id leads to.
fn resolve(repository: &Repository, reference: &str) -> Result<String, Failure> {
    let not_found = || {
        let shown: String = reference.chars().filter(|sign| !sign.is_control()).take(crate::limits::SHOWN_WORD_CHARS_MAX).collect();
        Failure::new(Kind::NotFound, "source.reference", format!("the app's repository has no branch, tag or commit `{shown}`"))
            .fix("push it first: git push paas BRANCH")
    };
    // No revision syntax: `:/text` and `@{…}` walk far on few words.
    let found = match git2::Oid::from_str(reference) {
        Ok(oid) if reference.len() == 40 => repository.find_object(oid, None),
        _ => repository.resolve_reference_from_short_name(reference).and_then(|found| found.peel(git2::ObjectType::Any)),
    };
    let commit = found.and_then(|object| object.peel_to_commit()).map_err(|_| not_found())?;
    Ok(commit.id().to_string())
}

/// Streams the tree, or one folder of it; the pipe is closed when this returns.
pub fn export(repository: &Repository, commit: &str, folder: Option<&str>, out: impl Write) -> Result<SourceDone, Failure> {
    let summary = source::export_folder(repository, commit, folder, BufWriter::new(out), &ExportLimits::default()).map_err(|error| {
        let problem = error.problem();
        let failure = Failure::new(Kind::Refused, &problem.code, problem.what);
        Failure { why: problem.why, fix: problem.fix, ..failure }
    })?;
    Ok(SourceDone { commit: commit.to_owned(), entries: summary.entries, bytes: summary.bytes, warnings: summary.warnings })
}
