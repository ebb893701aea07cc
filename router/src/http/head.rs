//! The grammar that requests and answers share: lines, fields, tokens. Strict where
//! laxness has let requests be smuggled: CRLF only, no folding, no space before a
//! colon, no control characters.

use super::HttpError;
use crate::limits;

/// A part of a head's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    start: usize,
    end: usize,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start..self.end]
    }
}

/// One field: its name as written, its value without the space around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// Finds the end of a head that arrives in pieces, each byte looked at once.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    scanned: usize,
    line_start: usize,
    past_first_line: bool,
}

impl Scanner {
    /// The length of the head with its empty line, once it is all there.
    pub(crate) fn find_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, HttpError> {
        while let Some(at) = bytes[self.scanned..].iter().position(|byte| *byte == b'\n') {
            let newline = self.scanned + at;
            if newline == 0 || bytes[newline - 1] != b'\r' {
                return Err(HttpError::Malformed("a line ends without CR"));
            }
            self.scanned = newline + 1;
            let length = (newline - 1).saturating_sub(self.line_start);
            if !self.past_first_line {
                if length == 0 {
                    return Err(HttpError::Malformed("the first line is empty"));
                }
                if length > limits::REQUEST_LINE_BYTES_MAX {
                    return Err(HttpError::LineTooLong);
                }
                self.past_first_line = true;
            } else if length == 0 {
                return if self.scanned > limits::HEAD_BYTES_MAX { Err(HttpError::HeadTooLarge) } else { Ok(Some(self.scanned)) };
            }
            self.line_start = self.scanned;
        }
        self.scanned = bytes.len();
        if !self.past_first_line && bytes.len() > limits::REQUEST_LINE_BYTES_MAX + 2 {
            return Err(HttpError::LineTooLong);
        }
        if bytes.len() > limits::HEAD_BYTES_MAX {
            return Err(HttpError::HeadTooLarge);
        }
        // Something else altogether, such as TLS: no need to wait for a line.
        if bytes.first().is_some_and(|byte| !is_token_byte(*byte)) {
            return Err(HttpError::Malformed("this is not HTTP"));
        }
        Ok(None)
    }
}

/// The first line of a whole head, and where the fields begin.
pub(crate) fn first_line(head: &[u8]) -> Result<(Span, usize), HttpError> {
    let end = head.windows(2).position(|pair| pair == b"\r\n").ok_or(HttpError::Malformed("there is no first line"))?;
    Ok((Span::new(0, end), end + 2))
}

/// The fields of a whole head from `start` to its empty line.
pub(crate) fn fields(head: &[u8], start: usize) -> Result<Vec<Field>, HttpError> {
    let mut fields = Vec::with_capacity(16);
    let mut at = start;
    loop {
        let line = &head[at..];
        let newline = line.iter().position(|b| *b == b'\n').ok_or(HttpError::Malformed("the head has no end"))?;
        if newline == 0 || line[newline - 1] != b'\r' {
            return Err(HttpError::Malformed("a line ends without CR"));
        }
        if newline == 1 {
            return Ok(fields);
        }
        if fields.len() == limits::HEAD_FIELDS_MAX {
            return Err(HttpError::HeadTooLarge);
        }
        fields.push(field(&line[..newline - 1], at)?);
        at += newline + 1;
    }
}

fn field(line: &[u8], offset: usize) -> Result<Field, HttpError> {
    let colon = line.iter().position(|b| *b == b':').ok_or(HttpError::Malformed("a field has no colon"))?;
    let name = &line[..colon];
    if name.is_empty() || !name.iter().all(|b| is_token_byte(*b)) {
        return Err(HttpError::Malformed("a field's name is not a token, or is folded, or has a space before its colon"));
    }
    let value = &line[colon + 1..];
    if !value.iter().all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f)) {
        return Err(HttpError::Malformed("a field's value has control characters"));
    }
    let trimmed = value.trim_ascii();
    let lead = value.len() - value.trim_ascii_start().len();
    let value_start = offset + colon + 1 + lead;
    Ok(Field { name: Span::new(offset, offset + colon), value: Span::new(value_start, value_start + trimmed.len()) })
}

/// RFC 9110's tchar.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a comma-separated list names `word` (any case).
pub(crate) fn list_has(value: &[u8], word: &str) -> bool {
    list(value).any(|item| item.eq_ignore_ascii_case(word.as_bytes()))
}

