//! Users and ports for one test host: disjoint from every other that runs on this machine.

use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// How many hosts can be up at once.
const SEATS: u16 = 100;
/// Ports of one seat. All of them lie below Linux's ephemeral range (32768 and up).
const PORTS_PER_SEAT: u16 = 200;
const FIRST_PORT: u16 = 12_000;
const FIRST_UID: u32 = 1_000_000;
/// Users of one seat: far more apps than its ports allow.
const UIDS_PER_SEAT: u32 = 1_000;

/// Who starts the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// root: one user per process kind and app.
    Root,
    /// An ordinary user, alone in user namespaces.
    Rootless,
}

impl Mode {
    /// `PAAS_TEST_MODE=root|rootless`; without it what the caller is.
    pub(crate) fn chosen() -> Self {
        let caller_is_root = nix::unistd::geteuid().is_root();
        match std::env::var("PAAS_TEST_MODE").as_deref() {
            Ok("root") if caller_is_root => Self::Root,
            Ok("root") => panic!("PAAS_TEST_MODE=root needs root"),
            Ok("rootless") => Self::Rootless,
            Ok(other) => panic!("PAAS_TEST_MODE={other}: write root or rootless"),
            Err(_) if caller_is_root => Self::Root,
            Err(_) => Self::Rootless,
        }
    }
}

/// One share of users and ports, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    number: u16,
    /// An abstract name: it lasts as long as its holder, and everyone who shares the ports
    /// (another user, a chroot with a `/tmp` of its own) shares it too.
    _held: UnixListener,
}

impl Seat {
    /// Takes the first free seat whose ports nobody else holds.
    pub(crate) fn take() -> Self {
        (0..SEATS)
            .find_map(|number| {
                let name = SocketAddr::from_abstract_name(format!("paas-test-seat-{number}")).expect("the name of a seat");
                let seat = Self { number, _held: UnixListener::bind_addr(&name).ok()? };
                seat.ports_are_free().then_some(seat)
            })
            .expect("a free seat: is anything left running from an earlier test?")
    }

    fn ports_are_free(&self) -> bool {
        (0..PORTS_PER_SEAT).all(|offset| TcpListener::bind(("127.0.0.1", self.port(offset))).is_ok())
    }

    fn port(&self, offset: u16) -> u16 {
        FIRST_PORT + self.number * PORTS_PER_SEAT + offset
    }

    /// The front door.
    pub(crate) fn http(&self) -> u16 {
        self.port(0)
    }

    /// The database cluster.
    pub(crate) fn postgres(&self) -> u16 {
        self.port(1)
    }

    /// The private SSH server.
    pub(crate) fn sshd(&self) -> u16 {
        self.port(2)
    }

    /// The lasting ports of apps.
    pub(crate) fn apps(&self) -> RangeInclusive<u16> {
        self.port(10)..=self.port(39)
    }

    /// The ports that web processes get.
    pub(crate) fn leases(&self) -> RangeInclusive<u16> {
        self.port(40)..=self.port(PORTS_PER_SEAT - 1)
    }

    /// The first of its users.
    pub(crate) fn uid_base(&self) -> u32 {
        FIRST_UID + u32::from(self.number) * UIDS_PER_SEAT
    }

    /// The ordinary user that plays the caller of rootless mode when root runs the tests.
    pub(crate) fn caller_uid(&self) -> u32 {
        self.uid_base() + UIDS_PER_SEAT - 1
    }

    /// The user behind `ssh paas@box` in root mode.
    pub(crate) fn login_uid(&self) -> u32 {
        self.uid_base() + UIDS_PER_SEAT - 2
    }

    /// Whether a user is one of this seat's.
    pub(crate) fn has_uid(&self, uid: u32) -> bool {
        (self.uid_base()..self.uid_base() + UIDS_PER_SEAT).contains(&uid)
    }
}
