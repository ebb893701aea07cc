//! What an earlier server left half done: runs that have nobody to answer to any more,
//! and files that nothing names.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use control::store::{Store, StoreError};
use model::{AppNumber, SlugId};
use runner::Runner;
use runner::runs::{Adopted, Runs};
use tokio::task::JoinSet;

use super::internal_run::kill_to_end;

/// How the packed slugs end.
const PACKED: &str = ".tar.gz";
/// How the marks of whole unpacked slugs end.
const MARK: &str = ".ready";
/// Sessions of people begin like this: theirs may be an old slug.
const SESSION_PREFIX: &str = "run.";

/// Ends builds, git and helpers, whoever started them. Returns the apps whose git it ended
/// or found dead: quarantines and locks of theirs may lie about.
pub async fn end_runs(runs: &Runs) -> BTreeSet<AppNumber> {
    let mut ending = JoinSet::new();
    let mut with_git = BTreeSet::new();
    for app in listed(runs.apps(), "run folders") {
        for folder in listed(runs.folders(app), "run folders of an app").into_iter().filter(|folder| is_helper(folder)) {
            if folder.starts_with("git-") {
                with_git.insert(app);
            }
            ending.spawn(end_run(runs.clone(), app, folder));
        }
    }
    while ending.join_next().await.is_some() {}
    with_git
}

fn listed<T>(listed: io::Result<Vec<T>>, what: &str) -> Vec<T> {
    listed.unwrap_or_else(|error| {
        tracing::warn!(%error, "{what} cannot be listed");
        Vec::new()
    })
}

async fn end_run(runs: Runs, app: AppNumber, folder: String) {
    let ended = match runs.adopt(app, &folder).await {
        Ok(Adopted::Live(run)) => kill_to_end(&run).await.is_some(),
        Ok(Adopted::Ended(_)) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => {
            tracing::warn!(%error, app = app.0, folder, "a run folder cannot be read; left as it is");
            false
        }
    };
    if ended
        && let Err(error) = runs.forget(app, &folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, app = app.0, folder, "a run folder stays");
    }
}

/// `build-3`, `git-1790000000000-1` and their like. A process type may be called `git-sync`:
/// its runs, `git-sync.1-v1-2`, are none.
fn is_helper(folder: &str) -> bool {
    let Some((kind, rest)) = folder.split_once('-') else { return false };
    let numbers = rest.split('-').map(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    let numbers: Vec<bool> = numbers.collect();
    let count = match kind {
        "build" | "unpack" => 1,
        "git" | "wipe" | "pgcommand" => 2,
        _ => return false,
    };
    numbers.len() == count && numbers.iter().all(|is_number| *is_number)
}

/// Files and folders that nothing names any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Folders to be emptied as their owner: `builds/3`, `layers/web.1-v1-2`.
    folders: Vec<(AppNumber, String)>,
    /// Unpacked slugs.
    trees: Vec<(AppNumber, SlugId)>,
    /// Packed slugs.
    packed: Vec<PathBuf>,
    /// Slugs whose packed file is gone.
    missing: Vec<SlugId>,
}

impl Orphans {
    /// Looks for them. Only while nothing builds and nothing starts.
    pub async fn find(root: &Path, store: &Store) -> Self {
        let known = async { Ok::<_, StoreError>((store.apps().await?, store.stored_slugs().await?, store.kept_slugs().await?)) };
        let (apps, stored, kept) = match known.await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, "what is left over cannot be told from what is needed");
                return Self::default();
            }
        };
        let apps: Vec<AppNumber> = apps.iter().map(|app| app.number).collect();
        let found = Self::below(root, &apps, &stored.into_keys().collect(), &kept);
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, "leftovers cannot be looked for");
            Self::default()
        })
    }

    /// `stored` have a packed file, says the store; `kept` are needed by a release, which
    /// may live on its unpacked tree alone.
    fn below(root: &Path, apps: &[AppNumber], stored: &BTreeSet<SlugId>, kept: &BTreeSet<SlugId>) -> io::Result<Self> {
        let mut found = Self::default();
        let is_named = |slug: &SlugId| stored.contains(slug) || kept.contains(slug);
        for app in apps {
            let of_app = |kind: &str| root.join(kind).join(app.to_string());
            found.folders.extend(names(&of_app("builds"))?.into_iter().map(|name| (*app, format!("builds/{name}"))));
            let runs: BTreeSet<String> = names(&of_app("runs"))?.into_iter().collect();
            let layers = names(&of_app("layers"))?.into_iter().filter(|name| !runs.contains(name));
            found.folders.extend(layers.map(|name| (*app, format!("layers/{name}"))));
            if runs.iter().any(|run| run.starts_with(SESSION_PREFIX)) {
                continue;
            }
            let trees = names(&of_app("releases"))?.into_iter().filter_map(|name| name.strip_suffix(MARK).unwrap_or(&name).parse().ok());
            let trees: BTreeSet<SlugId> = trees.filter(|slug| !is_named(slug)).collect();
            found.trees.extend(trees.into_iter().map(|slug| (*app, slug)));
        }
        let mut there = BTreeSet::new();
        for name in names(&root.join("slugs"))? {
            let slug = name.strip_suffix(PACKED).and_then(|id| id.parse::<SlugId>().ok());
            match slug {
                Some(slug) if is_named(&slug) => drop(there.insert(slug)),
                Some(_) => found.packed.push(root.join("slugs").join(name)),
                None => {}
            }
        }
        found.missing = stored.difference(&there).copied().collect();
        Ok(found)
    }

    /// Removes them. What fails is found again by the next server.
    pub async fn remove(self, runs: Runs, runner: Runner, store: Store) {
        for slug in self.missing {
            tracing::warn!(%slug, "the file of a slug is gone: nothing rolls back to it any more");
            if let Err(error) = store.forget_slug_file(slug).await {
                tracing::warn!(%error, %slug, "that is not stored");
            }
        }
        for path in self.packed {
            if let Err(error) = tokio::fs::remove_file(&path).await {
                tracing::warn!(%error, path = %path.display(), "a slug of a killed build stays");
            }
        }
        for (app, folder) in self.folders {
            if let Err(error) = runs.wipe(app, &folder).await {
                tracing::warn!(%error, app = app.0, folder, "a folder that nothing needs stays");
            }
        }
        for (app, slug) in self.trees {
            if let Err(error) = runner.forget_slug(app, slug).await {
                tracing::warn!(%error, app = app.0, %slug, "an unpacked slug that no release needs stays");
            }
        }
    }
}

