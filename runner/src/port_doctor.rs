//! The port doctor: why nothing answers on `PORT`, and what to do about it. Pure.
//!
//! ```text
//! PORT not bound after 5 s, something else is  → where it listens, the framework's fix
//! it died of "address already in use"          → who holds that port
//! ```

use std::net::SocketAddr;

use model::PortHint;

use crate::listener::{Address, Listening, reaches_loopback};

mod fixes;

pub use fixes::fix;

/// What a look at the listeners of an instance brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It listens on its port.
    Bound,
    /// It listens nowhere, or not yet.
    Nowhere,
    /// It listens where nobody looks for it.
    Elsewhere(PortHint),
}

impl Finding {
    /// The same where it cannot be told which process of the app it is.
    pub(crate) fn of_somebody_in(self, app: &model::AppName, port: u16) -> Self {
        let Self::Elsewhere(PortHint { found, fix }) = self else { return self };
        let found = format!("is not on $PORT={port}, and a process of {app} {}", found.trim_end_matches(&format!(", not on $PORT={port}")));
        Self::Elsewhere(PortHint { found, fix })
    }
}

/// What is wrong with where an instance listens.
pub fn diagnose(port: u16, listens: &[Listening], fix: &str) -> Finding {
    let on_port = |socket: &&Listening| matches!(socket.at, Address::Tcp(address) if address.port() == port);
    let here: Vec<&Listening> = listens.iter().filter(on_port).collect();
    if here.iter().any(|socket| matches!(socket.at, Address::Tcp(address) if reaches_loopback(address))) {
        return Finding::Bound;
    }
    if let Some(socket) = here.first() {
        let found = format!("listens on {}, where it is not found: visitors come over 127.0.0.1:{port}", socket.at);
        return Finding::Elsewhere(PortHint { found, fix: fix.to_owned() });
    }
    let mut places: Vec<&Address> = listens.iter().map(|socket| &socket.at).collect();
    places.sort_unstable();
    places.dedup();
    let Some(first) = places.first() else { return Finding::Nowhere };
    let more = match places.len() {
        1 => String::new(),
        2 => format!(" and {}", places[1]),
        count => format!(" and {} other addresses", count - 1),
    };
    Finding::Elsewhere(PortHint { found: format!("listens on {first}{more}, not on $PORT={port}"), fix: fix.to_owned() })
}

/// What programs say when an address is taken, in lower case.
const IN_USE: [&str; 7] = [
    "eaddrinuse",
    "address already in use",
    "address in use",
    "connection in use",
    "port is already in use",
    "is in use by another program",
    "was already in use",
];

/// Whether the last lines of a run say that its address was taken.
pub fn says_in_use(lines: &[String]) -> bool {
    lines.iter().any(|line| is_in_use(line))
}

/// The port that was taken, if a line names it.
pub fn port_in_use(lines: &[String]) -> Option<u16> {
    let says_so: Vec<usize> = (0..lines.len()).filter(|at| is_in_use(&lines[*at])).collect();
    let named = says_so.iter().rev().find_map(|at| port_in(&lines[*at]));
    // Some say it and name the port in the next line.
    let near = |at: &usize| lines.iter().skip(at.saturating_sub(2)).take(5).filter_map(|line| port_in(line)).next_back();
    named.or_else(|| says_so.last().and_then(near))
}

fn is_in_use(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    IN_USE.iter().any(|words| line.contains(words))
}

/// `:::5000`, `('0.0.0.0', 5000)`, `port 5000`, `port: 5000`.
fn port_in(line: &str) -> Option<u16> {
    let line = line.to_ascii_lowercase();
    let mut found = None;
    let mut at = 0;
    while let Some(start) = line[at..].find(|char: char| char.is_ascii_digit()).map(|offset| at + offset) {
        let end = line[start..].find(|char: char| !char.is_ascii_digit()).map_or(line.len(), |offset| start + offset);
        let before = &line[..start];
        // A time of day, too, has colons: `12:34:56 listen`.
        let is_time = before.trim_end_matches(':').ends_with(|char: char| char.is_ascii_digit()) && before.ends_with(':');
        let is_time = is_time && end - start <= 2;
        let names_port = before.ends_with(':') || before.trim_end().ends_with("port") || before.trim_end().ends_with("port:");
        let in_pair = before.trim_end().ends_with("',") || before.trim_end().ends_with("\",");
        if (names_port || in_pair) && !is_time {
            found = line[start..end].parse::<u16>().ok().filter(|port| *port > 0).or(found);
        }
        at = end;
    }
    found
}

/// The hint for a run that died because its address was taken. `holder`: who listens
/// there now, if that can be told.
pub fn taken(own_port: u16, port: Option<u16>, holder: Option<&str>, fix: &str) -> PortHint {
    let found = match (port, holder) {
        (Some(port), Some(holder)) => format!("ended because its address is taken: {port} is held by {holder}"),
        (Some(port), None) => format!("ended because its address was taken: {port} was in use, by whom is not known any more"),
        (None, _) => "ended because an address that it listens on is taken".to_owned(),
    };
    let fix = match port {
        Some(port) if port == own_port => format!("it starts two processes that listen on $PORT={own_port}: let only one of them do so"),
        _ => fix.to_owned(),
    };
    PortHint { found, fix }
}

