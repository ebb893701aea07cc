//! Who listens on a port: a probe, like a visitor, must reach nobody but the instance.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::limits::LISTENER_LINES_MAX;

/// What the kernel tells of IPv4 and of IPv6.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

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
    TABLES.into_iter().filter_map(|table| entries(Path::new(table))).flatten().map(|entry| entry.port).collect()
}

fn listeners(table: &Path, port: u16) -> Option<Vec<u32>> {
    let answers = |entry: &Entry| entry.port == port && entry.reaches_loopback;
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

struct Entry {
    port: u16,
    reaches_loopback: bool,
    listens: bool,
    uid: u32,
}

/// `sl local_address rem_address st tx:rx tr:tm->when retrnsmt uid …`
fn parse(line: &str) -> Option<Entry> {
    let fields: Vec<&str> = line.split_ascii_whitespace().take(8).collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    Some(Entry {
        port: u16::from_str_radix(port, 16).ok()?,
        reaches_loopback: matches!(
            address.to_ascii_uppercase().as_str(),
            "00000000"
                | "0100007F"
                | "7F000001"
                | "00000000000000000000000000000000"
                | "0000000000000000FFFF00000100007F"
                | "00000000000000000000FFFF7F000001"
        ),
        listens: *fields.get(3)? == "0A",
        uid: fields.get(7)?.parse().ok()?,
    })
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
        assert!(entry.listens && entry.reaches_loopback);
        assert_eq!((entry.port, entry.uid), (8080, 1000));
        assert!(!parse(&line.replace("0100007F:", "0200000A:")).expect("entry").reaches_loopback);
        assert!(parse("garbage").is_none());
    }
}
