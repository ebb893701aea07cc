//! Slugs: the same bytes for the same input, readable by plain tar, and what an enemy
//! would put into one.

use std::fs::File;
use std::io::{Cursor, Read, Seek, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use builder::unpack::unpack;
use builder::{ArchiveError, ExtractLimits, manifest, slug_writer};
use model::SlugManifest;
use tar::{EntryType, Header};
use tempfile::TempDir;

const GOLDEN_MANIFEST: &str = include_str!("../../../tests/formats/slug/manifest-1.json");
const GOLDEN_SLUG: &[u8] = include_bytes!("../../../tests/formats/slug/slug-1.tar.gz");

fn example() -> SlugManifest {
    manifest::decode(GOLDEN_MANIFEST.as_bytes()).expect("golden")
}

fn app() -> TempDir {
    let app = tempfile::tempdir().expect("app");
    std::fs::create_dir_all(app.path().join("bin")).expect("bin");
    std::fs::write(app.path().join("bin/run"), "#!/bin/sh\necho hello\n").expect("run");
    std::fs::set_permissions(app.path().join("bin/run"), std::fs::Permissions::from_mode(0o4755)).expect("mode");
    std::fs::write(app.path().join("Procfile"), "web: bin/run\n").expect("Procfile");
    symlink("bin/run", app.path().join("start")).expect("link");
    std::fs::create_dir_all(app.path().join(".git/objects")).expect("git");
    app
}

fn write(app: &Path) -> (Vec<u8>, slug_writer::WrittenSlug) {
    let mut slug = tempfile::tempfile().expect("slug");
    let written = slug_writer::write(app, &[], example(), &mut slug).expect("written");
    slug.rewind().expect("rewind");
    let mut bytes = Vec::new();
    slug.read_to_end(&mut bytes).expect("read");
    assert_eq!(bytes.len() as u64, written.packed_bytes);
    (bytes, written)
}

#[test]
fn version_1_of_the_manifest_stays_readable_and_is_written_byte_for_byte() {
    let manifest = example();
    assert_eq!(manifest.buildpack, "python");
    assert_eq!(String::from_utf8(manifest::encode(&manifest).expect("encodes")).expect("text"), GOLDEN_MANIFEST);
}

#[test]
fn version_1_of_the_slug_stays_readable() {
    assert_eq!(manifest::read(&mut Cursor::new(GOLDEN_SLUG)).expect("manifest").commands, example().commands);
    let target = tempfile::tempdir().expect("target");
    let unpacked = unpack(Cursor::new(GOLDEN_SLUG), target.path(), ExtractLimits::SLUG).expect("unpacked");
    assert_eq!(unpacked.extracted.entries, unpacked.manifest.entries);
    let output = Command::new(target.path().join("start")).output().expect("runs");
    assert_eq!(output.stdout, b"hello\n");
}

#[test]
fn the_same_tree_gives_the_same_bytes_whenever_and_wherever_it_was_made() {
    let (first, _) = write(app().path());
    let other = app();
    let old = File::open(other.path().join("Procfile")).expect("file");
    old.set_modified(std::time::UNIX_EPOCH).expect("time");
    assert!(first == write(other.path()).0, "the slugs differ");
}

#[test]
fn plain_tar_lists_a_slug_and_unpacking_gives_the_tree_back() {
    let app = app();
    let (bytes, written) = write(app.path());
    assert_eq!(written.warnings, Vec::<String>::new());
    let mut tar = Command::new("tar")
        .arg("tzf")
        .arg("-")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("tar");
    tar.stdin.take().expect("stdin").write_all(&bytes).expect("fed");
    let listed = tar.wait_with_output().expect("tar");
    assert!(listed.status.success());
    assert_eq!(String::from_utf8_lossy(&listed.stdout), ".paas/manifest.json\nProcfile\nbin/\nbin/run\nstart\n");

    let target = tempfile::tempdir().expect("target");
    let unpacked = unpack(Cursor::new(&bytes), target.path(), ExtractLimits::SLUG).expect("unpacked");
    assert_eq!((unpacked.extracted.entries, unpacked.manifest.entries), (4, 4));
    let mode = std::fs::metadata(target.path().join("bin/run")).expect("run").permissions().mode();
    assert_eq!(mode & 0o7777, 0o755, "no setuid bit comes out");
    assert!(!target.path().join(".paas").exists());
}

#[test]
fn what_the_app_would_not_see_stays_out_with_a_warning() {
    let app = app();
    symlink("/etc/passwd", app.path().join("secrets")).expect("link");
    symlink("/usr/bin/env", app.path().join("env")).expect("link");
    let _socket = std::os::unix::net::UnixListener::bind(app.path().join("socket")).expect("socket");
    let (_, written) = write(app.path());
    assert_eq!(written.warnings.len(), 2, "{:?}", written.warnings);
    assert!(
        written.warnings.iter().any(|w| w.starts_with("secrets is left out")) && written.warnings.iter().any(|w| w.contains("a socket"))
    );
}

/// A slug with one more member than its manifest knows how to defend against.
fn hostile(announced: (u64, u64), members: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut manifest = example();
    (manifest.entries, manifest.unpacked_bytes) = announced;
    let text = manifest::encode(&manifest).expect("encodes");
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = header(EntryType::Regular, 0o644, text.len() as u64);
    builder.append_data(&mut header, manifest::PATH, text.as_slice()).expect("manifest");
    members(&mut builder);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&builder.into_inner().expect("tar")).expect("gzip");
    gzip.finish().expect("gzip")
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header
}

