//! The bare repository of an app, made and looked after by its git user.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use api::{Failure, Kind};
use git2::{Oid, Repository, RepositoryInitOptions};

use crate::limits;

/// Where profile Git mounts the repository.
pub const MOUNTED_AT: &str = "/repository";

/// The hook as git runs it inside the sandbox.
const PRE_RECEIVE: &str = "#!/bin/sh\nexec /paas internal hook\n";

/// Settings of every repository. The fsck ids that are ignored are cosmetic and stand
/// in the histories of flask, requests and rack; `hasDotdot`, `hasDotgit` stay fatal.
const SETTINGS: [(&str, &str); 12] = [
    ("core.hooksPath", "hooks"),
    ("core.fsync", "committed"),
    ("receive.fsckObjects", "true"),
    ("receive.fsck.zeroPaddedFilemode", "ignore"),
    ("receive.fsck.badTimezone", "ignore"),
    ("receive.fsck.missingSpaceBeforeDate", "ignore"),
    ("receive.advertisePushOptions", "true"),
    // With it the hook runs and can explain; without it git refuses after the build.
    ("receive.shallowUpdate", "true"),
    // A gc in the background would keep the hook's socket open.
    ("receive.autogc", "false"),
    ("gc.auto", "0"),
    ("receive.unpackLimit", "1"),
    ("receive.denyDeleteCurrent", "refuse"),
];

/// Only branches and tags can be seen and pushed. Later entries win.
const HIDDEN_REFS: [&str; 3] = ["refs", "!refs/heads", "!refs/tags"];

/// Names of leftovers of pushes that died, below `objects`.
const QUARANTINE_PREFIXES: [&str; 4] = ["tmp_objdir-incoming-", "incoming-", "tmp_obj_", "tmp_pack_"];

/// How deep refs may be nested for the search of stale locks.
const REFS_DEPTH_MAX: usize = 64;

/// Fewer digits than git itself shows could be a word.
const COMMIT_DIGITS_MIN: usize = 7;

/// What libgit2 says of a name that leads to no commit.
const NO_SUCH_REF: [git2::ErrorCode; 4] =
    [git2::ErrorCode::NotFound, git2::ErrorCode::InvalidSpec, git2::ErrorCode::UnbornBranch, git2::ErrorCode::Peel];

/// Makes the repository, or brings an old one up to date. Idempotent.
pub fn create(path: &Path) -> Result<(), Failure> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).external_template(false).initial_head("main");
    let repository = Repository::init_opts(path, &options).map_err(|error| Failure::internal("the repository cannot be made", &error))?;
    configure(&repository).map_err(|error| Failure::internal("the repository cannot be configured", &error))?;
    write_hook(path).map_err(|error| Failure::internal("the hook cannot be written", &error))
}

fn configure(repository: &Repository) -> Result<(), git2::Error> {
    let mut config = repository.config()?.open_level(git2::ConfigLevel::Local)?;
    for (name, value) in SETTINGS {
        config.set_str(name, value)?;
    }
    config.set_str("receive.maxInputSize", &limits::PUSH_PACK_BYTES_MAX.to_string())?;
    match config.remove_multivar("transfer.hideRefs", ".*") {
        Err(error) if error.code() != git2::ErrorCode::NotFound => return Err(error),
        _ => {}
    }
    for hidden in HIDDEN_REFS {
        // The pattern matches nothing, so each entry is added.
        config.set_multivar("transfer.hideRefs", "^$", hidden)?;
    }
    Ok(())
}

fn write_hook(path: &Path) -> io::Result<()> {
    let folder = path.join("hooks");
    fs::create_dir_all(&folder)?;
    let (fresh, hook) = (folder.join("pre-receive.new"), folder.join("pre-receive"));
    let mut file = fs::File::create(&fresh)?;
    file.write_all(PRE_RECEIVE.as_bytes())?;
    file.set_permissions(fs::Permissions::from_mode(0o755))?;
    file.sync_all()?;
    fs::rename(fresh, hook)
}

/// Opens the repository of an app.
pub fn open(path: &Path) -> Result<Repository, Failure> {
    Repository::open_bare(path).map_err(|error| Failure::internal("the repository cannot be opened", &error))
}

