//! An answer's head: what the app says, and how it is said again to a client.

use super::head::{self, Field, Span, content_length, is_hop_by_hop, list, list_has};
use super::{Framing, HttpError};

/// A parsed response head.
#[derive(Debug)]
pub(crate) struct Response {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    /// Status and reason as the app wrote them.
    status_line: Span,
    /// The status code.
    pub(crate) status: u16,
    /// How its body ends.
    pub(crate) framing: Framing,
    /// Whether the app's connection can carry another request afterwards.
    pub(crate) reusable: bool,
}

/// How an answer is given to a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientSide {
    /// The client's HTTP/1 minor version.
    pub(crate) minor: u8,
    /// Whether its connection stays open.
    pub(crate) keep_alive: bool,
    /// It asked with HEAD.
    pub(crate) is_head: bool,
}

impl Response {
    /// Reads a whole head; `is_head` says whether it answers a HEAD request.
    pub(crate) fn parse(bytes: Vec<u8>, is_head: bool) -> Result<Self, HttpError> {
        let (line, start) = head::first_line(&bytes)?;
        let (minor, status) = status_line(line.of(&bytes))?;
        let fields = head::fields(&bytes, start)?;
        let values = |name: &'static str| {
            let bytes = &bytes;
            fields.iter().filter(move |f| f.name.of(bytes).eq_ignore_ascii_case(name.as_bytes())).map(move |f| f.value.of(bytes))
        };
        let encodings: Vec<&[u8]> = values("transfer-encoding").collect();
        let chunked = match encodings[..] {
            [] => false,
            [one] if minor == 1 && one.eq_ignore_ascii_case(b"chunked") => true,
            _ => return Err(HttpError::Malformed("the only Transfer-Encoding understood here is chunked, once, in HTTP/1.1")),
        };
        let length = content_length(values("content-length"))?;
        let framing = if is_head || status < 200 || matches!(status, 204 | 304) {
            Framing::Empty
        } else if chunked {
            Framing::Chunked
        } else {
            length.map_or(Framing::UntilClose, Framing::Length)
        };
        let connection = |word| values("connection").any(|v| list_has(v, word));
        let persists = !connection("close") && (minor == 1 || connection("keep-alive"));
        let ends_clearly = framing != Framing::UntilClose && !(chunked && length.is_some());
        // Apps get HEAD wrong: a body that nobody expects would answer the next request.
        let reusable = persists && ends_clearly && !is_head;
        let status_line = Span::new("HTTP/1.1 ".len(), line.of(&bytes).len());
        Ok(Self { bytes, fields, status_line, status, framing, reusable })
    }

    /// The framing in which the client gets the body.
    pub(crate) fn framing_for(&self, client: ClientSide) -> Framing {
        match self.framing {
            Framing::Chunked | Framing::UntilClose if client.minor == 1 => Framing::Chunked,
            Framing::Chunked | Framing::UntilClose => Framing::UntilClose,
            other => other,
        }
    }

    /// The head as the client gets it.
    pub(crate) fn write_for_client(&self, client: ClientSide, out: &mut Vec<u8>) {
        let framing = self.framing_for(client);
        let keeps_length = matches!(framing, Framing::Length(_)) || client.is_head || self.status == 304;
        self.write_start(out, |name| keeps_length || !name.eq_ignore_ascii_case(b"content-length"));
        if framing == Framing::Chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if self.status >= 200 {
            if !client.keep_alive {
                out.extend_from_slice(b"Connection: close\r\n");
            } else if client.minor == 0 {
                out.extend_from_slice(b"Connection: keep-alive\r\n");
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The head of a 101 as the client gets it.
    pub(crate) fn write_switch(&self, out: &mut Vec<u8>) {
        self.write_start(out, |name| !name.eq_ignore_ascii_case(b"content-length"));
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        if let Some(protocol) = self.values("upgrade").next() {
            for part in [b"Upgrade: ", protocol, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    fn write_start(&self, out: &mut Vec<u8>, keeps: impl Fn(&[u8]) -> bool) {
        for part in [b"HTTP/1.1 ", self.status_line.of(&self.bytes), b"\r\n"] {
            out.extend_from_slice(part);
        }
        for field in &self.fields {
            let name = field.name.of(&self.bytes);
            let named = self.values("connection").any(|v| list(v).any(|item| item.eq_ignore_ascii_case(name)));
            if !is_hop_by_hop(name) && !named && keeps(name) {
                for part in [name, b": ", field.value.of(&self.bytes), b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
        }
    }

    fn values(&self, name: &'static str) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |f| f.name.of(&self.bytes).eq_ignore_ascii_case(name.as_bytes())).map(|f| f.value.of(&self.bytes))
    }
}

/// `HTTP/1.x SP 3DIGIT [SP reason]`: minor version and status.
fn status_line(line: &[u8]) -> Result<(u8, u16), HttpError> {
    let bad = HttpError::Malformed("the status line is not `HTTP/1.x CODE REASON`");
    let minor = match line.get(..9) {
        Some(b"HTTP/1.1 ") => 1,
        Some(b"HTTP/1.0 ") => 0,
        _ => return Err(bad),
    };
    let digits = line.get(9..12).ok_or(bad)?;
    let separated = matches!(line.get(12), None | Some(b' '));
    if !separated || !digits.iter().all(u8::is_ascii_digit) || digits[0] == b'0' {
        return Err(bad);
    }
    if line.iter().any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f) {
        return Err(HttpError::Malformed("the status line has control characters"));
    }
    Ok((minor, digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: ClientSide = ClientSide { minor: 1, keep_alive: true, is_head: false };

    fn parse(text: &str, is_head: bool) -> Result<Response, HttpError> {
        Response::parse(format!("{}\r\n\r\n", text.replace('\n', "\r\n")).into_bytes(), is_head)
    }

    fn for_client(text: &str, client: ClientSide) -> String {
        let mut out = Vec::new();
        parse(text, client.is_head).expect("valid").write_for_client(client, &mut out);
        String::from_utf8_lossy(&out).replace("\r\n", "\n")
    }

    #[test]
    fn an_answer_keeps_order_and_case_and_loses_what_belongs_to_the_hop() {
        let given =
            "HTTP/1.0 200 Very OK\nset-cookie: a\nSet-Cookie: b\nConnection: close, X-Hop\nX-Hop: 1\nKeep-Alive: 5\nContent-Length: 3";
        let expected = "HTTP/1.1 200 Very OK\nset-cookie: a\nSet-Cookie: b\nContent-Length: 3\n\n";
        assert_eq!(for_client(given, CLIENT), expected);
        assert!(!parse(given, false).expect("valid").reusable);
    }

    #[test]
    fn bodies_without_a_length_become_chunks_or_end_with_the_connection() {
        let given = "HTTP/1.1 200 OK\nA: b";
        assert_eq!(for_client(given, CLIENT), "HTTP/1.1 200 OK\nA: b\nTransfer-Encoding: chunked\n\n");
        let old = ClientSide { minor: 0, keep_alive: false, is_head: false };
        assert_eq!(for_client(given, old), "HTTP/1.1 200 OK\nA: b\nConnection: close\n\n");
        assert_eq!(parse(given, false).expect("valid").framing, Framing::UntilClose);
    }

    #[test]
    fn head_204_and_304_have_no_body_whatever_they_say() {
        let head = ClientSide { is_head: true, ..CLIENT };
        assert_eq!(for_client("HTTP/1.1 200 OK\nContent-Length: 9", head), "HTTP/1.1 200 OK\nContent-Length: 9\n\n");
        assert_eq!(for_client("HTTP/1.1 304 Not Modified\nContent-Length: 9", CLIENT), "HTTP/1.1 304 Not Modified\nContent-Length: 9\n\n");
        assert_eq!(for_client("HTTP/1.1 204 No Content\nContent-Length: 9", CLIENT), "HTTP/1.1 204 No Content\n\n");
        assert_eq!(parse("HTTP/1.1 204 No\nTransfer-Encoding: chunked", false).expect("valid").framing, Framing::Empty);
    }

    #[test]
    fn broken_answers_are_refused() {
        for bad in [
            "HTTP/1.1 20 OK",
            "HTTP/1.1 2000 OK",
            "HTTP/2 200 OK",
            "HTTP/1.1 200 OK\nTransfer-Encoding: gzip",
            "HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2",
            "HTTP/1.1 200 OK\nA : b",
            "hello",
        ] {
            assert!(parse(bad, false).is_err(), "{bad} was taken");
        }
    }
}
