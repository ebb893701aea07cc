//! What the processes of a run say of themselves on `NOTIFY_SOCKET`: the newest of each
//! kind, in a bounded place. Pure; the socket is the supervisor's.

use std::time::{Duration, Instant};

use crate::limits::NOTIFY_STATUS_BYTES_MAX;
use crate::wire::{Encoder, Fields, Malformed};

/// Where a process of a run finds the socket.
pub const NOTIFY_SOCKET: &str = "/run/notify";

const CHANGE: u16 = 1;
const READY: u16 = 2;
const STOPPING: u16 = 3;
const PING_AGE_MS: u16 = 4;
const INTERVAL_US: u16 = 5;
const TRIGGERED: u16 = 6;
const STATUS: u16 = 7;

/// What was said, as an answer on the control socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notified {
    /// Grows with each change; a repeated ping is none. 0: nothing was said yet.
    pub change: u64,
    /// `READY=1`
    pub ready: bool,
    /// `STOPPING=1`
    pub stopping: bool,
    /// The age of the last `WATCHDOG=1`, in milliseconds.
    pub ping_age_ms: Option<u64>,
    /// `WATCHDOG_USEC=…`
    pub interval_us: Option<u64>,
    /// `WATCHDOG=trigger`
    pub triggered: bool,
    /// `STATUS=…`, bounded; whatever an app wrote.
    pub status: Option<String>,
}

/// What is kept of it beside the run.
#[derive(Debug, Default)]
pub struct Heard {
    change: u64,
    ready: bool,
    stopping: bool,
    pinged: Option<Instant>,
    interval_us: Option<u64>,
    triggered: bool,
    status: Vec<u8>,
}

impl Heard {
    /// Takes one datagram: `NAME=VALUE` lines. What is not known is ignored.
    pub fn take(&mut self, now: Instant, datagram: &[u8]) {
        let mut changed = false;
        for line in datagram.split(|byte| *byte == b'\n') {
            changed |= match line {
                b"READY=1" => !std::mem::replace(&mut self.ready, true),
                b"STOPPING=1" => !std::mem::replace(&mut self.stopping, true),
                b"WATCHDOG=1" => self.pinged.replace(now).is_none(),
                b"WATCHDOG=trigger" => !std::mem::replace(&mut self.triggered, true),
                _ => self.take_value(line),
            };
        }
        self.change += u64::from(changed);
    }

    fn take_value(&mut self, line: &[u8]) -> bool {
        if let Some(text) = line.strip_prefix(b"STATUS=") {
            let text = &text[..text.len().min(NOTIFY_STATUS_BYTES_MAX)];
            let changed = self.status != text;
            self.status.clear();
            self.status.extend_from_slice(text);
            return changed;
        }
        let Some(digits) = line.strip_prefix(b"WATCHDOG_USEC=") else { return false };
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        number.is_some() && self.interval_us != number && std::mem::replace(&mut self.interval_us, number) != number
    }

    /// Which change this is.
    pub fn change(&self) -> u64 {
        self.change
    }

    /// All of it, as of now.
    pub fn notified(&self, now: Instant) -> Notified {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Notified {
            change: self.change,
            ready: self.ready,
            stopping: self.stopping,
            ping_age_ms: self.pinged.map(|at| milliseconds(now.saturating_duration_since(at))),
            interval_us: self.interval_us,
            triggered: self.triggered,
            status: (!self.status.is_empty()).then(|| String::from_utf8_lossy(&self.status).into_owned()),
        }
    }
}

impl Notified {
    pub(crate) fn put(&self, body: Encoder) -> Encoder {
        let body = body
            .number(CHANGE, self.change)
            .number(READY, self.ready.into())
            .number(STOPPING, self.stopping.into())
            .optional(PING_AGE_MS, self.ping_age_ms)
            .optional(INTERVAL_US, self.interval_us)
            .number(TRIGGERED, self.triggered.into());
        match &self.status {
            Some(status) => body.bytes(STATUS, status.as_bytes()),
            None => body,
        }
    }

    pub(crate) fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut notified = Self::default();
        for field in Fields::new(body) {
            let field = field?;
            match field.tag {
                CHANGE => notified.change = field.number()?,
                READY => notified.ready = field.flag()?,
                STOPPING => notified.stopping = field.flag()?,
                PING_AGE_MS => notified.ping_age_ms = Some(field.number()?),
                INTERVAL_US => notified.interval_us = Some(field.number()?),
                TRIGGERED => notified.triggered = field.flag()?,
                STATUS => notified.status = Some(String::from_utf8_lossy(field.bytes).into_owned()),
                _ => {}
            }
        }
        Ok(notified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(datagrams: &[&str]) -> Notified {
        let (mut heard, now) = (Heard::default(), Instant::now());
        for datagram in datagrams {
            heard.take(now, datagram.as_bytes());
        }
        heard.notified(now + Duration::from_millis(70))
    }

    #[test]
    fn the_newest_of_each_kind_is_kept() {
        let said = ["STATUS=starting", "READY=1\nSTATUS=serving 3", "WATCHDOG_USEC=2000000\nWATCHDOG=1", "MAINPID=7\nX"];
        let expected = Notified {
            change: 3,
            ready: true,
            ping_age_ms: Some(70),
            interval_us: Some(2_000_000),
            status: Some("serving 3".to_owned()),
            ..Notified::default()
        };
        assert_eq!(heard(&said), expected);
        assert_eq!(
            heard(&["STOPPING=1", "WATCHDOG=trigger"]),
            Notified { change: 2, stopping: true, triggered: true, ..Notified::default() }
        );
    }

    #[test]
    fn what_says_nothing_new_is_no_change() {
        assert_eq!(heard(&["", "READY=0", "WATCHDOG_USEC=x", "RELOADING=1", "FDSTORE=1"]), Notified::default());
        assert_eq!(heard(&["READY=1", "READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "STATUS=a", "STATUS=a"]).change, 3);
    }

    #[test]
    fn a_status_is_bounded_and_any_bytes_are_text() {
        let mut heard = Heard::default();
        heard.take(Instant::now(), &[b"STATUS=".as_slice(), &[0xff; 4_000]].concat());
        let status = heard.notified(Instant::now()).status.expect("a status");
        assert_eq!(status.chars().count(), NOTIFY_STATUS_BYTES_MAX);
    }

    #[test]
    fn answers_read_back() {
        let said = heard(&["READY=1\nSTATUS=a\nWATCHDOG=1\nWATCHDOG_USEC=5"]);
        assert_eq!(Notified::read(&said.put(Encoder::default()).finish()), Ok(said));
    }
}
