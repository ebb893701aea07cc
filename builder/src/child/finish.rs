//! From a built tree to a slug.

use std::time::Instant;

use model::SlugManifest;
use model::author::AppJson;

use super::Build;
use super::stages::{self, UsedCache};
use crate::cache::{CacheStore, Layer};
use crate::environment::in_app;
use crate::execute::Emit;
use crate::plan::{BuildPlan, Restore};
use crate::process_types::{self, ProcessTypes};
use crate::protocol::{BuildEvent, Done};
use crate::slug_writer::{self, SlugError};
use crate::{FolderTree, Problem, app_json, limits};

impl Build {
    pub(super) fn finish(mut self, plan: &BuildPlan, store: &CacheStore, used: &[UsedCache<'_>], emit: Emit<'_>) -> Result<(), Problem> {
        let types = process_types::of_built(&FolderTree::new(&self.app), plan)?;
        emit(BuildEvent::Step("Discovering process types".to_owned()));
        emit(BuildEvent::Detail(types.line.clone()));
        let gone = process_types::vanished(&self.spec.formation, &types.commands);
        let (app_json, odd) = app_json::read(&FolderTree::new(&self.app))?;
        let unknown = app_json::unknown_types(&app_json, &types.commands);
        types.warnings.iter().cloned().chain(gone).chain(odd).chain(unknown).for_each(|warning| emit(BuildEvent::Problem(warning)));

        let packing = Instant::now();
        let layers: Vec<&Layer> = used.iter().filter(|used| used.plan.restore != Restore::Unpacked).map(|used| &used.layer).collect();
        let manifest = manifest(plan, types, app_json, &self.spec.commit)?;
        let written = slug_writer::write(&self.app, &layers, manifest, &mut self.slug).map_err(|error| slug_problem(&error))?;
        self.took("slug", packing);
        emit(BuildEvent::Step(format!("Compressing slug... done, {}", model::text::bytes(written.packed_bytes))));
        written.warnings.iter().for_each(|warning| emit(BuildEvent::Problem(warning.clone())));
        if written.packed_bytes > limits::SLUG_WARNING_BYTES {
            emit(BuildEvent::Problem("the slug is large: name what the app does not need to run in .slugignore".to_owned()));
        }
        for used in used {
            // The build has succeeded; a cache that cannot be kept costs time, not the deploy.
            if let Err(error) = store.keep(used.plan, &used.layer) {
                let problem = stages::problem(&error);
                emit(BuildEvent::Problem(format!(
                    "{} are not kept for the next build: {}",
                    used.plan.what,
                    problem.why.unwrap_or(problem.what)
                )));
            }
        }
        emit(BuildEvent::Done(Done { timings_ms: self.timings }));
        Ok(())
    }
}

fn manifest(plan: &BuildPlan, types: ProcessTypes, app_json: AppJson, commit: &str) -> Result<SlugManifest, Problem> {
    let mut env = std::collections::BTreeMap::new();
    for (name, value) in &plan.env {
        let key =
            name.parse().map_err(|error: model::Invalid| Problem::system("build.env", "the buildpack named a variable wrongly", &error))?;
        env.insert(key, value.clone());
    }
    Ok(SlugManifest {
        commands: types.commands,
        app_json,
        env,
        // The app finds itself at /app, wherever it was built.
        path: plan.path.iter().map(|entry| in_app("/app", entry)).collect(),
        buildpack: plan.buildpack.clone(),
        interpreter: plan.interpreter.clone(),
        host_paths: plan.host_paths.clone(),
        shared_libraries: Vec::new(),
        source_version: commit.to_owned(),
        entries: 0,
        unpacked_bytes: 0,
    })
}

fn slug_problem(error: &SlugError) -> Problem {
    let what = error.to_string();
    match error {
        SlugError::Scan(_) => Problem::system("slug.too_large", what, error).fix("name what the app does not need to run in .slugignore"),
        SlugError::Write(_) => Problem::system("slug.unwritable", what, error).fix(Problem::MAKE_ROOM),
        SlugError::Manifest(_) => Problem::system("slug.manifest", what, error).fix("shorten the commands of the Procfile"),
    }
}
