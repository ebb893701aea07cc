//! What control hears while a run is being started, on the socket that it supplied:
//! `Spawned` (with a pidfd) from stage 0, then `Ready` from the shim, or `Failed` from
//! whoever could not go on. launch answers its other frames there with `Done`.

use crate::limits::DETAIL_BYTES_MAX;
use crate::wire::{Encoder, Fields, Malformed};

const SPAWNED: u16 = 1;
const READY: u16 = 2;
const FAILED: u16 = 3;
const DONE: u16 = 4;

const NUMBER: u16 = 1;
const STEP: u16 = 2;
const DETAIL: u16 = 3;

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The shim exists; its pidfd comes along.
    Spawned {
        /// Its process id as the host sees it.
        shim_pid: u32,
    },
    /// The shim keeps the run and lets the child go if this could be delivered.
    Ready {
        /// When, in milliseconds since 1970 UTC.
        started_unix_ms: i64,
    },
    /// Nothing runs.
    Failed {
        /// What was being done, for people.
        step: String,
        /// What the system said.
        detail: String,
    },
    /// Done; a descriptor comes along where one was asked for.
    Done,
}

impl Report {
    /// The bytes of the packet.
    pub fn encode(&self) -> Vec<u8> {
        let body = Encoder::default();
        let (kind, body) = match self {
            Self::Spawned { shim_pid } => (SPAWNED, body.number(NUMBER, (*shim_pid).into())),
            Self::Ready { started_unix_ms } => (READY, body.signed(NUMBER, *started_unix_ms)),
            Self::Failed { step, detail } => (FAILED, body.bytes(STEP, cut(step)).bytes(DETAIL, cut(detail))),
            Self::Done => (DONE, body),
        };
        Encoder::default().bytes(kind, &body.finish()).finish()
    }

    /// Reads a packet.
    pub fn decode(packet: &[u8]) -> Result<Self, Malformed> {
        let message = Fields::new(packet).next().ok_or(Malformed::Missing("a message"))??;
        let mut number = 0_u64;
        let mut step = String::new();
        let mut detail = String::new();
        for field in Fields::new(message.bytes) {
            let field = field?;
            match field.tag {
                NUMBER => number = field.number()?,
                STEP => step = String::from_utf8_lossy(field.bytes).into_owned(),
                DETAIL => detail = String::from_utf8_lossy(field.bytes).into_owned(),
                _ => {}
            }
        }
        Ok(match message.tag {
            SPAWNED => Self::Spawned { shim_pid: u32::try_from(number).map_err(|_| Malformed::Field(NUMBER))? },
            READY => Self::Ready { started_unix_ms: number.cast_signed() },
            FAILED => Self::Failed { step, detail },
            DONE => Self::Done,
            unknown => return Err(Malformed::Unknown(unknown)),
        })
    }
}

fn cut(text: &str) -> &[u8] {
    &text.as_bytes()[..text.len().min(DETAIL_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_read_back() {
        let reports = [
            Report::Spawned { shim_pid: 4_000_000 },
            Report::Ready { started_unix_ms: 1_790_000_000_000 },
            Report::Failed { step: "mount".to_owned(), detail: "no such file".to_owned() },
            Report::Done,
        ];
        for report in reports {
            assert_eq!(Report::decode(&report.encode()), Ok(report));
        }
    }
}
