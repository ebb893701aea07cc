//! A request's head: what it says, and how it is said again to an app.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::head::{self, Field, Span, content_length, is_hop_by_hop, is_token_byte, list, list_has};
use super::{Framing, HttpError};
use crate::limits;

/// Names that only we may set, compared with `_` read as `-`: WSGI, Rack and PHP do not
/// tell the two apart.
const OURS: [&str; 9] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-request-id",
    "x-request-start",
    "via",
    "forwarded",
    "x-forwarded-host",
    "proxy",
];

/// Who is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// A name, in lower case without its trailing dot.
    Name(String),
    /// A bare address.
    Address(IpAddr),
}

/// A parsed request head.
#[derive(Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    method: Span,
    target: Span,
    /// What goes to the app as the target; a `/` comes before it if `slash` is set.
    path: Span,
    slash: bool,
    authority: Option<Span>,
    /// Who is asked for; none only in HTTP/1.0.
    pub(crate) host: Option<Host>,
    /// The 1 of HTTP/1.1.
    pub(crate) minor: u8,
    /// How its body ends.
    pub(crate) framing: Framing,
    /// Whether the client wants the connection kept.
    pub(crate) keep_alive: bool,
    /// The protocol that the client wants to change to.
    upgrade: Option<Span>,
    /// The client takes trailers.
    pub(crate) wants_trailers: bool,
}

/// What the router adds for the app.
#[derive(Debug)]
pub(crate) struct Forwarded<'a> {
    pub(crate) peer: IpAddr,
    pub(crate) scheme: &'a str,
    pub(crate) port: u16,
    pub(crate) request_id: &'a str,
    pub(crate) start_unix_ms: u64,
}

