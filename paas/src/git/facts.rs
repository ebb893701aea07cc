//! What git will check after the hook has said yes, looked up beforehand.

use std::collections::BTreeSet;

use git2::{ObjectType, Oid, Repository};

use super::protocol::{Facts, ObjectKind, RefUpdate};

/// A line of pre-receive's standard input: `OLD NEW NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefLine {
    /// Its full name.
    pub name: String,
    /// What the author's git saw.
    pub old: Oid,
    /// What it should become.
    pub new: Oid,
}

/// Adds the facts to each line. Facts that cannot be found out stay at their
/// cautious value: not current, no object.
pub fn look_up(repository: &Repository, lines: &[RefLine]) -> Vec<RefUpdate> {
    let existing = existing_names(repository);
    let pushed: BTreeSet<&str> = lines.iter().filter(|line| !line.new.is_zero()).map(|line| line.name.as_str()).collect();
    let deleted: BTreeSet<&str> = lines.iter().filter(|line| line.new.is_zero()).map(|line| line.name.as_str()).collect();
    let names: BTreeSet<&str> =
        existing.iter().map(String::as_str).filter(|name| !deleted.contains(name)).chain(pushed.iter().copied()).collect();
    lines
        .iter()
        .map(|line| {
            let deletion = line.new.is_zero();
            let (kind, commit) = if deletion { (None, None) } else { object(repository, line.new) };
            let facts = Facts {
                kind,
                commit: commit.map(|oid| oid.to_string()),
                old_is_current: current(repository, &line.name) == Some(line.old),
                conflict: if deletion { None } else { conflict(&names, &line.name) },
                locked: is_locked(repository, &line.name),
                deletion,
            };
            RefUpdate { name: line.name.clone(), old: line.old.to_string(), new: line.new.to_string(), facts }
        })
        .collect()
}

fn existing_names(repository: &Repository) -> BTreeSet<String> {
    let Ok(mut references) = repository.references() else { return BTreeSet::new() };
    references.names().filter_map(|name| name.ok().map(str::to_owned)).collect()
}

fn object(repository: &Repository, oid: Oid) -> (Option<ObjectKind>, Option<Oid>) {
    let Ok(object) = repository.find_object(oid, None) else { return (None, None) };
    let kind = match object.kind() {
        Some(ObjectType::Commit) => ObjectKind::Commit,
        Some(ObjectType::Tag) => ObjectKind::Tag,
        Some(ObjectType::Tree) => ObjectKind::Tree,
        Some(ObjectType::Blob) => ObjectKind::Blob,
        _ => return (None, None),
    };
    (Some(kind), object.peel_to_commit().ok().map(|commit| commit.id()))
}

/// The id that a ref has now; zeros for a ref that is not there, as git writes it.
fn current(repository: &Repository, name: &str) -> Option<Oid> {
    match repository.find_reference(name) {
        Ok(reference) => reference.target(),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Some(Oid::ZERO_SHA1),
        Err(_) => None,
    }
}

/// A name above or below this one: files and folders cannot share a name.
fn conflict(names: &BTreeSet<&str>, name: &str) -> Option<String> {
    let above = name.match_indices('/').map(|(at, _)| &name[..at]).find(|above| names.contains(above));
    let folder = format!("{name}/");
    let below = || names.range(folder.as_str()..).next().copied().filter(|below| below.starts_with(&folder));
    above.or_else(below).map(str::to_owned)
}

fn is_locked(repository: &Repository, name: &str) -> bool {
    let safe = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    safe && repository.path().join(format!("{name}.lock")).symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_conflicts_with_a_folder_of_its_name_and_the_other_way_round() {
        let names: BTreeSet<&str> = ["refs/heads/main", "refs/heads/a/b", "refs/heads/mainly"].into();
        assert_eq!(conflict(&names, "refs/heads/main/x").as_deref(), Some("refs/heads/main"));
        assert_eq!(conflict(&names, "refs/heads/a").as_deref(), Some("refs/heads/a/b"));
        for free in ["refs/heads/main", "refs/heads/a/c", "refs/heads/mainl", "refs/tags/main"] {
            assert_eq!(conflict(&names, free), None, "{free}");
        }
    }
}
