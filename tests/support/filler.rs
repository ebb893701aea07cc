//! A full disk, made and taken away again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;

/// A file that takes what room there is in a folder's file system.
pub(crate) struct Filler {
    file: File,
    path: PathBuf,
}

impl Filler {
    /// Fills the file system of `folder` up to the last `left` bytes.
    pub(crate) fn fill(folder: &Path, left: u64) -> Self {
        let path = folder.join("filler");
        let bytes = free_bytes(folder).checked_sub(left).expect("more room than is to be left");
        let file = File::create(&path).expect("filler");
        posix_fallocate(&file, 0, bytes.cast_signed()).expect("space");
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