impl Request {
    /// Reads a whole head (with its empty line).
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, HttpError> {
        let (line, start) = head::first_line(&bytes)?;
        let (method, target, minor) = request_line(line.of(&bytes))?;
        let fields = head::fields(&bytes, start)?;
        let values = |name: &'static str| {
            let bytes = &bytes;
            fields.iter().filter(move |f| f.name.of(bytes).eq_ignore_ascii_case(name.as_bytes())).map(|f| f.value)
        };
        let mut hosts = values("host");
        let host_field = hosts.next();
        if hosts.next().is_some() {
            return Err(HttpError::Malformed("Host is given twice"));
        }
        if host_field.is_none() && minor == 1 {
            return Err(HttpError::Malformed("there is no Host"));
        }
        let (authority, path, slash) = split_target(&bytes, target, method.of(&bytes))?;
        let host = match (authority, host_field) {
            (None, None) => None,
            (None, Some(field)) => Some(parse_authority(field.of(&bytes))?.0),
            (Some(absolute), field) => {
                let asked = parse_authority(absolute.of(&bytes))?;
                if field.map(|f| parse_authority(f.of(&bytes))).transpose()?.is_some_and(|host| host != asked) {
                    return Err(HttpError::Malformed("the target and Host disagree"));
                }
                Some(asked.0)
            }
        };
        let framing = framing(values("content-length").map(|v| v.of(&bytes)), values("transfer-encoding").map(|v| v.of(&bytes)), minor)?;
        let connection = |word| values("connection").any(|v| list_has(v.of(&bytes), word));
        let keep_alive = !connection("close") && (minor == 1 || connection("keep-alive"));
        let upgrade = values("upgrade").next().filter(|protocol| {
            minor == 1
                && framing == Framing::Empty
                && connection("upgrade")
                && !list(protocol.of(&bytes)).any(|p| p.get(..2).is_some_and(|p| p.eq_ignore_ascii_case(b"h2")))
        });
        let wants_trailers = values("te").any(|v| list_has(v.of(&bytes), "trailers"));
        let authority = authority.or(host_field);
        drop(hosts);
        Ok(Self { bytes, fields, method, target, path, slash, authority, host, minor, framing, keep_alive, upgrade, wants_trailers })
    }

    pub(crate) fn method(&self) -> &[u8] {
        self.method.of(&self.bytes)
    }

    /// The target as the client wrote it.
    pub(crate) fn target(&self) -> &[u8] {
        self.target.of(&self.bytes)
    }

    /// The Host as the client wrote it.
    pub(crate) fn authority(&self) -> Option<&[u8]> {
        self.authority.map(|span| span.of(&self.bytes))
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method() == b"HEAD"
    }

    /// Whether sending it twice does no harm (RFC 9110 9.2.2), and we still could:
    /// it has no body and changes no protocol.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.framing == Framing::Empty && self.upgrade.is_none() && matches!(self.method(), b"GET" | b"HEAD" | b"OPTIONS")
    }

    pub(crate) fn wants_upgrade(&self) -> bool {
        self.upgrade.is_some()
    }

    /// The first value of a field.
    pub(crate) fn value(&self, name: &'static str) -> Option<&[u8]> {
        self.values(name).next()
    }

    fn values(&self, name: &'static str) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |f| f.name.of(&self.bytes).eq_ignore_ascii_case(name.as_bytes())).map(|f| f.value.of(&self.bytes))
    }

    /// The client's own request id, if it is one that can be kept.
    pub(crate) fn request_id(&self) -> Option<&str> {
        let text = std::str::from_utf8(self.value("x-request-id")?).ok()?;
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"-_.=+/".contains(&b);
        ((limits::REQUEST_ID_CHARS_MIN..=limits::REQUEST_ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(safe)).then_some(text)
    }

    /// Addresses that the request claims to come from, and the one it does come from.
    pub(crate) fn forwarded_for(&self, peer: IpAddr) -> Vec<u8> {
        let mut all = self.values("x-forwarded-for").filter(|v| !v.is_empty()).collect::<Vec<_>>().join(&b", "[..]);
        if !all.is_empty() {
            all.extend_from_slice(b", ");
        }
        // Writing to a Vec cannot fail.
        let _ = write!(all, "{peer}");
        all
    }

    /// The head as the app gets it. `fallback_host` is for HTTP/1.0 without Host.
    pub(crate) fn write_for_app(&self, forwarded: &Forwarded<'_>, fallback_host: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method());
        out.extend_from_slice(if self.slash { b" /" } else { b" " });
        out.extend_from_slice(self.path.of(&self.bytes));
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let mut put = |name: &[u8], value: &[u8]| {
            for part in [name, b": ", value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        };
        let mut host_written = false;
        for field in &self.fields {
            let name = field.name.of(&self.bytes);
            if name.eq_ignore_ascii_case(b"host") {
                put(name, self.authority().unwrap_or(fallback_host.as_bytes()));
                host_written = true;
            } else if name.eq_ignore_ascii_case(b"content-length") || !self.stays_here(name) {
                put(name, field.value.of(&self.bytes));
            }
        }
        if !host_written {
            put(b"Host", self.authority().unwrap_or(fallback_host.as_bytes()));
        }
        if self.framing == Framing::Chunked {
            put(b"Transfer-Encoding", b"chunked");
        }
        if let Some(protocol) = self.upgrade {
            put(b"Connection", b"Upgrade");
            put(b"Upgrade", protocol.of(&self.bytes));
        } else if self.wants_trailers {
            put(b"Connection", b"TE");
            put(b"TE", b"trailers");
        }
        put(b"X-Forwarded-For", &self.forwarded_for(forwarded.peer));
        put(b"X-Forwarded-Proto", forwarded.scheme.as_bytes());
        put(b"X-Forwarded-Port", forwarded.port.to_string().as_bytes());
        put(b"X-Request-Id", forwarded.request_id.as_bytes());
        put(b"X-Request-Start", forwarded.start_unix_ms.to_string().as_bytes());
        put(b"Via", &self.via());
        out.extend_from_slice(b"\r\n");
    }

    fn via(&self) -> Vec<u8> {
        let own = format!("1.{} paas", self.minor);
        let mut all = self.values("via").collect::<Vec<_>>();
        all.push(own.as_bytes());
        all.join(&b", "[..])
    }

    fn stays_here(&self, name: &[u8]) -> bool {
        is_hop_by_hop(name)
            || is_ours(name)
            || (name.eq_ignore_ascii_case(b"expect") && self.minor == 0)
            || self.values("connection").any(|v| list(v).any(|item| item.eq_ignore_ascii_case(name)))
    }
}

fn is_ours(name: &[u8]) -> bool {
    let same = |a: u8, b: u8| a.eq_ignore_ascii_case(&b) || (a == b'_' && b == b'-');
    let underscored = name.contains(&b'_')
        && ["host", "content-length", "transfer-encoding", "connection", "upgrade"]
            .iter()
            .any(|known| known.len() == name.len() && name.iter().zip(known.bytes()).all(|(a, b)| same(*a, b)));
    underscored || OURS.iter().any(|known| known.len() == name.len() && name.iter().zip(known.bytes()).all(|(a, b)| same(*a, b)))
}

/// `METHOD SP target SP HTTP/1.x`.
fn request_line(line: &[u8]) -> Result<(Span, Span, u8), HttpError> {
    let bad = HttpError::Malformed("the request line is not `METHOD TARGET VERSION`");
    let first = line.iter().position(|b| *b == b' ').ok_or(bad)?;
    let last = line.iter().rposition(|b| *b == b' ').ok_or(bad)?;
    let method = &line[..first];
    if method.is_empty() || !method.iter().all(|b| is_token_byte(*b)) {
        return Err(HttpError::Malformed("the method is not a token"));
    }
    let minor = match &line[last + 1..] {
        b"HTTP/1.1" => 1,
        b"HTTP/1.0" => 0,
        other if other.starts_with(b"HTTP/") => return Err(HttpError::Version),
        _ => return Err(bad),
    };
    let target = line.get(first + 1..last).filter(|target| !target.is_empty()).ok_or(bad)?;
    if target.iter().any(|b| *b <= b' ' || *b == 0x7f) {
        return Err(HttpError::Malformed("the target has spaces or control characters"));
    }
    Ok((Span::new(0, first), Span::new(first + 1, last), minor))
}

/// Authority (absolute form only), the part that goes to the app, and whether a `/` is missing.
fn split_target(bytes: &[u8], target: Span, method: &[u8]) -> Result<(Option<Span>, Span, bool), HttpError> {
    if method == b"CONNECT" {
        return Err(HttpError::Connect);
    }
    let text = target.of(bytes);
    if text[0] == b'/' || (text == b"*" && method == b"OPTIONS") {
        return Ok((None, target, false));
    }
    let scheme = ["http://", "https://"]
        .iter()
        .find(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes())))
        .ok_or(HttpError::Malformed("the target is neither a path nor a URL"))?;
    let rest = &text[scheme.len()..];
    let length = rest.iter().position(|b| b"/?#".contains(b)).unwrap_or(rest.len());
    // Where `target` begins inside `bytes`: right after the method and its space.
    let start = method.len() + 1 + scheme.len();
    let authority = Span::new(start, start + length);
    let path = Span::new(start + length, start + rest.len());
    Ok((Some(authority), path, rest.get(length) != Some(&b'/')))
}

