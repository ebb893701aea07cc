//! `paas internal build`: one build from its spec to its slug.

mod detect;
mod finish;
mod stages;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Instant;

use crate::archive::{ArchiveError, ExtractLimits, LinkRule};
use crate::cache::CacheStore;
use crate::environment::{self, Mask};
use crate::execute::{Executor, TimeLimits};
use crate::plan::{Buildpack, PlanContext};
use crate::protocol::{BuildEvent, BuildSpec, Planned};
use crate::slugignore::SlugIgnore;
use crate::toolchains::HostToolchains;
use crate::{FolderTree, Problem, app_json, process_types, source};

/// What a build works with.
pub struct Descriptors {
    /// The spec: stdin.
    pub spec: Box<dyn Read>,
    /// The source as tar: descriptor 3.
    pub source: Box<dyn Read>,
    /// Events: descriptor 4.
    pub events: Box<dyn Write>,
    /// The slug, an empty file opened for reading and writing: descriptor 5.
    pub slug: File,
    /// `/app`, an empty folder.
    pub app: PathBuf,
    /// `/cache`.
    pub cache: PathBuf,
}

/// Builds. 0: the slug is written (or the plan shown); 1: it failed and the last event
/// says why; 70: there is nobody to tell.
///
/// The caller closes on exec every descriptor that it hands over.
pub fn run(descriptors: Descriptors, buildpacks: &[&dyn Buildpack]) -> u8 {
    // Programs of the build run as the same user: they must not reach into this
    // process for its events and its slug.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let Descriptors { spec, source, events, slug, app, cache } = descriptors;
    let mut told = Told { events, broken: false };
    let result =
        BuildSpec::read(spec).map_err(|error| Problem::system("build.spec", "the build's orders cannot be read", &error)).and_then(
            |spec| Build { spec, app, cache, slug, timings: BTreeMap::new() }.run(source, buildpacks, &mut |event| told.tell(&event)),
        );
    let failed = result.err().map(BuildEvent::Failed);
    if let Some(event) = &failed {
        told.tell(event);
    }
    match (told.broken, failed) {
        (true, _) => 70,
        (false, Some(_)) => 1,
        (false, None) => 0,
    }
}

struct Told {
    events: Box<dyn Write>,
    broken: bool,
}

impl Told {
    fn tell(&mut self, event: &BuildEvent) {
        let line = event.encode().unwrap_or_default();
        self.broken |= self.events.write_all(&line).and_then(|()| self.events.flush()).is_err();
    }
}

struct Build {
    spec: BuildSpec,
    app: PathBuf,
    cache: PathBuf,
    slug: File,
    timings: BTreeMap<String, u64>,
}

impl Build {
    fn run(mut self, source: Box<dyn Read>, buildpacks: &[&dyn Buildpack], emit: crate::execute::Emit<'_>) -> Result<(), Problem> {
        let started = Instant::now();
        let received = source::receive(source, &self.app, ExtractLimits::SOURCE);
        received.map_err(|error| source_problem(&error))?;
        self.drop_ignored(emit)?;
        self.took("source", started);

        let tree = FolderTree::new(&self.app);
        // A broken Procfile or app.json is told before anything is installed.
        process_types::procfile(&tree)?;
        app_json::read(&tree)?;
        let toolchains = HostToolchains::new(self.spec.toolchain_roots.iter().map(PathBuf::from));
        let context = PlanContext { toolchains: &toolchains, config: &self.spec.config };
        let plan = detect::detect(&tree, &context, buildpacks, &self.spec.buildpacks, emit)?;
        emit(BuildEvent::Planned(Planned { needs_postgresql: plan.needs_postgresql }));

        let store = CacheStore::new(&self.cache, LinkRule::slug(&plan.host_paths), self.spec.use_cache);
        if self.spec.plan_only {
            stages::show(&plan, &store, emit);
            return Ok(());
        }
        let temporary = Temporary::make(&self.cache)?;
        let sources = environment::Sources {
            app_name: &self.spec.app,
            commit: &self.spec.commit,
            host: &self.spec.host_environment,
            config: &self.spec.config,
            temporary: &temporary.0,
        };
        let variables = environment::of_build(&sources, &plan, &self.app);
        let mut executor = Executor::new(&self.app, &self.cache, variables, Mask::new(&self.spec.config), TimeLimits::default());
        let built = Instant::now();
        let layers = stages::run(&plan, &store, &mut executor, &self.app, emit)?;
        self.took("build", built);
        self.finish(&plan, &store, &layers, emit)
    }

    fn drop_ignored(&self, emit: crate::execute::Emit<'_>) -> Result<(), Problem> {
        let failed = |error: std::io::Error| Problem::system("slugignore.unusable", ".slugignore cannot be applied", &error);
        let text = crate::SourceTree::text(&FolderTree::new(&self.app), ".slugignore").map_err(failed)?;
        let ignore = SlugIgnore::parse(&text.unwrap_or_default());
        ignore.apply(&self.app).map_err(failed)?;
        ignore.warnings.into_iter().for_each(|warning| emit(BuildEvent::Problem(warning)));
        Ok(())
    }

    fn took(&mut self, what: &str, since: Instant) {
        self.timings.insert(what.to_owned(), milliseconds(since));
    }
}

/// `TMPDIR` of the commands, emptied before and removed after.
struct Temporary(PathBuf);

impl Temporary {
    fn make(cache: &std::path::Path) -> Result<Self, Problem> {
        let folder = cache.join("tmp");
        // One that an earlier build left when it was killed.
        let _ = std::fs::remove_dir_all(&folder);
        match std::fs::create_dir_all(&folder) {
            Ok(()) => Ok(Self(folder)),
            Err(error) => Err(Problem::system("build.folder", "the build has no room for temporary files", &error)),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn source_problem(error: &ArchiveError) -> Problem {
    match error {
        ArchiveError::Write { source, .. } if source.raw_os_error() == Some(rustix::io::Errno::NOSPC.raw_os_error()) => {
            Problem::system("host.disk_full", "the disk is full", error).fix(Problem::MAKE_ROOM)
        }
        ArchiveError::Read(_) => Problem::system("source.cut_off", "the source did not arrive whole", error).fix("push again"),
        _ => Problem::system("source.refused", "the source cannot be unpacked", error).fix("take the file out of the commit"),
    }
}
