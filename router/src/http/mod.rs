//! HTTP/1 as pure functions over bytes: heads are parsed strictly, bodies are taken
//! out of their framing, and both are written again in the form that we vouch for.

pub(crate) mod body;
pub(crate) mod head;
pub(crate) mod request;
pub(crate) mod response;

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunks up to one of size zero.
    Chunked,
    /// Everything until the connection ends (answers only).
    UntilClose,
}

/// Why a head or a body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpError {
    /// It breaks the grammar.
    #[error("{0}")]
    Malformed(&'static str),
    /// The request line is too long.
    #[error("the request line is longer than 8 KiB")]
    LineTooLong,
    /// Too many bytes or fields.
    #[error("the head is larger than 64 KiB or has more than 128 fields")]
    HeadTooLarge,
    /// Not HTTP/1.0 or 1.1.
    #[error("only HTTP/1.0 and HTTP/1.1 are spoken here")]
    Version,
    /// `CONNECT`.
    #[error("this is not a forward proxy")]
    Connect,
}

impl HttpError {
    /// The status that a client gets for it.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::LineTooLong => 414,
            Self::HeadTooLarge => 431,
            Self::Version => 505,
            Self::Connect => 405,
        }
    }
}
