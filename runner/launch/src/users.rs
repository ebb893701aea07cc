//! Numeric users: allocated by arithmetic, never by name, never reused.

use crate::Profile;
use crate::limits::APPS_MAX;

/// Users of the platform come before those of the apps.
const APPS_FROM: u32 = 16;
/// Run, build and git.
const USERS_PER_APP: u32 = 3;

/// Every number that belongs to a root folder, counted from its base. Group id = user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Users {
    /// The first number (`uid_base` of `paas.toml`).
    pub base: u32,
}

impl Users {
    /// The server.
    pub fn paasd(self) -> u32 {
        self.base
    }

    /// The router.
    pub fn router(self) -> u32 {
        self.base + 1
    }

    /// Every shim.
    pub fn shim(self) -> u32 {
        self.base + 2
    }

    /// The managed PostgreSQL cluster.
    pub fn postgres(self) -> u32 {
        self.base + 3
    }

    /// An app's processes.
    pub fn run(self, app: u32) -> u32 {
        self.base + APPS_FROM + USERS_PER_APP * app
    }

    /// An app's builds.
    pub fn build(self, app: u32) -> u32 {
        self.run(app) + 1
    }

    /// An app's repository.
    pub fn git(self, app: u32) -> u32 {
        self.run(app) + 2
    }

    /// Whether the whole range lies above the machine's own users and below the end.
    pub fn is_valid(self) -> bool {
        const LAST: u32 = APPS_FROM + USERS_PER_APP * (APPS_MAX + 1);
        self.base >= 65_536 && self.base.checked_add(LAST).is_some_and(|last| last < u32::MAX / 2)
    }

    /// As whom the child of a profile runs; `None` where the subject decides (wipe).
    pub fn of(self, profile: Profile, app: u32) -> Option<u32> {
        match profile {
            Profile::App | Profile::Unpack | Profile::Exec => Some(self.run(app)),
            Profile::Build => Some(self.build(app)),
            Profile::Git | Profile::Export => Some(self.git(app)),
            Profile::Postgres => Some(self.postgres()),
            Profile::Router => Some(self.router()),
            Profile::Wipe => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_apps_share_a_user() {
        let users = Users { base: 700_000 };
        assert_eq!((users.run(1), users.build(1), users.git(1)), (700_019, 700_020, 700_021));
        assert_eq!(users.run(2), users.git(1) + 1);
        assert!(users.run(0) > users.postgres());
        assert!(users.is_valid());
        assert!(!Users { base: 0 }.is_valid());
        assert!(!Users { base: u32::MAX - 10 }.is_valid());
    }
}
