//! Builds: `paas internal build` in its sandbox, its events passed on, its slug received,
//! hashed and stored only after everything of it was killed.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::{Failure, Kind};
use builder::protocol::{BuildEvent, BuildSpec, EventParser};
use builder::{Problem, manifest};
use control::seams::{BoxFuture, BuildRequest, Builders, BuiltSlug, Cancel, Lines, cancelled};
use model::{AppNumber, SlugId};
use runner::Runner;
use runner::runs::{Output, RunRequest, Runs};
use rustix::fs::{AtFlags, Mode, OFlags};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::internal_run::{kill_to_end, not_started, plumbing, sealed, spec};
use super::leftovers::remove_trees;

/// The builder ends by itself after 2 h; whatever keeps it from that is killed then.
const BUILD_MAX: Duration = Duration::from_mins(121);
/// Bytes of a slug that are hashed at once.
const HASH_CHUNK_BYTES: usize = 256 * 1024;
/// Bytes of stray output that are read at once.
const STRAY_CHUNK_BYTES: usize = 8 * 1024;
/// What is kept of one stray line, in bytes.
const STRAY_LINE_BYTES_MAX: usize = 4 * 1024;
/// Bytes of events that are read at once.
const EVENT_CHUNK_BYTES: usize = 64 * 1024;

/// Builds on this machine.
pub struct LocalBuilders {
    /// The root folder.
    pub root: PathBuf,
    /// Starts runs.
    pub runs: Runs,
    /// Has the unpacked slugs.
    pub runner: Runner,
    /// What builds may see of the server's own environment: proxies, certificates.
    pub host_environment: BTreeMap<String, String>,
    /// Toolchains outside `/usr`.
    pub toolchain_roots: Vec<String>,
}

/// What the events of a build come to.
#[derive(Default)]
struct Told {
    failed: Option<Problem>,
    done: bool,
}

impl LocalBuilders {
    async fn build_now(
        &self,
        request: BuildRequest,
        source: OwnedFd,
        lines: Lines,
        mut cancel: Cancel,
    ) -> Result<Option<BuiltSlug>, Failure> {
        let slug = unnamed(&self.slugs()).map_err(|error| plumbing(&error))?;
        let (events, events_end) = io::pipe().map_err(|error| plumbing(&error))?;
        let (stray, stray_end) = io::pipe().map_err(|error| plumbing(&error))?;
        let run = self.start(&request, source, events_end, stray_end, &slug).await?;
        let stray = tokio::spawn(pass_stray(stray, lines.clone()));
        let read = read_events(events, &lines, request.database);
        tokio::pin!(read);
        let told = tokio::select! {
            told = &mut read => told,
            () = cancelled(&mut cancel) => Err(Failure::new(Kind::Failed, "build.cancelled", "cancelled, nothing was deployed")),
            () = tokio::time::sleep(BUILD_MAX) => Err(Failure::new(Kind::Failed, "build.too_long", "the build took longer than 2 h")),
        };
        // Killed first, then its output is looked at: what a build leaves is hostile data.
        let Some(end) = kill_to_end(&run).await else {
            stray.abort();
            return Err(Failure::new(Kind::Host, "build.stuck", "the build cannot be killed").fix("see its processes with `ps`"));
        };
        if let Err(error) = stray.await {
            tracing::warn!(%error, "stray output of a build is lost");
        }
        self.wipe(&request).await;
        let told = told?;
        match (told.failed, told.done) {
            (Some(problem), _) => Err(failure_of(problem)),
            (None, true) => self.receive(slug).await.map(Some),
            (None, false) if request.plan_only => Ok(None),
            (None, false) => Err(Failure::new(Kind::Failed, "build.died", format!("the build {} before its slug was ready", end.status))
                .fix("read the lines above; if the box ran out of memory, see `paas status`")),
        }
    }