/// The commit that a full ref, a branch, a tag or the first digits of a commit lead to;
/// zeros if there is none. No revision syntax: `:/text` and `@{…}` walk far on few words.
pub fn resolve(path: &Path, name: &str) -> Result<Oid, Failure> {
    let repository = open(path)?;
    let candidates =
        if name.starts_with("refs/") { vec![name.to_owned()] } else { vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")] };
    for candidate in candidates {
        match repository.find_reference(&candidate).and_then(|reference| reference.peel_to_commit()) {
            Ok(commit) => return Ok(commit.id()),
            Err(error) if NO_SUCH_REF.contains(&error.code()) => {}
            Err(error) => return Err(Failure::internal("the ref cannot be read", &error)),
        }
    }
    let is_prefix = (COMMIT_DIGITS_MIN..=40).contains(&name.len()) && name.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !is_prefix {
        return Ok(Oid::ZERO_SHA1);
    }
    match repository.find_object_by_prefix(name, None).and_then(|object| object.peel_to_commit()) {
        Ok(commit) => Ok(commit.id()),
        Err(error) if error.code() == git2::ErrorCode::Ambiguous => {
            Err(Failure::new(Kind::Usage, "commit.ambiguous", format!("more than one object begins with {name}"))
                .fix("give more of its digits"))
        }
        Err(error) if NO_SUCH_REF.contains(&error.code()) => Ok(Oid::ZERO_SHA1),
        Err(error) => Err(Failure::internal("the commit cannot be read", &error)),
    }
}

/// Removes what dead pushes left: quarantines and stale locks. Only with no push
/// running: the caller holds the app's lock. Returns what it removed.
pub fn clean(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut removed = Vec::new();
    let mut all = || -> io::Result<()> {
        remove_in(&path.join("objects"), &|name| QUARANTINE_PREFIXES.iter().any(|prefix| name.starts_with(prefix)), &mut removed)?;
        remove_in(&path.join("objects/pack"), &|name| name.starts_with("tmp_"), &mut removed)?;
        remove_in(path, &is_lock, &mut removed)?;
        remove_locks_below(&path.join("refs"), 0, &mut removed)
    };
    all().map_err(|error| Failure::internal("what dead pushes left cannot be removed", &error))?;
    Ok(removed)
}

#[expect(clippy::case_sensitive_file_extension_comparisons, reason = "git writes it in lower case")]
fn is_lock(name: &str) -> bool {
    name.ends_with(".lock")
}

fn remove_in(folder: &Path, is_leftover: &dyn Fn(&str) -> bool, removed: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !is_leftover(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
        removed.push(entry.path());
    }
    Ok(())
}

fn remove_locks_below(folder: &Path, depth: usize, removed: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if depth < REFS_DEPTH_MAX {
                remove_locks_below(&entry.path(), depth + 1, removed)?;
            }
        } else if is_lock(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path())?;
            removed.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_made_twice_without_harm() {
        let folder = tempfile::tempdir().expect("folder");
        create(folder.path()).expect("made");
        create(folder.path()).expect("made again");
        let config = open(folder.path()).expect("opened").config().expect("config");
        let mut hidden = Vec::new();
        config
            .multivar("transfer.hideRefs", None)
            .expect("entries")
            .for_each(|entry| hidden.extend(entry.value().map(str::to_owned)))
            .expect("read");
        assert_eq!(hidden, HIDDEN_REFS);
        assert!(folder.path().join("hooks/pre-receive").metadata().expect("hook").permissions().mode() & 0o100 != 0);
        assert_eq!(resolve(folder.path(), "refs/heads/main").expect("no ref"), Oid::ZERO_SHA1);
    }

    #[test]
    fn leftovers_of_dead_pushes_go_and_the_rest_stays() {
        let folder = tempfile::tempdir().expect("folder");
        create(folder.path()).expect("made");
        for left in ["objects/tmp_objdir-incoming-abc/pack", "refs/heads/feature"] {
            fs::create_dir_all(folder.path().join(left)).expect("folder");
        }
        for left in ["objects/tmp_objdir-incoming-abc/pack/x", "refs/heads/feature/a.lock", "refs/heads/main.lock", "packed-refs.lock"] {
            fs::write(folder.path().join(left), "").expect("file");
        }
        fs::write(folder.path().join("packed-refs"), "").expect("file");
        assert_eq!(clean(folder.path()).expect("cleaned").len(), 4);
        assert!(folder.path().join("packed-refs").exists() && folder.path().join("refs/heads/feature").exists());
        assert!(clean(folder.path()).expect("clean").is_empty());
    }

    #[test]
    fn a_branch_a_tag_and_a_piece_of_a_commit_all_lead_to_the_commit() {
        let folder = tempfile::tempdir().expect("folder");
        create(folder.path()).expect("made");
        let repository = open(folder.path()).expect("opened");
        let someone = git2::Signature::now("a", "a@example.com").expect("signature");
        let tree = repository.find_tree(repository.treebuilder(None).expect("builder").write().expect("tree")).expect("found");
        let commit = repository.commit(Some("refs/heads/main"), &someone, &someone, "x", &tree, &[]).expect("commit");
        let object = repository.find_object(commit, None).expect("object");
        repository.tag("v1", &object, &someone, "annotated", false).expect("tag");
        repository.tag_lightweight("light", &object, false).expect("tag");
        repository.reference("refs/tags/a-tree", tree.id(), false, "x").expect("a tag of a tree");
        let digits = commit.to_string();
        for name in ["refs/heads/main", "main", "v1", "refs/tags/v1", "light", &digits, &digits[..7]] {
            assert_eq!(resolve(folder.path(), name).expect(name), commit, "{name}");
        }
        for name in ["other", "refs/heads/other", "HEAD~1", "main^", ":/x", "../x", "", "a-tree", &digits[..6], &"1".repeat(40), "--help"] {
            assert_eq!(resolve(folder.path(), name).expect(name), Oid::ZERO_SHA1, "{name}");
        }
    }
}
