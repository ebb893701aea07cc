//! Trees as git users push them, and as attackers make them.

use std::io::Cursor;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use builder::ExtractLimits;
use builder::source::{ExportError, ExportLimits, ExportSummary, export, export_folder, receive};
use git2::{ObjectType, Oid, Repository, Signature};
use tempfile::TempDir;

struct Checkout {
    folder: TempDir,
    repository: Repository,
}

impl Checkout {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init(folder.path()).expect("repository");
        Self { folder, repository }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn commit_all(&self) -> String {
        let mut index = self.repository.index().expect("index");
        index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).expect("added");
        let tree = index.write_tree().expect("tree");
        self.commit_tree(tree)
    }

    fn commit_tree(&self, tree: Oid) -> String {
        let someone = Signature::now("a", "a@example.com").expect("signature");
        let tree = self.repository.find_tree(tree).expect("tree");
        self.repository.commit(None, &someone, &someone, "x", &tree, &[]).expect("commit").to_string()
    }

    /// A tree object of raw entries, which no git client would make.
    fn raw_tree(&self, entries: &[(&str, &[u8], Oid)]) -> Oid {
        let mut bytes = Vec::new();
        for (mode, name, oid) in entries {
            bytes.extend_from_slice(mode.as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend_from_slice(oid.as_bytes());
        }
        self.repository.odb().expect("odb").write(ObjectType::Tree, &bytes).expect("written")
    }

    fn blob(&self, content: &[u8]) -> Oid {
        self.repository.blob(content).expect("blob")
    }

    fn export(&self, commit: &str) -> Result<(Vec<u8>, ExportSummary), ExportError> {
        let mut out = Vec::new();
        let summary = export(&self.repository, commit, &mut out, &ExportLimits::default())?;
        Ok((out, summary))
    }

    fn refusal(&self, entries: &[(&str, &[u8], Oid)]) -> String {
        let commit = self.commit_tree(self.raw_tree(entries));
        let error = self.export(&commit).expect_err("refused");
        format!("{error}{}", std::error::Error::source(&error).map(|e| format!(": {e}")).unwrap_or_default())
    }
}

fn received(stream: &[u8]) -> TempDir {
    let app = tempfile::tempdir().expect("app");
    receive(Cursor::new(stream), app.path(), ExtractLimits::SOURCE).expect("received");
    app
}

#[test]
fn a_tree_arrives_as_it_was_committed() {
    use std::os::unix::fs::PermissionsExt;
    let checkout = Checkout::new();
    let long = format!("deep/{}/{}", "a".repeat(120), "b".repeat(120));
    std::fs::create_dir_all(checkout.path().join(&long)).expect("folders");
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    for (name, content) in [
        ("Procfile", b"web: x\n".as_slice()),
        ("large.bin", &large),
        (&format!("{long}/file"), b"deep"),
        ("empty", b""),
        ("ünï code", b"u"),
    ] {
        std::fs::write(checkout.path().join(name), content).expect(name);
    }
    std::fs::create_dir(checkout.path().join("bin")).expect("bin");
    std::fs::write(checkout.path().join("bin/run"), "#!/bin/sh\n").expect("run");
    std::fs::set_permissions(checkout.path().join("bin/run"), std::fs::Permissions::from_mode(0o755)).expect("mode");
    symlink("../Procfile", checkout.path().join("bin/link")).expect("link");
    symlink(format!("{long}/file"), checkout.path().join("long-link")).expect("link");

    let (stream, summary) = checkout.export(&checkout.commit_all()).expect("exported");
    assert_eq!(summary.warnings, Vec::<String>::new());
    let app = received(&stream);
    assert_eq!(std::fs::read(app.path().join("large.bin")).expect("large"), large);
    assert_eq!(std::fs::read(app.path().join("long-link")).expect("through the link"), b"deep");
    assert_eq!(std::fs::read(app.path().join("bin/link")).expect("through the link"), b"web: x\n");
    assert_eq!(std::fs::metadata(app.path().join("bin/run")).expect("run").mode() & 0o777, 0o755);
    assert_eq!(std::fs::metadata(app.path().join("empty")).expect("empty").mode() & 0o777, 0o644);
    assert!(app.path().join("ünï code").exists());
}

#[test]
fn one_folder_can_be_the_app() {
    let checkout = Checkout::new();
    std::fs::create_dir_all(checkout.path().join("services/api")).expect("folders");
    std::fs::write(checkout.path().join("services/api/Procfile"), "web: x\n").expect("file");
    let commit = checkout.commit_all();
    let mut out = Vec::new();
    export_folder(&checkout.repository, &commit, Some("services/api"), &mut out, &ExportLimits::default()).expect("exported");
    assert!(received(&out).path().join("Procfile").exists());
    let missing = export_folder(&checkout.repository, &commit, Some("services/web"), Vec::new(), &ExportLimits::default());
    assert!(matches!(missing, Err(ExportError::NoFolder { .. })));
}

