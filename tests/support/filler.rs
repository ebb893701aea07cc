//! A full disk, made and taken away again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;

use super::{SOON, wait_until};

/// What is taken last.
const LAST_BYTES: u64 = 4 * 1024 * 1024;

/// A file that takes what room there is in a folder's file system.
pub(crate) struct Filler {
    file: File,
    path: PathBuf,
}

impl Filler {
    /// Fills the file system of `folder` up to the last `left` bytes.
    pub(crate) fn fill(folder: &Path, left: u64) -> Self {
        let path = folder.join("filler");
        let file = File::create(&path).expect("filler");
        let take = |from: u64, bytes: u64| posix_fallocate(&file, from.cast_signed(), bytes.cast_signed());
        let room = || free_bytes(folder).saturating_sub(left);
        assert!(room() > 0, "more room than is to be left");
        // Taking much takes a while, in which whatever runs there writes its logs: the last
        // of it is so little that nobody is quicker for long.
        let most = room().saturating_sub(LAST_BYTES);
        if most > 0 {
            take(0, most).expect("space");
        }
        wait_until("the room is taken", SOON, || {
            let last = room();
            (last == 0 || take(most, last) == Ok(())).then_some(())
        });
        Self { file, path }
    }

    /// Gives the room back. Emptied before it is removed: whatever another test of this
    /// process has just forked holds the file open until it executes its program, and a
    /// removed file keeps its room until nobody has it open.
    pub(crate) fn give_back(self) {
        let taken = self.file.metadata().expect("filler").len();
        self.file.set_len(0).expect("room of the filler");
        fs::remove_file(&self.path).expect("filler");
        let folder = self.path.parent().expect("folder of the filler");
        let free = free_bytes(folder);
        assert!(free >= taken / 2, "{taken} bytes were given back, {free} are free");
    }
}

fn free_bytes(folder: &Path) -> u64 {
    let space = statvfs(folder).expect("free space");
    space.blocks_available() * space.fragment_size()
}