/// A member whose name the tar library itself would refuse to write.
fn raw(builder: &mut tar::Builder<Vec<u8>>, mut header: Header, name: &[u8], link: &[u8]) {
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_cksum();
    let size = usize::try_from(header.entry_size().expect("size")).expect("fits");
    builder.append(&header, vec![b'x'; size].as_slice()).expect("appended");
}

fn refused(slug: &[u8]) -> (ArchiveError, TempDir) {
    let target = tempfile::tempdir().expect("target");
    let inner = target.path().join("app");
    std::fs::create_dir(&inner).expect("folder");
    let error = unpack(Cursor::new(slug), &inner, ExtractLimits::SLUG).expect_err("refused");
    assert!(!target.path().join("evil").exists() && !Path::new("/tmp/evil").exists());
    (error, target)
}

#[test]
fn paths_that_leave_the_target_are_refused() {
    for name in [&b"../evil"[..], b"/tmp/evil", b"a/../../evil", b".git/config", b"a//b", b"./x", b"x\x1by"] {
        let slug = hostile((10, 10), |tar| raw(tar, header(EntryType::Regular, 0o644, 1), name, b""));
        assert!(matches!(refused(&slug).0, ArchiveError::Path { .. }), "{}", String::from_utf8_lossy(name));
    }
}

#[test]
fn links_that_leave_are_refused_and_links_are_never_written_through() {
    for target in [&b"/etc"[..], b"..", b"a/../../..", b""] {
        let slug = hostile((10, 10), |tar| raw(tar, header(EntryType::Symlink, 0o777, 0), b"link", target));
        assert!(matches!(refused(&slug).0, ArchiveError::LinkLeaves { .. }));
    }
    let slug = hostile((10, 10), |tar| {
        raw(tar, header(EntryType::Directory, 0o755, 0), b"folder", b"");
        raw(tar, header(EntryType::Symlink, 0o777, 0), b"link", b"folder");
        raw(tar, header(EntryType::Regular, 0o644, 1), b"link/file", b"");
    });
    let (error, target) = refused(&slug);
    assert!(matches!(error, ArchiveError::Write { .. }), "{error}");
    assert!(!target.path().join("app/folder/file").exists());
    let twice = hostile((10, 10), |tar| {
        raw(tar, header(EntryType::Symlink, 0o777, 0), b"file", b"other");
        raw(tar, header(EntryType::Regular, 0o644, 1), b"file", b"");
    });
    assert!(matches!(refused(&twice).0, ArchiveError::Write { .. }));
}

#[test]
fn devices_hard_links_and_setuid_bits_are_refused() {
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::Link, EntryType::XHeader, EntryType::GNUSparse] {
        let slug = hostile((10, 10), |tar| raw(tar, header(kind, 0o644, 0), b"evil", b"Procfile"));
        assert!(matches!(refused(&slug).0, ArchiveError::Kind { .. }), "{kind:?}");
    }
    for mode in [0o4755, 0o2755] {
        let slug = hostile((10, 10), |tar| raw(tar, header(EntryType::Regular, mode, 1), b"evil", b""));
        assert!(matches!(refused(&slug).0, ArchiveError::Setuid { .. }));
    }
}

#[test]
fn more_than_announced_is_refused() {
    let many = hostile((2, 100), |tar| {
        for name in [b"a", b"b", b"c"] {
            raw(tar, header(EntryType::Regular, 0o644, 1), name, b"");
        }
    });
    assert!(matches!(refused(&many).0, ArchiveError::TooMany { max: 2 }));
    let large = hostile((2, 100), |tar| raw(tar, header(EntryType::Regular, 0o644, 101), b"a", b""));
    assert!(matches!(refused(&large).0, ArchiveError::TooLarge { max: 100 }));
    let name_bomb = hostile((2, 100), |tar| raw(tar, header(EntryType::GNULongName, 0o644, 1_000_000), b"././@LongLink", b""));
    assert!(matches!(refused(&name_bomb).0, ArchiveError::Path { .. }));
}

#[test]
fn a_slug_that_is_damaged_or_no_slug_is_an_error() {
    let (bytes, _) = write(app().path());
    for slug in [&b""[..], b"no gzip", &bytes[..bytes.len() / 2], &bytes[..bytes.len() - 30]] {
        let target = tempfile::tempdir().expect("target");
        assert!(unpack(Cursor::new(slug), target.path(), ExtractLimits::SLUG).is_err());
    }
    assert!(manifest::read(&mut Cursor::new(b"no gzip".as_slice())).is_err());
}
