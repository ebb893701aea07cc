//! A build in folders of its own: a git repository, its export, the build, the slug.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use builder::ExtractLimits;
use builder::child::{self, Descriptors};
use builder::protocol::{BuildEvent, BuildSpec, EventParser};
use builder::source::{self, ExportLimits};
use builder::unpack::unpack;
use tempfile::TempDir;

/// An app with a repository and a cache.
pub(crate) struct Author {
    home: TempDir,
}

/// What a build came to.
pub(crate) struct Outcome {
    pub(crate) events: Vec<BuildEvent>,
    pub(crate) succeeded: bool,
    pub(crate) slug: File,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Author {
    /// A repository with the source of a fixture, committed.
    pub(crate) fn with_fixture(language: &str, story: &str) -> Self {
        let author = Self { home: tempfile::tempdir().expect("folder") };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(language).join("fixtures").join(story).join("source");
        let copied = Command::new("cp").arg("-a").arg(source).arg(author.checkout()).status().expect("cp");
        assert!(copied.success());
        author.git(&["init", "-q"]);
        author
    }

    pub(crate) fn checkout(&self) -> PathBuf {
        self.home.path().join("checkout")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        std::fs::write(self.checkout().join(path), content).expect("written");
    }

    fn git(&self, words: &[&str]) {
        let settings = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
        self.run("git", &[&settings, words].concat());
    }

    /// Runs a program in the checkout.
    pub(crate) fn run(&self, program: &str, words: &[&str]) {
        let output = Command::new(program).args(words).current_dir(self.checkout()).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}: apt install {program}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Commits what there is and builds it.
    pub(crate) fn push(&self, change: impl FnOnce(&mut BuildSpec)) -> Outcome {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "A change"]);
        let repository = git2::Repository::open(self.checkout()).expect("repository");
        let commit = repository.head().and_then(|head| head.peel_to_commit()).expect("commit").id().to_string();
        let mut source = Vec::new();
        source::export(&repository, &commit, &mut source, &ExportLimits::default()).expect("exported");

        let app = tempfile::tempdir_in(self.home.path()).expect("app");
        let host_environment = builder::environment::allowed_from_host(std::env::vars());
        let mut spec = BuildSpec { app: "hello".to_owned(), number: 1, commit, host_environment, use_cache: true, ..BuildSpec::default() };
        change(&mut spec);
        let events = Shared::default();
        let slug = tempfile::tempfile_in(self.home.path()).expect("slug");
        let descriptors = Descriptors {
            spec: Box::new(std::io::Cursor::new(serde_json::to_vec(&spec).expect("spec"))),
            source: Box::new(std::io::Cursor::new(source)),
            events: Box::new(events.clone()),
            slug: slug.try_clone().expect("slug"),
            app: app.path().to_owned(),
            cache: self.cache(),
        };
        let code = child::run(descriptors, buildpacks::all());
        let bytes = events.0.lock().expect("lock").clone();
        let events = EventParser::default().push(&bytes).into_iter().map(|event| event.expect("understood")).collect();
        Outcome { events, succeeded: code == 0, slug }
    }
}

impl Outcome {
    /// What the author sees.
    pub(crate) fn log(&self) -> String {
        let lines: Vec<String> = self.events.iter().flat_map(BuildEvent::render).collect();
        lines.join("\n") + "\n"
    }

    /// Only steps, details and problems: no line of pip or npm.
    pub(crate) fn steps(&self) -> String {
        let ours = self.events.iter().filter(|event| !matches!(event, BuildEvent::Output(_) | BuildEvent::Progress(_)));
        ours.flat_map(BuildEvent::render).collect::<Vec<_>>().join("\n") + "\n"
    }

    /// The same with `N` for times, sizes and versions, which differ from host to host.
    pub(crate) fn told(&self) -> String {
        let mut told = String::new();
        for char in self.steps().chars() {
            let follows = told.ends_with('N');
            match char {
                '0'..='9' if !follows => told.push('N'),
                '0'..='9' => {}
                _ => told.push(char),
            }
        }
        for version in ["N.N.N", "N.N"] {
            told = told.replace(version, "N");
        }
        // Where the host has only ensurepip, each environment has its own pip, and the
        // slug is larger by it.
        told.replace("`python -I -m pip install", "`pythonN -I -m pip --python .venv/bin/python install").replace("N MB", "N KB")
    }

    /// The slug, unpacked.
    pub(crate) fn unpacked(&mut self) -> (TempDir, model::SlugManifest) {
        assert!(self.succeeded, "{}", self.log());
        let target = tempfile::tempdir().expect("target");
        self.slug.rewind().expect("rewind");
        let unpacked = unpack(&mut self.slug, target.path(), ExtractLimits::SLUG).expect("unpacked");
        assert_eq!(unpacked.extracted.entries, unpacked.manifest.entries);
        (target, unpacked.manifest)
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        self.slug.rewind().expect("rewind");
        let mut bytes = Vec::new();
        self.slug.read_to_end(&mut bytes).expect("slug");
        bytes
    }
}
