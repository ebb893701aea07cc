//! What control hears while a run is being started, on the socket that it supplied:
//! `Spawned` (with a pidfd) from stage 0, then `Ready` from the shim, or `Failed` from
//! whoever could not go on. launch answers its other frames there with `Done`. A command
//! inside a live run says `Ended` there as well.

use crate::limits::DETAIL_BYTES_MAX;
use crate::record::Ended;
use crate::wire::{Encoder, Fields, Malformed};

const SPAWNED: u16 = 1;
const READY: u16 = 2;
const FAILED: u16 = 3;
const DONE: u16 = 4;
const ENDED: u16 = 5;

const NUMBER: u16 = 1;
const STEP: u16 = 2;
const DETAIL: u16 = 3;
const SIGNAL: u16 = 4;
const CORE: u16 = 5;
const LEFT: u16 = 6;

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
    /// The command inside a live run is over.
    Ended {
        /// How; `Abandoned` if nobody could say.
        ended: Ended,
        /// Something that it had started would not die; the run's end takes it along.
        left: bool,
    },
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
            Self::Ended { ended, left } => (ENDED, put(*ended, body).number(LEFT, (*left).into())),
        };
        Encoder::default().bytes(kind, &body.finish()).finish()
    }

    /// Reads a packet.
    pub fn decode(packet: &[u8]) -> Result<Self, Malformed> {
        let message = Fields::new(packet).next().ok_or(Malformed::Missing("a message"))??;
        let mut number = 0_u64;
        let mut step = String::new();
        let mut detail = String::new();
        let mut signal = None;
        let (mut code, mut core, mut left) = (None, false, false);
        for field in Fields::new(message.bytes) {
            let field = field?;
            match field.tag {
                NUMBER => {
                    number = field.number()?;
                    code = u8::try_from(number).ok();
                }
                SIGNAL => signal = Some(i32::try_from(field.signed()?).map_err(|_| Malformed::Field(SIGNAL))?),
                CORE => core = field.flag()?,
                LEFT => left = field.flag()?,
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
            ENDED => {
                let ended = match (signal, code) {
                    (Some(signal), _) => Ended::Signal { signal, core },
                    (None, Some(code)) => Ended::Code(code),
                    (None, None) => Ended::Abandoned { reboot: false },
                };
                Self::Ended { ended, left }
            }
            unknown => return Err(Malformed::Unknown(unknown)),
        })
    }
}

fn put(ended: Ended, body: Encoder) -> Encoder {
    match ended {
        Ended::Code(code) => body.number(NUMBER, code.into()),
        Ended::Signal { signal, core } => body.signed(SIGNAL, signal.into()).number(CORE, core.into()),
        Ended::Abandoned { .. } => body,
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
            Report::Ended { ended: Ended::Code(3), left: false },
            Report::Ended { ended: Ended::Signal { signal: 34, core: true }, left: true },
            Report::Ended { ended: Ended::Abandoned { reboot: false }, left: false },
        ];
        for report in reports {
            assert_eq!(Report::decode(&report.encode()), Ok(report));
        }
    }
}