/// The items of a comma-separated list.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

/// `Content-Length` of all its fields: one, of digits only.
pub(crate) fn content_length<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Option<u64>, HttpError> {
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(HttpError::Malformed("Content-Length is given twice"));
    }
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(HttpError::Malformed("Content-Length is not a number"));
    }
    Ok(Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))))
}

/// Whether a name belongs to one connection and is never passed on.
pub(crate) fn is_hop_by_hop(name: &[u8]) -> bool {
    const NAMES: [&str; 7] = ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"];
    NAMES.iter().any(|hop| name.eq_ignore_ascii_case(hop.as_bytes()))
        || name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"proxy") && matches!(name.get(5), None | Some(b'-')))
}

/// Whether a trailer of this name may be passed on: nothing that frames or routes.
pub(crate) fn is_safe_trailer(name: &[u8]) -> bool {
    const NAMES: [&str; 5] = ["host", "content-length", "authorization", "set-cookie", "content-encoding"];
    !is_hop_by_hop(name) && !NAMES.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Result<Option<usize>, HttpError> {
        Scanner::default().find_end(bytes)
    }

    #[test]
    fn a_head_is_found_however_it_is_cut() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for cut in 0..head.len() - 4 {
            let mut scanner = Scanner::default();
            let early = scanner.find_end(&head[..cut]).expect("valid");
            assert_eq!(early, None, "cut at {cut}");
            assert_eq!(scanner.find_end(head).expect("valid"), Some(head.len() - 4));
        }
    }

    #[test]
    fn bare_line_feeds_and_other_protocols_are_refused_at_once() {
        assert!(scan(b"GET / HTTP/1.1\nHost: a\n").is_err());
        assert!(scan(b"\x16\x03\x01").is_err());
        assert!(scan(b"\r\n\r\n").is_err());
    }

    #[test]
    fn long_lines_and_large_heads_have_their_own_errors() {
        let mut line = b"GET /".to_vec();
        line.resize(9_000, b'a');
        assert_eq!(scan(&line), Err(HttpError::LineTooLong));
        let mut head = b"GET / HTTP/1.1\r\n".to_vec();
        head.resize(70_000, b'a');
        assert_eq!(scan(&head), Err(HttpError::HeadTooLarge));
        let many = format!("{}\r\n", "a: b\r\n".repeat(129));
        assert_eq!(fields(many.as_bytes(), 0).err(), Some(HttpError::HeadTooLarge));
    }

    #[test]
    fn fields_that_parsers_disagree_about_are_refused() {
        for bad in ["a : b", " a: b", "\ta: b", "a", ": b", "a: b\0c", "a: b\rc", "a\u{e9}: b", "a: \u{7f}"] {
            let head = format!("x: y\r\n{bad}\r\n\r\n");
            assert!(fields(head.as_bytes(), 0).is_err(), "{bad:?} was taken");
        }
        let head = b"A:  b c \t\r\nEmpty:\r\nA: \xff\r\n\r\n";
        let good = fields(head, 0).expect("valid");
        let shown: Vec<_> = good.iter().map(|f| (f.name.of(head), f.value.of(head))).collect();
        assert_eq!(shown, [(&b"A"[..], &b"b c"[..]), (b"Empty", b""), (b"A", b"\xff")]);
    }

    #[test]
    fn a_length_is_one_plain_number() {
        let length = |values: &[&str]| content_length(values.iter().map(|v| v.as_bytes()));
        assert_eq!(length(&[]), Ok(None));
        assert_eq!(length(&["12"]), Ok(Some(12)));
        for bad in [&["+1"][..], &["-1"], &["1, 1"], &["1", "1"], &["0x1"], &[""], &["99999999999999999999"], &["1 2"]] {
            assert!(length(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn names_of_one_connection_are_known_in_any_case() {
        for name in ["Connection", "keep-alive", "PROXY-Connection", "Proxy", "TE", "Upgrade"] {
            assert!(is_hop_by_hop(name.as_bytes()), "{name}");
        }
        for name in ["Proximity", "proxyfoo", "Host", "Tee"] {
            assert!(!is_hop_by_hop(name.as_bytes()), "{name}");
        }
    }
}
