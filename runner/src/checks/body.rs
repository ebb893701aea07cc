//! The first bytes of an answer's body, with chunks put together, so that a text that
//! spans two chunks is found. Bounded; whatever an app sends only ends it early.

use crate::limits::PROBE_ANSWER_BYTES_MAX;

/// Longest line that begins a chunk.
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// A body that is being read.
#[derive(Debug)]
pub(super) struct Body {
    framing: Framing,
    bytes: Vec<u8>,
    over: bool,
}

#[derive(Debug)]
enum Framing {
    /// Until the connection ends.
    Open,
    /// So many bytes are left.
    Length(u64),
    Chunked(Chunk),
}

#[derive(Debug)]
enum Chunk {
    /// Its first line, as far as it is known.
    Line(Vec<u8>),
    /// So many bytes are left.
    Data(u64),
    /// The line end behind the data: so many bytes are left.
    End(u8),
}

impl Body {
    /// A body behind this head (its blank line included).
    pub(super) fn new(head: &[u8]) -> Self {
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
        let framing = if value("transfer-encoding").is_some_and(|coding| coding.ends_with("chunked")) {
            Framing::Chunked(Chunk::Line(Vec::new()))
        } else {
            value("content-length").and_then(|length| length.parse().ok()).map_or(Framing::Open, Framing::Length)
        };
        Self { framing, bytes: Vec::new(), over: false }
    }

    /// Takes what came from the connection.
    pub(super) fn take(&mut self, mut input: &[u8]) {
        while !input.is_empty() && !self.is_over() {
            let used = self.step(input);
            input = &input[used..];
        }
        if matches!(self.framing, Framing::Length(0)) {
            self.over = true;
        }
    }

    /// Whether the text is in it.
    pub(super) fn contains(&self, text: &str) -> bool {
        let text = text.as_bytes();
        text.is_empty() || self.bytes.windows(text.len()).any(|window| window == text)
    }

    /// Nothing that matters can follow.
    pub(super) fn is_over(&self) -> bool {
        self.over || self.bytes.len() >= PROBE_ANSWER_BYTES_MAX
    }

    /// Consumes at least one byte and returns how many.
    fn step(&mut self, input: &[u8]) -> usize {
        let space = PROBE_ANSWER_BYTES_MAX - self.bytes.len();
        let at_most = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(input.len()).min(space);
        match &mut self.framing {
            Framing::Open => {
                let count = input.len().min(space);
                self.bytes.extend_from_slice(&input[..count]);
                count
            }
            Framing::Length(0) => {
                self.over = true;
                input.len()
            }
            Framing::Length(left) | Framing::Chunked(Chunk::Data(left)) if *left > 0 => {
                let count = at_most(*left);
                self.bytes.extend_from_slice(&input[..count]);
                *left -= count as u64;
                count
            }
            Framing::Length(_) => input.len(),
            Framing::Chunked(chunk) => {
                self.over = !chunk.step(input[0]);
                1
            }
        }
    }
}

impl Chunk {
    /// One byte between the data of two chunks; false at the end of the body, or if it is
    /// no chunk.
    fn step(&mut self, byte: u8) -> bool {
        match self {
            Self::Data(_) => {
                *self = Self::End(2);
                self.step(byte)
            }
            Self::End(left) => {
                *left -= 1;
                if *left == 0 {
                    *self = Self::Line(Vec::new());
                }
                true
            }
            Self::Line(line) if byte != b'\n' => {
                line.push(byte);
                line.len() <= CHUNK_LINE_BYTES_MAX
            }
            Self::Line(line) => {
                let digits = line.split(|byte| !byte.is_ascii_hexdigit()).next().unwrap_or_default();
                let size = std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
                *self = Self::Data(size.unwrap_or(0));
                size.is_some_and(|size| size > 0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn a_text_that_spans_two_chunks_is_found() {
        let mut body = Body::new(CHUNKED);
        body.take(b"3;x=y\r\nall\r\n6\r\n is we\r\n2\r\nll\r\n0\r\n\r\nbehind");
        assert!(body.contains("all is well") && body.is_over() && !body.contains("behind"));
    }

    #[test]
    fn a_length_ends_it_and_without_one_the_connection_does() {
        let mut body = Body::new(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
        body.take(b"okay");
        assert!(body.contains("ok") && !body.contains("oka") && body.is_over());
        assert!(Body::new(b"HTTP/1.1 204 No\r\ncontent-length: 0\r\n\r\n").bytes.is_empty());
        let mut open = Body::new(b"HTTP/1.0 200 OK\r\n\r\n");
        open.take(&vec![b'x'; PROBE_ANSWER_BYTES_MAX - 1]);
        assert!(!open.is_over());
        open.take(b"yz");
        assert!(open.is_over() && open.contains("xy") && !open.contains("z"));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_end_within_their_bound(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..40)) {
            for head in [CHUNKED, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", b"\r\n\r\n"] {
                let mut body = Body::new(head);
                for piece in &pieces {
                    body.take(piece);
                }
                prop_assert!(body.bytes.len() <= PROBE_ANSWER_BYTES_MAX);
                let mut whole = Body::new(head);
                whole.take(&pieces.concat());
                prop_assert_eq!(&whole.bytes, &body.bytes, "pieces do not matter");
            }
        }
    }
}
