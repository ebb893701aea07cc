//! Copies in `libexec/`: what runs outlives an upgrade of the binary that started it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use api::{Failure, Kind};
use sha2::{Digest, Sha256};

use super::limits::{COPY_BYTES, OLD_COPIES_KEPT};

/// Everyone executes it, nobody changes it.
const MODE: u32 = 0o755;
/// Digits of a digest that name a copy.
const ID_BYTES: usize = 8;

/// Writes the shim that this binary carries; returns its file name.
pub(super) fn shim(root: &Path) -> Result<String, Failure> {
    let bytes = runner::shim_binary();
    let name = format!("shim-{}", hex(&Sha256::digest(bytes)));
    place(root, &name, |temporary| File::create(temporary)?.write_all(bytes)).map_err(|error| failed(&name, &error))?;
    Ok(name)
}

/// Places this binary; returns its file name. One that whoever runs it owns alone is
/// linked, since copying takes a moment; any other is copied.
pub(super) fn paas(root: &Path, is_root: bool) -> Result<String, Failure> {
    let placed = (|| {
        // Through /proc: the binary's own path may be gone or mean another one by now.
        let mut source = File::open("/proc/self/exe")?;
        let found = source.metadata()?;
        let mut digest = Sha256::new();
        for number in [found.ino(), found.size(), found.mtime().cast_unsigned(), found.mtime_nsec().cast_unsigned()] {
            digest.update(number.to_le_bytes());
        }
        let name = format!("paas-{}", hex(&digest.finalize()[..ID_BYTES]));
        let owner = if is_root { 0 } else { rustix::process::geteuid().as_raw() };
        let can_link = found.uid() == owner && found.mode() & 0o7777 == MODE;
        place(root, &name, |temporary| {
            let linked = can_link && fs::hard_link(std::env::current_exe()?, temporary).is_ok() && is_same(temporary, &found)?;
            if linked { Ok(()) } else { copy(&mut source, temporary) }
        })?;
        Ok(name)
    })();
    placed.map_err(|error: io::Error| failed("paas", &error))
}

fn is_same(path: &Path, wanted: &fs::Metadata) -> io::Result<bool> {
    let found = fs::metadata(path)?;
    let same = (found.dev(), found.ino()) == (wanted.dev(), wanted.ino());
    if !same {
        fs::remove_file(path)?;
    }
    Ok(same)
}

fn copy(source: &mut File, target: &Path) -> io::Result<()> {
    let mut target = File::create_new(target)?;
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(()),
            count => target.write_all(&buffer[..count])?,
        }
    }
}

/// Puts a file in place whole or not at all.
fn place(root: &Path, name: &str, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = root.join("libexec");
    let path = folder.join(name);
    if path.exists() {
        return Ok(());
    }
    let temporary = folder.join(format!(".{name}.new"));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    write(&temporary)?;
    let file = File::open(&temporary)?;
    file.set_permissions(fs::Permissions::from_mode(MODE))?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    File::open(&folder)?.sync_all()
}

/// Removes copies that nothing needs any more: what runs keeps its file open, and what
/// starts is named by the current guardian.
pub(super) fn forget_old(root: &Path, current: &[&str]) {
    let folder = root.join("libexec");
    for kind in ["shim-", "paas-"] {
        let mut old = old_copies(&folder, kind, current);
        // The last one that was placed comes first.
        old.sort_unstable_by(|a, b| b.cmp(a));
        for (_, path) in old.into_iter().skip(OLD_COPIES_KEPT) {
            // One that stays costs space alone, and the next start tries again.
            let _ = fs::remove_file(path);
        }
    }
}

/// When each old copy was placed, and where it is.
fn old_copies(folder: &Path, kind: &str, current: &[&str]) -> Vec<((i64, i64), PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_old = |name: &str| name.starts_with(kind) && !current.contains(&name);
    let old = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_old));
    old.filter_map(|entry| entry.metadata().ok().map(|found| ((found.ctime(), found.ctime_nsec()), entry.path()))).collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn failed(name: &str, error: &io::Error) -> Failure {
    Failure::new(Kind::Host, "guardian.copy", format!("{name} cannot be placed in libexec"))
        .why("what runs must outlive an upgrade, so it is executed from there")
        .fix("see that the disk is not full: df -h")
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_copies_go_but_for_the_last_one() {
        let root = tempfile::tempdir().expect("folder");
        let folder = root.path().join("libexec");
        fs::create_dir(&folder).expect("libexec");
        for name in ["paas-1", "paas-2", "paas-3", "shim-1", "other"] {
            place(root.path(), name, |temporary| fs::write(temporary, name)).expect("placed");
            // Times of files are as coarse as the kernel's tick.
            let placed = fs::metadata(folder.join(name)).expect("file");
            while File::create(folder.join("now")).and_then(|file| file.metadata()).expect("now").ctime_nsec() == placed.ctime_nsec() {}
        }
        fs::remove_file(folder.join("now")).expect("now");
        forget_old(root.path(), &["paas-3", "shim-1"]);
        let mut left: Vec<_> = fs::read_dir(&folder).expect("libexec").map(|entry| entry.expect("entry").file_name()).collect();
        left.sort();
        assert_eq!(left, ["other", "paas-2", "paas-3", "shim-1"]);
    }
}
