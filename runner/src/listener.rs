//! Who listens on a port: a probe, like a visitor, must reach nobody but the instance.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::limits::{LISTENER_LINES_MAX, UNIX_PATH_CHARS_MAX};

/// What the kernel tells of IPv4 and of IPv6.
pub(crate) const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// Who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Nobody.
    None,
    /// A process of this user.
    Of(u32),
    /// Processes of different users, or an answer that cannot be had.
    Unclear,
}

/// Looks up who would answer a connection to 127.0.0.1 on this port. Without a user of
/// its own for each app (rootless) this tells strangers from the caller's processes only.
pub fn on_port(port: u16) -> Listener {
    let mut found = Listener::None;
    for table in TABLES {
        let Some(uids) = listeners(Path::new(table), port) else { continue };
        for uid in uids {
            found = match found {
                Listener::None => Listener::Of(uid),
                Listener::Of(known) if known == uid => found,
                _ => Listener::Unclear,
            };
        }
    }
    found
}

/// Ports that somebody listens on, at whatever address.
pub fn ports_in_use() -> BTreeSet<u16> {
    TABLES.into_iter().filter_map(|table| entries(Path::new(table))).flatten().map(|entry| entry.address.port()).collect()
}

/// A socket that somebody listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Where.
    pub at: Address,
    /// Whose; the kernel does not tell it of Unix sockets.
    pub uid: Option<u32>,
    /// The socket's number: `socket:[12345]` among a process's descriptors.
    pub inode: u64,
}

/// Where somebody listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket, by the path that its process bound.
    Unix(String),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "the Unix socket {path}"),
        }
    }
}

/// Everything that is listened on: TCP and stream sockets with a path.
pub fn all() -> Vec<Listening> {
    let tcp = TABLES.into_iter().filter_map(|table| entries(Path::new(table))).flatten();
    let tcp = tcp.map(|entry| Listening { at: Address::Tcp(entry.address), uid: Some(entry.uid), inode: entry.inode });
    let unix = lines(Path::new("/proc/net/unix")).unwrap_or_default();
    tcp.chain(unix.iter().filter_map(|line| parse_unix(line))).collect()
}

/// Whether a connection to 127.0.0.1 reaches a listener there.
pub fn reaches_loopback(address: SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST,
        IpAddr::V6(ip) => ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST.to_ipv6_mapped() || ip == Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(),
    }
}

fn listeners(table: &Path, port: u16) -> Option<Vec<u32>> {
    let answers = |entry: &Entry| entry.address.port() == port && reaches_loopback(entry.address);
    Some(entries(table)?.into_iter().filter(answers).map(|entry| entry.uid).collect())
}

/// Listeners come first in a table: what follows (perhaps 100,000 connections) is not read.
fn entries(table: &Path) -> Option<Vec<Entry>> {
    let lines = BufReader::new(std::fs::File::open(table).ok()?).lines();
    let mut entries = Vec::new();
    for line in lines.skip(1).take(LISTENER_LINES_MAX) {
        match parse(&line.ok()?) {
            Some(entry) if entry.listens => entries.push(entry),
            _ => break,
        }
    }
    Some(entries)
}

/// The lines of a table without its heading, bounded; names in it are bytes of anybody.
fn lines(table: &Path) -> Option<Vec<String>> {
    let lines = BufReader::new(std::fs::File::open(table).ok()?).split(b'\n').skip(1).take(LISTENER_LINES_MAX);
    Some(lines.map_while(Result::ok).map(|line| String::from_utf8_lossy(&line).into_owned()).collect())
}

/// One line of a table of TCP sockets.
pub(crate) struct Entry {
    pub(crate) address: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) listens: bool,
    pub(crate) uid: u32,
    pub(crate) inode: u64,
}

/// `sl local_address rem_address st tx:rx tr:tm->when retrnsmt uid timeout inode …`
pub(crate) fn parse(line: &str) -> Option<Entry> {
    let fields: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
    Some(Entry {
        address: address(fields.get(1)?)?,
        peer: address(fields.get(2)?)?,
        listens: *fields.get(3)? == "0A",
        uid: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// `0100007F:1F90`: words of 32 bits as they lie in memory, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for word in ip.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// `Num RefCount Protocol Flags Type St Inode Path`; one that listens has flag 10000.
fn parse_unix(line: &str) -> Option<Listening> {
    let mut fields = line.split_ascii_whitespace();
    let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
    let inode = fields.nth(2)?.parse().ok()?;
    let path = line.find(['/', '@']).map(|at| model::text::clean(&line[at..], UNIX_PATH_CHARS_MAX))?;
    (flags & 0x1_0000 != 0).then_some(Listening { at: Address::Unix(path), uid: None, inode })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv6Addr, TcpListener};

    #[test]
    fn a_listener_is_found_with_its_user() {
        let own = nix::unistd::getuid().as_raw();
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        assert_eq!(on_port(port), Listener::Of(own));
        assert!(ports_in_use().contains(&port));
        drop(listener);
        assert_eq!(on_port(port), Listener::None);
    }

    #[test]
    fn one_on_all_addresses_answers_too() {
        let Ok(listener) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) else {
            // A machine without IPv6 has nothing to tell apart.
            assert!(!Path::new("/proc/net/tcp6").exists());
            return;
        };
        let port = listener.local_addr().expect("address").port();
        assert!(matches!(on_port(port), Listener::Of(_)));
    }

    #[test]
    fn a_line_of_proc_is_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0";
        let entry = parse(line).expect("entry");
        assert!(entry.listens && reaches_loopback(entry.address));
        assert_eq!((entry.address.port(), entry.uid, entry.inode), (8080, 1000, 12345));
        let elsewhere = parse(&line.replace("0100007F:", "0200000A:")).expect("entry").address;
        assert_eq!(elsewhere.to_string(), "10.0.0.2:8080");
        assert!(!reaches_loopback(elsewhere));
        let mapped = parse(&line.replace("0100007F:", "0000000000000000FFFF00000100007F:")).expect("entry").address;
        assert!(reaches_loopback(mapped));
        let v6 = parse(&line.replace("0100007F:", "00000000000000000000000001000000:")).expect("entry").address;
        assert_eq!(v6.to_string(), "[::1]:8080");
        assert!(!reaches_loopback(v6), "a visitor comes over IPv4");
        assert!(parse("garbage").is_none());
    }

    #[test]
    fn a_unix_socket_that_listens_is_found_by_its_path() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("app.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).expect("bind");
        let at = Address::Unix(path.to_string_lossy().into_owned());
        assert!(all().iter().any(|listening| listening.at == at));
        assert_eq!(parse_unix("0000: 00000002 00000000 00010000 0001 01 777 @a b").map(|l| l.at), Some(Address::Unix("@a b".to_owned())));
        assert_eq!(parse_unix("0000: 00000002 00000000 00000000 0001 03 777 /run/x"), None, "a connection");
        assert_eq!(parse_unix("0000: 00000002 00000000 00010000 0001 01 777"), None, "no name");
    }
}