    async fn start(
        &self,
        request: &BuildRequest,
        source: OwnedFd,
        events: io::PipeWriter,
        stray: io::PipeWriter,
        slug: &std::fs::File,
    ) -> Result<runner::runs::LiveRun, Failure> {
        let build_spec = BuildSpec {
            app: request.app.to_string(),
            number: request.build,
            commit: request.commit.clone(),
            config: request.variables.iter().map(|(k, v)| (k.to_string(), v.reveal().to_owned())).collect(),
            host_environment: self.host_environment.clone(),
            toolchain_roots: self.toolchain_roots.clone(),
            buildpacks: Vec::new(),
            use_cache: request.use_cache,
            plan_only: request.plan_only,
            formation: request.formation.0.iter().map(|(t, n)| (t.to_string(), *n)).collect(),
        };
        let text = serde_json::to_vec(&build_spec).map_err(|error| Failure::internal("a build's spec cannot be written", &error))?;
        let descriptors = (|| {
            let slug = slug.as_fd().try_clone_to_owned()?;
            Ok::<_, io::Error>((sealed(&text)?, stray.as_fd().try_clone_to_owned()?, slug))
        })();
        let (stdin, stderr, slug) = descriptors.map_err(|error| plumbing(&error))?;
        let order = RunRequest {
            profile: launch::Profile::Build,
            app: request.number,
            folder: format!("build-{}", request.build),
            subject: Some(request.build.to_string()),
            output: Output::Inherit { stdin, stdout: stray.into(), stderr, terminal: false },
            descriptors: vec![source, events.into(), slug],
            spec: spec(&["/paas", "internal", "build"], "/app", &[]),
        };
        self.runs.start(order).await.map_err(|error| not_started("the build", &error))
    }

    async fn wipe(&self, request: &BuildRequest) {
        let subject = format!("builds/{}", request.build);
        if let Err(error) = self.runs.wipe(request.number, &subject).await {
            tracing::warn!(%error, app = %request.app, build = request.build, "the folder of a build stays");
        }
        if let Err(error) = self.runs.forget(request.number, &format!("build-{}", request.build)) {
            tracing::warn!(%error, app = %request.app, build = request.build, "the run folder of a build stays");
        }
    }

    fn slugs(&self) -> PathBuf {
        self.root.join("slugs")
    }

    /// Hashes, checks and names a slug.
    async fn receive(&self, slug: std::fs::File) -> Result<BuiltSlug, Failure> {
        let folder = self.slugs();
        let received = tokio::task::spawn_blocking(move || receive(slug, &folder)).await;
        received.map_err(|error| Failure::internal("receiving a slug failed", &error))?
    }
}

/// A file without a name: what a killed server leaves of it is nothing.
fn unnamed(folder: &Path) -> io::Result<std::fs::File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// What was built is copied while it is hashed: its own file was open to the build, which
/// may have passed it on to somebody who writes into it later.
fn receive(mut built: std::fs::File, folder: &Path) -> Result<BuiltSlug, Failure> {
    let unusable =
        |error: &dyn std::error::Error| Failure::new(Kind::Failed, "slug.unusable", "the build's slug cannot be used").caused_by(error);
    let stored = |error: &dyn std::error::Error| Failure::new(Kind::Host, "slug.not_stored", "the slug cannot be stored").caused_by(error);
    let mut slug = unnamed(folder).map_err(|error| stored(&error))?;
    built.seek(SeekFrom::Start(0)).map_err(|error| unusable(&error))?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; HASH_CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        let count = built.read(&mut chunk).map_err(|error| unusable(&error))?;
        if count == 0 {
            break;
        }
        hasher.update(&chunk[..count]);
        slug.write_all(&chunk[..count]).map_err(|error| stored(&error))?;
        bytes += count as u64;
    }
    let id = SlugId(hasher.finalize().into());
    slug.seek(SeekFrom::Start(0)).map_err(|error| unusable(&error))?;
    let manifest = manifest::read(&mut slug).map_err(|error| unusable(&error))?;
    slug.sync_all().map_err(|error| stored(&error))?;
    let name = folder.join(format!("{id}.tar.gz"));
    // The same bytes may be there already.
    match name_file(&slug, &name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(stored(&error)),
        _ => {}
    }
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| stored(&error))?;
    Ok(BuiltSlug { id, bytes, manifest })
}

