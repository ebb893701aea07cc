//! Bodies out of one framing and into another, a piece at a time.

use std::io::Write;

use super::head::{fields, is_safe_trailer};
use super::{Framing, HttpError};
use crate::limits;

/// Takes a body out of its framing.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    trailers: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Done,
    Length(u64),
    UntilClose,
    /// In the line of a chunk's size; what there is of it so far.
    Size(Vec<u8>),
    Data(u64),
    /// After a chunk's data: so many bytes of CRLF are missing.
    DataEnd(u8),
    Trailers,
}

/// What one call took and gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// How many bytes of the input are used up.
    pub(crate) used: usize,
    /// Body bytes, if it gave some.
    pub(crate) data: &'a [u8],
}

impl Decoder {
    pub(crate) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size(Vec::new()),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, trailers: Vec::new() }
    }

    /// Whether the whole body was seen.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether an end of the connection now is the end of the body.
    pub(crate) fn may_end_here(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// The trailer lines that may be passed on, each with its CRLF.
    pub(crate) fn trailers(&self) -> Vec<u8> {
        let mut kept = Vec::new();
        for field in fields(&self.trailers, 0).unwrap_or_default() {
            if is_safe_trailer(field.name.of(&self.trailers)) {
                kept.extend_from_slice(field.name.of(&self.trailers));
                kept.extend_from_slice(b": ");
                kept.extend_from_slice(field.value.of(&self.trailers));
                kept.extend_from_slice(b"\r\n");
            }
        }
        kept
    }

    /// Takes the next piece out of `input`. Call again until nothing is used or the body is done.
    pub(crate) fn next<'a>(&mut self, input: &'a [u8]) -> Result<Piece<'a>, HttpError> {
        match &mut self.state {
            State::Done => Ok(Piece { used: 0, data: &[] }),
            State::UntilClose => Ok(Piece { used: input.len(), data: input }),
            State::Length(left) => {
                let data = within(input, *left);
                *left -= data.len() as u64;
                if *left == 0 {
                    self.state = State::Done;
                }
                Ok(Piece { used: data.len(), data })
            }
            State::Data(left) => {
                let data = within(input, *left);
                *left -= data.len() as u64;
                if *left == 0 {
                    self.state = State::DataEnd(2);
                }
                Ok(Piece { used: data.len(), data })
            }
            State::DataEnd(missing) => {
                let Some(byte) = input.first() else { return Ok(Piece { used: 0, data: &[] }) };
                if *byte != if *missing == 2 { b'\r' } else { b'\n' } {
                    return Err(HttpError::Malformed("a chunk is longer than its size"));
                }
                *missing -= 1;
                if *missing == 0 {
                    self.state = State::Size(Vec::new());
                }
                Ok(Piece { used: 1, data: &[] })
            }
            State::Size(_) => self.size_line(input),
            State::Trailers => self.trailer_lines(input),
        }
    }

    fn size_line<'a>(&mut self, input: &'a [u8]) -> Result<Piece<'a>, HttpError> {
        let State::Size(line) = &mut self.state else { return Ok(Piece { used: 0, data: &[] }) };
        let used = input.iter().position(|byte| *byte == b'\n').map_or(input.len(), |at| at + 1);
        if line.len() + used > limits::CHUNK_LINE_BYTES_MAX {
            return Err(HttpError::Malformed("the line of a chunk's size is too long"));
        }
        line.extend_from_slice(&input[..used]);
        if line.last() == Some(&b'\n') {
            self.state = match chunk_size(line)? {
                0 => State::Trailers,
                size => State::Data(size),
            };
        }
        Ok(Piece { used, data: &[] })
    }

    fn trailer_lines<'a>(&mut self, input: &'a [u8]) -> Result<Piece<'a>, HttpError> {
        let used = input.iter().position(|byte| *byte == b'\n').map_or(input.len(), |at| at + 1);
        if self.trailers.len() + used > limits::TRAILER_BYTES_MAX {
            return Err(HttpError::Malformed("the trailers are too large"));
        }
        self.trailers.extend_from_slice(&input[..used]);
        if self.trailers == b"\r\n" || self.trailers.ends_with(b"\n\r\n") {
            fields(&self.trailers, 0)?;
            self.state = State::Done;
        } else if self.trailers == b"\n" || self.trailers.ends_with(b"\n\n") {
            return Err(HttpError::Malformed("a line ends without CR"));
        }
        Ok(Piece { used, data: &[] })
    }
}

