//! Frames on a run's `sock`: one question per packet, one answer per packet.

use crate::notify::Notified;
use crate::wire::{Encoder, Fields, Malformed};

/// The oldest version of these frames that this shim understands.
pub const VERSION_MIN: u64 = 1;
/// The newest version of these frames.
pub const VERSION_MAX: u64 = 1;

const HELLO: u16 = 1;
const STOP: u16 = 2;
const KILL: u16 = 3;
const SIGNAL: u16 = 4;
const STATUS: u16 = 5;
const NAMESPACES: u16 = 6;
const NOTIFIED: u16 = 7;
const WELCOME: u16 = 101;
const TAKEN: u16 = 102;
const STATE: u16 = 103;
const REFUSED: u16 = 104;
const HANDED_OUT: u16 = 105;
const SAID: u16 = 106;

const FIRST: u16 = 1;
const SECOND: u16 = 2;

/// What the server asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Versions that the server speaks.
    Hello {
        /// Oldest.
        min: u64,
        /// Newest.
        max: u64,
    },
    /// The stop signal and CONT to everything, KILL after the grace period.
    Stop {
        /// Grace period in milliseconds.
        grace_ms: u64,
    },
    /// KILL to everything.
    Kill,
    /// A signal to the child alone.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// How is it?
    Status,
    /// The namespaces of the run, for a command that joins it.
    Namespaces,
    /// What its processes said of themselves: answered as soon as that is another change
    /// than this one. [`ANY_CHANGE`] is answered at once.
    Notified {
        /// [`Notified::change`] as it was known last; 0 for none.
        seen: u64,
    },
}

/// No change has this number.
pub const ANY_CHANGE: u64 = u64::MAX;

/// What the shim answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The version to go on with.
    Welcome {
        /// The newest one that both speak.
        version: u64,
    },
    /// The order was taken.
    Taken,
    /// The state of the run.
    State {
        /// Whether a stop is in progress.
        stopping: bool,
        /// When the child was let go, in milliseconds since 1970 UTC.
        started_unix_ms: i64,
    },
    /// Not understood, or no version in common.
    Refused,
    /// The namespaces come along, in the order of [`crate::NAMESPACES`].
    HandedOut,
    /// What the processes of the run said of themselves.
    Notified(Notified),
}

impl Request {
    /// The bytes of the packet.
    pub fn encode(self) -> Vec<u8> {
        match self {
            Self::Hello { min, max } => message(HELLO, Encoder::default().number(FIRST, min).number(SECOND, max)),
            Self::Stop { grace_ms } => message(STOP, Encoder::default().number(FIRST, grace_ms)),
            Self::Kill => message(KILL, Encoder::default()),
            Self::Signal { signal } => message(SIGNAL, Encoder::default().signed(FIRST, i64::from(signal))),
            Self::Status => message(STATUS, Encoder::default()),
            Self::Namespaces => message(NAMESPACES, Encoder::default()),
            Self::Notified { seen } => message(NOTIFIED, Encoder::default().number(FIRST, seen)),
        }
    }

    /// Reads a packet.
    pub fn decode(packet: &[u8]) -> Result<Self, Malformed> {
        let (kind, body) = open(packet)?;
        Ok(match kind {
            HELLO => Self::Hello { min: number(body, FIRST)?, max: number(body, SECOND)? },
            STOP => Self::Stop { grace_ms: number(body, FIRST)? },
            KILL => Self::Kill,
            SIGNAL => Self::Signal { signal: number(body, FIRST)?.try_into().map_err(|_| Malformed::Field(FIRST))? },
            STATUS => Self::Status,
            NAMESPACES => Self::Namespaces,
            NOTIFIED => Self::Notified { seen: number(body, FIRST)? },
            unknown => return Err(Malformed::Unknown(unknown)),
        })
    }
}

impl Reply {
    /// The bytes of the packet.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Welcome { version } => message(WELCOME, Encoder::default().number(FIRST, *version)),
            Self::Taken => message(TAKEN, Encoder::default()),
            Self::State { stopping, started_unix_ms } => {
                message(STATE, Encoder::default().number(FIRST, (*stopping).into()).signed(SECOND, *started_unix_ms))
            }
            Self::Refused => message(REFUSED, Encoder::default()),
            Self::HandedOut => message(HANDED_OUT, Encoder::default()),
            Self::Notified(notified) => message(SAID, notified.put(Encoder::default())),
        }
    }

    /// Reads a packet.
    pub fn decode(packet: &[u8]) -> Result<Self, Malformed> {
        let (kind, body) = open(packet)?;
        Ok(match kind {
            WELCOME => Self::Welcome { version: number(body, FIRST)? },
            TAKEN => Self::Taken,
            STATE => Self::State { stopping: number(body, FIRST)? != 0, started_unix_ms: number(body, SECOND)?.cast_signed() },
            REFUSED => Self::Refused,
            HANDED_OUT => Self::HandedOut,
            SAID => Self::Notified(Notified::read(body)?),
            unknown => return Err(Malformed::Unknown(unknown)),
        })
    }
}

/// The newest version that both sides speak.
pub fn common_version(min: u64, max: u64) -> Option<u64> {
    let version = max.min(VERSION_MAX);
    (version >= min.max(VERSION_MIN)).then_some(version)
}

fn message(kind: u16, body: Encoder) -> Vec<u8> {
    Encoder::default().bytes(kind, &body.finish()).finish()
}

fn open(packet: &[u8]) -> Result<(u16, &[u8]), Malformed> {
    let field = Fields::new(packet).next().ok_or(Malformed::Missing("a message"))??;
    Ok((field.tag, field.bytes))
}

fn number(body: &[u8], tag: u16) -> Result<u64, Malformed> {
    for field in Fields::new(body) {
        let field = field?;
        if field.tag == tag {
            return field.number();
        }
    }
    Err(Malformed::Missing("a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_read_back() {
        let requests = [
            Request::Hello { min: 1, max: 3 },
            Request::Stop { grace_ms: 30_000 },
            Request::Kill,
            Request::Signal { signal: 2 },
            Request::Status,
            Request::Namespaces,
            Request::Notified { seen: 3 },
        ];
        for request in requests {
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
        let said = Notified { change: 3, ready: true, status: Some("busy".to_owned()), ..Notified::default() };
        let state = Reply::State { stopping: true, started_unix_ms: -5 };
        let replies = [Reply::Welcome { version: 1 }, Reply::Taken, state, Reply::Refused, Reply::HandedOut, Reply::Notified(said)];
        for reply in replies {
            assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
        }
    }

    #[test]
    fn the_newest_common_version_wins_and_none_is_told() {
        assert_eq!(common_version(1, 9), Some(1));
        assert_eq!(common_version(2, 9), None);
        assert_eq!(common_version(0, 0), None);
    }
}