fn name_file(file: &std::fs::File, name: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(rustix::fs::CWD, own, rustix::fs::CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

async fn read_events(events: io::PipeReader, lines: &Lines, database: &str) -> Result<Told, Failure> {
    let receiver = pipe::Receiver::from_owned_fd(events.into()).map_err(|error| plumbing(&error))?;
    let mut parser = EventParser::default();
    let mut told = Told::default();
    let mut chunk = vec![0; EVENT_CHUNK_BYTES];
    loop {
        receiver.readable().await.map_err(|error| plumbing(&error))?;
        let count = match receiver.try_read(&mut chunk) {
            Ok(0) => return Ok(told),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(plumbing(&error)),
        };
        for event in parser.push(&chunk[..count]).into_iter().flatten() {
            match event {
                BuildEvent::Failed(problem) => told.failed = Some(problem),
                BuildEvent::Done(done) => {
                    told.done = true;
                    say_timings(&done.timings_ms, lines).await;
                }
                BuildEvent::Planned(planned) if planned.needs_postgresql && database == "sqlite" => return Err(no_postgresql()),
                other => {
                    for line in other.render() {
                        lines.whole(line).await;
                    }
                }
            }
        }
    }
}

async fn say_timings(timings_ms: &BTreeMap<String, u64>, lines: &Lines) {
    let words: Vec<String> = timings_ms.iter().map(|(step, ms)| format!("{step} {}", model::text::milliseconds(*ms))).collect();
    if !words.is_empty() {
        lines.whole(format!("       Build time: {}", words.join(", "))).await;
    }
}

fn no_postgresql() -> Failure {
    Failure::new(Kind::Refused, "database.no_postgresql", "this app needs PostgreSQL and this box has none")
        .why("its dependencies name a PostgreSQL driver; DATABASE_URL would be a SQLite file")
        .fix("on the box: `sudo apt install postgresql`, restart the server, then `paas apps:destroy` and create the app again; or set DATABASE_URL yourself")
}

/// What a build prints past its events: a panic, a tool that writes to the wrong place. It
/// is hostile: a line may never end.
async fn pass_stray(stray: io::PipeReader, lines: Lines) {
    let Ok(mut receiver) = pipe::Receiver::from_owned_fd(stray.into()) else { return };
    let mut chunk = vec![0; STRAY_CHUNK_BYTES];
    let mut line = Vec::new();
    let tell = |line: &mut Vec<u8>| {
        lines.detail(model::text::clean(&String::from_utf8_lossy(line), builder::limits::EVENT_TEXT_CHARS_MAX));
        line.clear();
    };
    while let Ok(count @ 1..) = receiver.read(&mut chunk).await {
        for byte in &chunk[..count] {
            if *byte == b'\n' {
                tell(&mut line);
            } else if line.len() < STRAY_LINE_BYTES_MAX {
                line.push(*byte);
            }
        }
    }
    if !line.is_empty() {
        tell(&mut line);
    }
}

fn failure_of(problem: Problem) -> Failure {
    let mut failure = Failure::new(Kind::Failed, &problem.code, problem.what);
    failure.why = problem.why;
    failure.fix = problem.fix;
    failure
}

impl Builders for LocalBuilders {
    fn build(
        &self,
        request: BuildRequest,
        source: OwnedFd,
        lines: Lines,
        cancel: Cancel,
    ) -> BoxFuture<'_, Result<Option<BuiltSlug>, Failure>> {
        Box::pin(self.build_now(request, source, lines, cancel))
    }

    fn purge_cache(&self, number: AppNumber) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            self.runs.wipe(number, "cache").await.map_err(|error| not_started("purging the cache", &error))?;
            self.runs.prepare_app(number).await.map_err(|error| not_started("making the cache anew", &error))
        })
    }

    fn remove_slug(&self, slug: SlugId) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            match tokio::fs::remove_file(self.slugs().join(format!("{slug}.tar.gz"))).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(Failure::new(Kind::Host, "slug.not_removed", "an old slug cannot be removed").caused_by(&error))
                }
                _ => {
                    // A large tree takes a while, and the author of a push waits here.
                    let (root, runner, runs) = (self.root.clone(), self.runner.clone(), self.runs.clone());
                    tokio::spawn(async move { remove_trees(&root, &runner, &runs, slug).await });
                    Ok(())
                }
            }
        })
    }

    fn disk_bytes(&self) -> Result<(u64, u64), Failure> {
        let space = rustix::fs::statvfs(&self.root).map_err(|error| {
            Failure::new(Kind::Host, "disk.unreadable", "the space on the disk cannot be read").caused_by(&io::Error::from(error))
        })?;
        Ok((space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize))
    }
}
