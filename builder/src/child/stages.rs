//! The stages of a plan and the caches that make some of them unnecessary.

use std::path::Path;
use std::time::Instant;

use super::milliseconds;
use crate::Problem;
use crate::cache::{CacheError, CacheStore, Layer, Lookup};
use crate::execute::{Emit, Executor};
use crate::plan::{BuildPlan, CachePlan, Restore, Stage};
use crate::protocol::BuildEvent;

/// A cache after its stage.
pub(super) struct UsedCache<'p> {
    pub(super) plan: &'p CachePlan,
    pub(super) layer: Layer,
}

/// Runs what no cache makes unnecessary.
pub(super) fn run<'p>(
    plan: &'p BuildPlan,
    store: &CacheStore,
    executor: &mut Executor<'_>,
    app: &Path,
    emit: Emit<'_>,
) -> Result<Vec<UsedCache<'p>>, Problem> {
    let mut used = Vec::new();
    for stage in &plan.stages {
        let cache = stage.cache.as_ref().and_then(|name| plan.caches.iter().find(|cache| cache.name == *name));
        let Some(cache) = cache else {
            emit(BuildEvent::Step(stage.title.clone()));
            executor.stage(stage, emit).map_err(|error| error.problem())?;
            continue;
        };
        clear(cache, app, emit)?;
        let layer = match store.look_up(cache) {
            Lookup::Hit(layer) => restore(cache, layer, store, app, emit)?,
            Lookup::Miss(reasons) => install(stage, cache, &reasons, store, executor, app, emit)?,
        };
        used.push(UsedCache { plan: cache, layer });
    }
    Ok(used)
}

/// Shows what would be run.
pub(super) fn show(plan: &BuildPlan, store: &CacheStore, emit: Emit<'_>) {
    for stage in &plan.stages {
        let cache = stage.cache.as_ref().and_then(|name| plan.caches.iter().find(|cache| cache.name == *name));
        let lookup = cache.map(|cache| (cache, store.look_up(cache)));
        match lookup {
            Some((cache, Lookup::Hit(layer))) => {
                let saved = model::text::milliseconds(layer.took_ms);
                emit(BuildEvent::Step(format!("Would reuse {}: unchanged (saves {saved})", cache.what)));
            }
            Some((cache, Lookup::Miss(reasons))) => {
                emit(BuildEvent::Step(format!("Would do: {}", stage.title)));
                emit(BuildEvent::Detail(format!("{} not reused: {}", cache.what, reasons.join(", "))));
            }
            None => emit(BuildEvent::Step(format!("Would do: {}", stage.title))),
        }
    }
}

fn restore(cache: &CachePlan, layer: Layer, store: &CacheStore, app: &Path, emit: Emit<'_>) -> Result<Layer, Problem> {
    let started = Instant::now();
    if cache.restore != Restore::Packed {
        store.unpack(&layer, app).map_err(|error| problem(&error))?;
    }
    let saved = model::text::milliseconds(layer.took_ms.saturating_sub(milliseconds(started)));
    emit(BuildEvent::Step(format!("Restoring cache: {} unchanged, reused (saved {saved})", cache.what)));
    Ok(layer)
}

fn install(
    stage: &Stage,
    cache: &CachePlan,
    reasons: &[String],
    store: &CacheStore,
    executor: &mut Executor<'_>,
    app: &Path,
    emit: Emit<'_>,
) -> Result<Layer, Problem> {
    emit(BuildEvent::Step(stage.title.clone()));
    emit(BuildEvent::Detail(format!("{} not reused: {}", cache.what, reasons.join(", "))));
    let started = Instant::now();
    executor.stage(stage, emit).map_err(|error| error.problem())?;
    store.pack(cache, app, milliseconds(started)).map_err(|error| problem(&error))
}

/// Folders of a cache that the source brings along would be mixed with what is installed.
fn clear(cache: &CachePlan, app: &Path, emit: Emit<'_>) -> Result<(), Problem> {
    for path in &cache.paths {
        let folder = app.join(path);
        let removed = match std::fs::symlink_metadata(&folder) {
            Err(_) => continue,
            Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(&folder),
            Ok(_) => std::fs::remove_file(&folder),
        };
        removed.map_err(|error| Problem::system("build.folder", format!("{path} cannot be replaced"), &error))?;
        emit(BuildEvent::Problem(format!(
            "{path} is in the repository and is not used: add it to .gitignore and `git rm -r --cached {path}`"
        )));
    }
    Ok(())
}

pub(super) fn problem(error: &CacheError) -> Problem {
    Problem::system("build.cache", error.to_string(), error)
        .fix("clear it: `paas builds:cache purge`, then push again; `paas status` shows whether the disk is full")
}