/// Removes the unpacked trees of a slug whose packed file was removed, of every app. One
/// whose people have a session open keeps its trees until the next start.
pub async fn remove_trees(root: &Path, runner: &Runner, runs: &Runs, slug: SlugId) {
    let has_tree = |app: &AppNumber| {
        let folder = root.join("releases").join(app.to_string());
        folder.join(slug.to_string()).symlink_metadata().is_ok() || folder.join(format!("{slug}{MARK}")).exists()
    };
    for app in listed(runs.apps(), "run folders").into_iter().filter(has_tree) {
        let is_stored_again = root.join("slugs").join(format!("{slug}{PACKED}")).exists();
        if is_stored_again || listed(runs.folders(app), "run folders of an app").iter().any(|run| run.starts_with(SESSION_PREFIX)) {
            continue;
        }
        if let Err(error) = runner.forget_slug(app, slug).await {
            tracing::warn!(%error, app = app.0, %slug, "an unpacked slug that no release needs stays");
        }
    }
}

/// The names in a folder; none if it is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_type_named_like_a_helper_is_none() {
        for helper in ["build-3", "git-1790000000000-1", "pgcommand-1790000000000-0", "wipe-1790000000000-0", "unpack-7"] {
            assert!(is_helper(helper), "{helper}");
        }
        for other in ["git-sync.1-v1-2", "build-1.1-v3-4", "web.1-v7-42", "router-1-2", "postgres-1-2", "build-", "git-1", "wipe-1-2-3"] {
            assert!(!is_helper(other), "{other}");
        }
    }

    #[test]
    fn only_what_nothing_names_is_an_orphan() {
        let root = tempfile::tempdir().expect("folder");
        let (kept, old, lost, unpacked) = (SlugId([1; 32]), SlugId([2; 32]), SlugId([3; 32]), SlugId([4; 32]));
        for folder in ["builds/1/7", "layers/1/web.1-v1-2", "layers/1/web.1-v1-1", "runs/1/web.1-v1-2", "runs/2/run.1-v1-1", "slugs"] {
            std::fs::create_dir_all(root.path().join(folder)).expect("folder");
        }
        for slug in [kept, old] {
            std::fs::write(root.path().join("slugs").join(format!("{slug}.tar.gz")), "").expect("slug");
            for app in ["1", "2"] {
                let tree = root.path().join("releases").join(app).join(slug.to_string());
                std::fs::create_dir_all(&tree).expect("tree");
                std::fs::write(tree.with_extension("ready"), "").expect("mark");
            }
        }
        // The packed file of what an app still runs on is gone.
        std::fs::create_dir_all(root.path().join("releases/1").join(unpacked.to_string())).expect("tree");
        let apps = [AppNumber(1), AppNumber(2), AppNumber(3)];
        let found = Orphans::below(root.path(), &apps, &[kept, lost].into(), &[kept, unpacked].into()).expect("found");
        let expected = Orphans {
            folders: vec![(AppNumber(1), "builds/7".to_owned()), (AppNumber(1), "layers/web.1-v1-1".to_owned())],
            // A session of app 2 may run from it.
            trees: vec![(AppNumber(1), old)],
            packed: vec![root.path().join("slugs").join(format!("{old}.tar.gz"))],
            missing: vec![lost],
        };
        assert_eq!(found, expected);
    }
}