/// The listener that keeps others from this port, if there is one.
pub fn holder_of(port: u16, listens: &[Listening]) -> Option<&Listening> {
    let is_there = |socket: &&Listening| matches!(socket.at, Address::Tcp(address) if address.port() == port);
    let rank = |socket: &&Listening| match socket.at {
        Address::Tcp(SocketAddr::V4(address)) => u8::from(!address.ip().is_unspecified()),
        _ => 2,
    };
    listens.iter().filter(is_there).min_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Listening {
        let at = address.parse().map_or_else(|_| Address::Unix(address.to_owned()), Address::Tcp);
        Listening { at, uid: Some(1), inode: 1 }
    }

    fn found(listens: &[&str]) -> Option<String> {
        let listens: Vec<_> = listens.iter().map(|address| at(address)).collect();
        match diagnose(20_017, &listens, "start it with --port $PORT") {
            Finding::Elsewhere(hint) => Some(hint.to_string()),
            Finding::Bound | Finding::Nowhere => None,
        }
    }

    #[test]
    fn the_address_that_is_bound_instead_is_named() {
        let expected = "listens on 127.0.0.1:5000, not on $PORT=20017: start it with --port $PORT";
        assert_eq!(found(&["127.0.0.1:5000"]).as_deref(), Some(expected));
        assert!(found(&["[::]:3000"]).is_some_and(|text| text.starts_with("listens on [::]:3000, not on")));
        assert!(found(&["/app/app.sock"]).is_some_and(|text| text.starts_with("listens on the Unix socket /app/app.sock, not on")));
        assert!(found(&["0.0.0.0:80", "0.0.0.0:81"]).is_some_and(|text| text.contains("0.0.0.0:80 and 0.0.0.0:81, not")));
        assert!(found(&["0.0.0.0:80", "0.0.0.0:81", "0.0.0.0:82"]).is_some_and(|text| text.contains("0.0.0.0:80 and 2 other addresses")));
    }

    #[test]
    fn the_right_port_at_an_address_that_nobody_reaches_is_told() {
        let expected = "listens on [::1]:20017, where it is not found: visitors come over 127.0.0.1:20017: start it with --port $PORT";
        assert_eq!(found(&["[::1]:20017"]).as_deref(), Some(expected));
    }

    #[test]
    fn where_instances_cannot_be_told_apart_the_app_is_named() {
        let finding = diagnose(20_017, &[at("127.0.0.1:5000")], "x").of_somebody_in(&"hello".parse().expect("app"), 20_017);
        let Finding::Elsewhere(hint) = finding else { panic!("{finding:?}") };
        assert_eq!(hint.to_string(), "is not on $PORT=20017, and a process of hello listens on 127.0.0.1:5000: x");
    }

    #[test]
    fn who_listens_as_asked_or_nowhere_needs_no_doctor() {
        for listens in [&["127.0.0.1:20017"][..], &["0.0.0.0:20017", "127.0.0.1:9090"], &["[::]:20017"], &[]] {
            assert_eq!(found(listens), None, "{listens:?}");
        }
    }

    #[test]
    fn the_port_in_use_is_read_from_what_programs_say() {
        for (line, port) in [
            ("Error: listen EADDRINUSE: address already in use :::5000", Some(5000)),
            ("[2026-01-02 15:04:05 +0000] [7] [ERROR] Connection in use: ('0.0.0.0', 8000)", Some(8000)),
            ("[Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use", Some(8000)),
            ("2026/01/02 15:04:05 listen tcp :8080: bind: address already in use", Some(8080)),
            ("Address already in use - bind(2) for \"0.0.0.0\" port 3000 (Errno::EADDRINUSE)", Some(3000)),
            ("Web server failed to start. Port 8080 was already in use.", Some(8080)),
            ("Failed to listen on 0.0.0.0:5000 (reason: Address already in use)", Some(5000)),
            ("Port 5000 is in use by another program. Either identify and stop that program", Some(5000)),
            ("OSError: [Errno 98] Address already in use", None),
        ] {
            let lines = ["started".to_owned(), line.to_owned()];
            assert!(says_in_use(&lines), "{line}");
            assert_eq!(port_in_use(&lines), port, "{line}");
        }
        let flask = ["Address already in use".to_owned(), "Port 5000 is in use by another program.".to_owned()];
        assert_eq!(port_in_use(&flask), Some(5000));
        assert!(!says_in_use(&["GET / 200".to_owned()]));
    }

    #[test]
    fn who_holds_the_port_is_named() {
        let hint = taken(20_017, Some(5000), Some("hello web.1 (v6)"), "start it with --port $PORT");
        assert_eq!(hint.to_string(), "ended because its address is taken: 5000 is held by hello web.1 (v6): start it with --port $PORT");
        assert!(taken(20_017, Some(20_017), None, "x").fix.starts_with("it starts two processes"));
        let listens = [at("127.0.0.1:5000"), at("0.0.0.0:5000"), at("[::]:80")];
        assert_eq!(holder_of(5000, &listens).map(|socket| socket.at.to_string()).as_deref(), Some("0.0.0.0:5000"));
        assert_eq!(holder_of(81, &listens), None);
    }

    proptest::proptest! {
        #[test]
        fn no_line_of_an_app_upsets_the_doctor(lines in proptest::collection::vec(".{0,80}", 0..5)) {
            let _ = (says_in_use(&lines), port_in_use(&lines));
        }
    }
}
