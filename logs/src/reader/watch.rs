//! Being told that a folder changed, also one that is not there yet.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// Tries to find a folder whose ancestors are being made at the same moment.
const ANCESTOR_TRIES_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Watch {
    inotify: Inotify,
}

/// What happened since the last look.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Folders in which something happened.
    pub(super) changed: HashSet<WatchDescriptor>,
    /// Folders that are not watched any more: they were removed or renamed.
    pub(super) gone: HashSet<WatchDescriptor>,
    /// More happened than the kernel could note.
    pub(super) all: bool,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { inotify: Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)? })
    }

    /// Watches a folder. If it is not there its nearest ancestor is watched, and the answer
    /// is `None`: try again when anything happens.
    pub(super) fn add(&self, folder: &Path) -> io::Result<Option<WatchDescriptor>> {
        for _ in 0..ANCESTOR_TRIES_MAX {
            if let Some(descriptor) = self.add_existing(folder)? {
                return Ok(Some(descriptor));
            }
            let mut ancestors = folder.ancestors().skip(1);
            let nearest = ancestors.find_map(|ancestor| match self.add_existing(ancestor) {
                Ok(descriptor) => descriptor.map(|_| Ok(ancestor)),
                Err(error) => Some(Err(error)),
            });
            let Some(nearest) = nearest.transpose()? else { break };
            // Made between the two looks?
            let next = folder.ancestors().find(|path| path.parent() == Some(nearest));
            if next.is_none_or(|next| !next.exists()) {
                return Ok(None);
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn add_existing(&self, folder: &Path) -> io::Result<Option<WatchDescriptor>> {
        let events = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        match self.inotify.add_watch(folder, events) {
            Ok(descriptor) => Ok(Some(descriptor)),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what the kernel noted, without waiting.
    pub(super) fn take(&self) -> io::Result<Changes> {
        let mut changes = Changes::default();
        loop {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => return Ok(changes),
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in events {
                let gone = AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    changes.all = true;
                } else if event.mask.intersects(gone) {
                    changes.gone.insert(event.wd);
                } else {
                    changes.changed.insert(event.wd);
                }
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