#[test]
fn names_that_no_checkout_takes_are_refused() {
    let checkout = Checkout::new();
    let blob = checkout.blob(b"x");
    for name in [&b".."[..], b".", b".git", b".GiT", b"git~1", b".git.", b"a/b", b"a\nb", b"a\x1b[31mb", ".g\u{200c}it".as_bytes()] {
        let refusal = checkout.refusal(&[("100644", name, blob)]);
        assert!(refusal.contains("cannot be part of an app"), "{refusal}");
        assert!(!refusal.contains('\u{1b}'), "{refusal:?}");
    }
    let below = checkout.raw_tree(&[("100644", b"..", blob)]);
    assert!(checkout.refusal(&[("40000", b"folder", below)]).contains("`folder/..`"));
    assert!(checkout.refusal(&[("100644", b"a", blob), ("120000", b"a", blob)]).contains("in the tree twice"));
}

#[test]
fn links_that_lead_out_are_refused() {
    let checkout = Checkout::new();
    for target in ["/etc/passwd", "../x", "a/../../x", ""] {
        let link = checkout.blob(target.as_bytes());
        assert!(checkout.refusal(&[("120000", b"link", link)]).contains("leads out of the repository"), "{target}");
    }
}

#[test]
fn a_bomb_of_trees_is_stopped_by_its_count_and_its_depth() {
    let checkout = Checkout::new();
    let blob = checkout.blob(b"x");
    let names: Vec<String> = (0..10).map(|n| format!("n{n}")).collect();
    let mut tree = checkout.raw_tree(&names.iter().map(|n| ("100644", n.as_bytes(), blob)).collect::<Vec<_>>());
    for _ in 0..9 {
        tree = checkout.raw_tree(&names.iter().map(|n| ("40000", n.as_bytes(), tree)).collect::<Vec<_>>());
    }
    let limits = ExportLimits { entries_max: 5_000, ..ExportLimits::default() };
    let error = export(&checkout.repository, &checkout.commit_tree(tree), Vec::new(), &limits).expect_err("a bomb");
    assert!(error.to_string().contains("more than 5000 files"), "{error}");

    let mut deep = checkout.raw_tree(&[("100644", b"x", blob)]);
    for _ in 0..100 {
        deep = checkout.raw_tree(&[("40000", b"d", deep)]);
    }
    assert!(matches!(checkout.export(&checkout.commit_tree(deep)), Err(ExportError::Path { .. })));
}

#[test]
fn bytes_are_counted_before_they_are_read() {
    let checkout = Checkout::new();
    let blob = checkout.blob(&vec![0; 2_000_000]);
    let commit = checkout.commit_tree(checkout.raw_tree(&[("100644", b"a", blob), ("100644", b"b", blob)]));
    for limits in [
        ExportLimits { file_bytes_max: 1_000_000, ..ExportLimits::default() },
        ExportLimits { bytes_max: 3_000_000, ..ExportLimits::default() },
    ] {
        assert!(matches!(export(&checkout.repository, &commit, Vec::new(), &limits), Err(ExportError::TooLarge(_))));
    }
}

#[test]
fn an_lfs_pointer_is_an_error_that_names_the_file() {
    let checkout = Checkout::new();
    let pointer = checkout.blob(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n");
    let commit = checkout.commit_tree(checkout.raw_tree(&[("100644", b"model.bin", pointer)]));
    let problem = checkout.export(&commit).expect_err("refused").problem();
    assert_eq!(problem.file.as_deref(), Some("model.bin"));
    assert!(problem.fix.expect("a fix").contains("git lfs migrate export --include=\"model.bin\""));
}

#[test]
fn a_submodule_is_an_empty_folder_with_a_warning() {
    let checkout = Checkout::new();
    let elsewhere = Oid::from_str(&"1".repeat(40)).expect("id");
    let commit = checkout.commit_tree(checkout.raw_tree(&[("160000", b"library", elsewhere)]));
    let (stream, summary) = checkout.export(&commit).expect("exported");
    assert!(summary.warnings[0].starts_with("submodule `library` is not fetched"));
    assert!(received(&stream).path().join("library").is_dir());
}

#[test]
fn a_stream_that_was_cut_off_is_noticed_wherever_it_was_cut() {
    let checkout = Checkout::new();
    std::fs::write(checkout.path().join("a"), "x".repeat(1_000)).expect("file");
    std::fs::write(checkout.path().join("b"), "x").expect("file");
    let (stream, _) = checkout.export(&checkout.commit_all()).expect("exported");
    for length in [0, 100, 512, 700, 1_536, 2_048, 2_560] {
        let app = tempfile::tempdir().expect("app");
        let cut = receive(Cursor::new(&stream[..length]), app.path(), ExtractLimits::SOURCE);
        assert!(cut.is_err(), "{length} of {} bytes were taken for the whole", stream.len());
    }
}

#[test]
fn a_stream_whose_export_failed_never_looks_whole() {
    let checkout = Checkout::new();
    std::fs::write(checkout.path().join("a"), "first").expect("written");
    std::fs::write(
        checkout.path().join("z"),
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 1\n",
    )
    .expect("written");
    let commit = checkout.commit_all();
    let mut stream = Vec::new();
    export(&checkout.repository, &commit, &mut stream, &ExportLimits::default()).expect_err("an LFS pointer");
    assert!(!stream.is_empty(), "the first file was not sent");
    let folder = tempfile::tempdir().expect("folder");
    receive(Cursor::new(stream), folder.path(), ExtractLimits::SOURCE).expect_err("half a tree");
}
