//! Builds that end as a story says.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use api::{Failure, Kind};
use control::seams::{BoxFuture, BuildRequest, Builders, BuiltSlug, Cancel, Lines, cancelled};
use model::author::AppJson;
use model::{AppNumber, ConfigVars, SlugId, SlugManifest};
use tokio::sync::watch;

use super::instances::{Boot, Machine};
use super::lock;

/// What comes of a build of a commit.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// A slug with these Procfile lines.
    Slug(Vec<(&'static str, &'static str)>),
    Fails,
    Panics,
}

pub(crate) struct FakeBuilders {
    machine: Arc<Machine>,
    outcomes: Mutex<BTreeMap<String, Outcome>>,
    app_jsons: Mutex<BTreeMap<String, AppJson>>,
    /// Builds wait while this is true.
    pub held: watch::Sender<bool>,
    /// Every request, as `hello 1 aaaaaaa`.
    pub asked: Mutex<Vec<String>>,
    /// What the last build could see.
    pub variables: Mutex<ConfigVars>,
    pub now: Mutex<u32>,
    pub most: Mutex<u32>,
    pub free_bytes: Mutex<u64>,
    pub removed: Mutex<Vec<SlugId>>,
}

/// A slug's name, from its commit.
pub(crate) fn slug_of(commit: &str) -> SlugId {
    SlugId([commit.as_bytes()[0]; 32])
}

impl FakeBuilders {
    pub(crate) fn new(machine: Arc<Machine>) -> Self {
        Self {
            machine,
            outcomes: Mutex::default(),
            app_jsons: Mutex::default(),
            held: watch::Sender::new(false),
            asked: Mutex::default(),
            variables: Mutex::default(),
            now: Mutex::default(),
            most: Mutex::default(),
            free_bytes: Mutex::new(100_000_000_000),
            removed: Mutex::default(),
        }
    }

    /// A commit of an app with these Procfile lines, all of which come up.
    pub(crate) fn commit(&self, commit: &str, procfile: &[(&'static str, &'static str)]) {
        self.outcome(commit, Outcome::Slug(procfile.to_vec()));
    }

    pub(crate) fn outcome(&self, commit: &str, outcome: Outcome) {
        lock(&self.outcomes).insert(commit.to_owned(), outcome);
    }

    /// The app.json of a commit.
    pub(crate) fn app_json(&self, commit: &str, text: &str) {
        let (app_json, _) = AppJson::parse(text.as_bytes()).expect("an app.json");
        lock(&self.app_jsons).insert(commit.to_owned(), app_json);
    }

    /// A process type of a commit that does not come up.
    pub(crate) fn boot(&self, commit: &str, process_type: &str, boot: Boot) {
        self.machine.boot(slug_of(commit), process_type, boot);
    }

    fn end(&self, request: &BuildRequest, lines: &Lines) -> Result<Option<BuiltSlug>, Failure> {
        let outcome = lock(&self.outcomes).get(&request.commit).cloned();
        lines.step("Python app detected (requirements.txt)");
        match outcome {
            _ if request.plan_only => Ok(None),
            Some(Outcome::Fails | Outcome::Panics) | None => {
                Err(Failure::new(Kind::Failed, "build.command_failed", "installing dependencies failed: exited 1")
                    .fix("correct requirements.txt"))
            }
            Some(Outcome::Slug(procfile)) => {
                lines.step("Compressing slug... done, 12.4 MB");
                let manifest = SlugManifest {
                    commands: procfile.iter().map(|(t, c)| (t.parse().expect("type"), (*c).to_owned())).collect(),
                    app_json: lock(&self.app_jsons).get(&request.commit).cloned().unwrap_or_default(),
                    env: BTreeMap::new(),
                    path: vec![],
                    buildpack: "python".to_owned(),
                    interpreter: Some("Python 3.11.7".to_owned()),
                    host_paths: vec![],
                    shared_libraries: vec![],
                    source_version: request.commit.clone(),
                    entries: 10,
                    unpacked_bytes: 1_000,
                };
                Ok(Some(BuiltSlug { id: slug_of(&request.commit), bytes: 12_400_000, manifest }))
            }
        }
    }
}

impl Builders for FakeBuilders {
    fn build(
        &self,
        request: BuildRequest,
        _source: OwnedFd,
        lines: Lines,
        mut cancel: Cancel,
    ) -> BoxFuture<'_, Result<Option<BuiltSlug>, Failure>> {
        lock(&self.asked).push(format!("{} {} {}", request.app, request.build, &request.commit[..7]));
        lock(&self.variables).clone_from(&request.variables);
        *lock(&self.now) += 1;
        let now = *lock(&self.now);
        let mut most = lock(&self.most);
        *most = now.max(*most);
        Box::pin(async move {
            let mut held = self.held.subscribe();
            let result = tokio::select! {
                _ = held.wait_for(|held| !held) => self.end(&request, &lines),
                () = cancelled(&mut cancel) => Err(Failure::new(Kind::Failed, "build.cancelled", "cancelled, nothing was deployed")),
            };
            *lock(&self.now) -= 1;
            let outcome = lock(&self.outcomes).get(&request.commit).cloned();
            assert!(!matches!(outcome, Some(Outcome::Panics)), "a bug of the builder");
            result
        })
    }

    fn purge_cache(&self, _: AppNumber) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }

    fn remove_slug(&self, slug: SlugId) -> BoxFuture<'_, Result<(), Failure>> {
        lock(&self.removed).push(slug);
        Box::pin(async { Ok(()) })
    }

    fn disk_bytes(&self) -> Result<(u64, u64), Failure> {
        Ok((*lock(&self.free_bytes), 200_000_000_000))
    }
}