/// Host and port of an authority; no user information, no names outside ASCII.
fn parse_authority(text: &[u8]) -> Result<(Host, Option<u16>), HttpError> {
    let bad = HttpError::Malformed("Host is not valid");
    let text = std::str::from_utf8(text).map_err(|_| bad)?;
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or(bad)?;
        let address: Ipv6Addr = address.parse().map_err(|_| bad)?;
        let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or(bad)?) };
        (Host::Address(IpAddr::V6(address)), port)
    } else {
        let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() || name.len() > model::limits::HOSTNAME_CHARS_MAX {
            return Err(bad);
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) || name.split('.').any(str::is_empty) {
            return Err(bad);
        }
        match name.parse::<Ipv4Addr>() {
            Ok(address) => (Host::Address(IpAddr::V4(address)), port),
            Err(_) => (Host::Name(name.to_ascii_lowercase()), port),
        }
    };
    let port = port
        .filter(|port| !port.is_empty())
        .map(|port| if port.bytes().all(|b| b.is_ascii_digit()) { port.parse().map_err(|_| bad) } else { Err(bad) });
    Ok((host, port.transpose()?))
}

fn framing<'a>(
    lengths: impl Iterator<Item = &'a [u8]>,
    mut encodings: impl Iterator<Item = &'a [u8]>,
    minor: u8,
) -> Result<Framing, HttpError> {
    let length = content_length(lengths)?;
    let Some(encoding) = encodings.next() else {
        return Ok(length.map_or(Framing::Empty, Framing::Length));
    };
    if length.is_some() {
        return Err(HttpError::Malformed("both Content-Length and Transfer-Encoding are given"));
    }
    if minor == 0 || encodings.next().is_some() || !encoding.eq_ignore_ascii_case(b"chunked") {
        return Err(HttpError::Malformed("the only Transfer-Encoding understood here is chunked, once, in HTTP/1.1"));
    }
    Ok(Framing::Chunked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Request, HttpError> {
        Request::parse(format!("{}\r\n\r\n", text.replace('\n', "\r\n")).into_bytes())
    }

    fn for_app(text: &str) -> String {
        let mut out = Vec::new();
        let forwarded =
            Forwarded { peer: "10.0.0.9".parse().expect("address"), scheme: "http", port: 80, request_id: "ID", start_unix_ms: 5 };
        parse(text).expect("valid").write_for_app(&forwarded, "fallback", &mut out);
        String::from_utf8_lossy(&out).replace("\r\n", "\n")
    }

    #[test]
    fn a_request_keeps_order_and_case_and_gets_our_fields() {
        let given = "GET /a%2Fb//../c?x#y HTTP/1.1\nHOST: Hello.example:81\naccept: a\nX-b: 1\nX-B:\nX-Forwarded-For: 1.1.1.1\nX-Forwarded-For: 2.2.2.2\nx_forwarded_for: 6.6.6.6\nX-Forwarded-Proto: https\nVia: 1.0 old\nConnection: keep-alive, X-Hop\nX-Hop: 1\nKeep-Alive: 5\nProxy: evil\nTE: trailers";
        let expected = "GET /a%2Fb//../c?x#y HTTP/1.1\nHOST: Hello.example:81\naccept: a\nX-b: 1\nX-B: \nConnection: TE\nTE: trailers\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.0.0.9\nX-Forwarded-Proto: http\nX-Forwarded-Port: 80\nX-Request-Id: ID\nX-Request-Start: 5\nVia: 1.0 old, 1.1 paas\n\n";
        assert_eq!(for_app(given), expected);
    }

    #[test]
    fn an_absolute_target_wins_and_must_agree() {
        let head = for_app("GET HTTP://Hello.example?x HTTP/1.1\nHost: hello.example");
        assert!(head.starts_with("GET /?x HTTP/1.1\nHost: Hello.example\n"), "{head}");
        for bad in ["GET http://a/ HTTP/1.1\nHost: b", "GET http://a:1/ HTTP/1.1\nHost: a:2", "GET http://u@a/ HTTP/1.1\nHost: a"] {
            assert_eq!(parse(bad).expect_err(bad).status(), 400, "{bad}");
        }
    }

    #[test]
    fn a_host_is_one_and_valid_and_read_without_case_port_and_dot() {
        let host = |text: &str| parse(&format!("GET / HTTP/1.1\nHost: {text}")).map(|r| r.host);
        assert_eq!(host("A.Example.:80"), Ok(Some(Host::Name("a.example".into()))));
        assert_eq!(host("[::1]:80"), Ok(Some(Host::Address("::1".parse().expect("v6")))));
        assert_eq!(host("10.0.0.1"), Ok(Some(Host::Address("10.0.0.1".parse().expect("v4")))));
        assert_eq!(host("xn--bcher-kva.example"), Ok(Some(Host::Name("xn--bcher-kva.example".into()))));
        for bad in ["", "a b", "a/b", "a@b", "a:x", "a:99999", "a:+1", "[::1", "a..b", "b\u{fc}cher", "a,b", "a:1:2"] {
            assert_eq!(host(bad).expect_err(bad).status(), 400, "{bad}");
        }
        assert!(parse("GET / HTTP/1.1\nHost: a\nHost: a").is_err());
        assert!(parse("GET / HTTP/1.1\nA: b").is_err());
        assert!(parse("GET / HTTP/1.0\nA: b").expect("HTTP/1.0 needs none").host.is_none());
    }

    #[test]
    fn requests_that_could_be_smuggled_are_refused() {
        for bad in [
            "POST / HTTP/1.1\nHost: a\nContent-Length: 3\nTransfer-Encoding: chunked",
            "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked",
            "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip, chunked",
            "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: xchunked",
            "POST / HTTP/1.0\nHost: a\nTransfer-Encoding: chunked",
            "POST / HTTP/1.1\nHost: a\nContent-Length: 3\nContent-Length: 4",
            "POST / HTTP/1.1\nHost: a\nContent-Length: 3, 3",
            "POST / HTTP/1.1\nHost: a\nContent-Length : 3",
            "GET  / HTTP/1.1\nHost: a",
            "GET / HTTP/1.1 \nHost: a",
            "GET /a b HTTP/1.1\nHost: a",
            "GET /\0 HTTP/1.1\nHost: a",
            "GET a HTTP/1.1\nHost: a",
            "G@T / HTTP/1.1\nHost: a",
            "GET /\tb HTTP/1.1\nHost: a",
        ] {
            assert_eq!(parse(bad).expect_err(bad).status(), 400, "{bad}");
        }
        assert_eq!(parse("GET / HTTP/2.0\nHost: a").expect_err("version").status(), 505);
        assert_eq!(parse("CONNECT a:1 HTTP/1.1\nHost: a").expect_err("method").status(), 405);
    }

    #[test]
    fn an_upgrade_is_passed_on_unless_it_is_http_2() {
        let head = for_app("GET / HTTP/1.1\nHost: a\nConnection: keep-alive, Upgrade\nUpgrade: websocket");
        assert!(head.contains("\nConnection: Upgrade\nUpgrade: websocket\n"), "{head}");
        let head = for_app("GET / HTTP/1.1\nHost: a\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: x");
        assert!(!head.to_ascii_lowercase().contains("upgrade"), "{head}");
        assert!(!head.contains("HTTP2"), "{head}");
    }
}