fn within(input: &[u8], left: u64) -> &[u8] {
    let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    &input[..take]
}

/// Reads `1a;extension\r\n`; extensions are dropped here, they belong to one hop.
fn chunk_size(line: &[u8]) -> Result<u64, HttpError> {
    let bad = HttpError::Malformed("a chunk's size is not a number");
    let line = line.strip_suffix(b"\r\n").ok_or(bad)?;
    let (digits, extension) = match line.iter().position(|byte| *byte == b';') {
        Some(at) => (&line[..at], &line[at..]),
        None => (line, &[][..]),
    };
    if extension.iter().any(|byte| *byte < b' ' && *byte != b'\t' || *byte == 0x7f) {
        return Err(HttpError::Malformed("a chunk's extension has control characters"));
    }
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(bad);
    }
    let text = std::str::from_utf8(digits).map_err(|_| bad)?;
    u64::from_str_radix(text, 16).map_err(|_| bad)
}

/// Adds a piece of a body to `out` in the framing that was announced.
pub(crate) fn encode(framing: Framing, data: &[u8], out: &mut Vec<u8>) {
    if data.is_empty() || framing == Framing::Empty {
        return;
    }
    if framing == Framing::Chunked {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{:x}\r\n", data.len());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    } else {
        out.extend_from_slice(data);
    }
}

/// Adds the end of a body.
pub(crate) fn encode_end(framing: Framing, trailers: &[u8], out: &mut Vec<u8>) {
    if framing == Framing::Chunked {
        out.extend_from_slice(b"0\r\n");
        out.extend_from_slice(trailers);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `input` in steps; gives body, bytes used, and whether it was whole.
    fn decode(framing: Framing, input: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), HttpError> {
        let mut decoder = Decoder::new(framing);
        let (mut body, mut at) = (Vec::new(), 0);
        let mut seen = 0;
        while seen < input.len() && !decoder.is_done() {
            seen = (seen + step).min(input.len());
            while at < seen && !decoder.is_done() {
                let piece = decoder.next(&input[at..seen])?;
                body.extend_from_slice(piece.data);
                at += piece.used;
            }
        }
        Ok((body, at, decoder.is_done()))
    }

    #[test]
    fn a_body_comes_out_however_it_is_cut_and_what_follows_stays() {
        let chunked = b"4\r\nWiki\r\n5;x=y\r\npedia\r\n0\r\nA: b\r\nHost: evil\r\n\r\nGET /";
        for step in 1..chunked.len() {
            assert_eq!(decode(Framing::Chunked, chunked, step), Ok((b"Wikipedia".to_vec(), chunked.len() - 5, true)));
            assert_eq!(decode(Framing::Length(6), b"abcdefgh", step), Ok((b"abcdef".to_vec(), 6, true)));
        }
        assert_eq!(decode(Framing::Length(9), b"abc", 3), Ok((b"abc".to_vec(), 3, false)));
    }

    #[test]
    fn trailers_that_route_or_frame_are_dropped() {
        let mut decoder = Decoder::new(Framing::Chunked);
        let mut rest = &b"0\r\nA: b\r\nHost: evil\r\nContent-Length: 3\r\n\r\n"[..];
        while !decoder.is_done() {
            let used = decoder.next(rest).expect("valid").used;
            rest = &rest[used..];
        }
        assert_eq!(decoder.trailers(), b"A: b\r\n");
    }

    #[test]
    fn chunks_that_parsers_disagree_about_are_refused() {
        let bad: [&[u8]; 10] = [
            b"4\nWiki\r\n",
            b"4 \r\nWiki\r\n",
            b" 4\r\nWiki\r\n",
            b"0x4\r\nWiki\r\n",
            b"+4\r\nWiki\r\n",
            b"\r\n",
            b"4\r\nWikip",
            b"ffffffffffffffff\r\n",
            b"0\r\n\n",
            b"4;\x01\r\nWiki\r\n",
        ];
        for input in bad {
            assert!(decode(Framing::Chunked, input, input.len()).is_err(), "{:?} was taken", input.escape_ascii());
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let mut out = Vec::new();
        encode(Framing::Chunked, b"hello ", &mut out);
        encode(Framing::Chunked, b"", &mut out);
        encode(Framing::Chunked, b"world", &mut out);
        encode_end(Framing::Chunked, b"", &mut out);
        assert_eq!(decode(Framing::Chunked, &out, 3), Ok((b"hello world".to_vec(), out.len(), true)));
    }
}
