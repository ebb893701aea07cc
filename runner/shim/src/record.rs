//! The two records of a run folder: who keeps it (`process`) and how it ended (`exit`).
//! Both are `key value` lines and readable for ever: unknown keys are ignored.

use std::fmt::Write as _;

use crate::wire::Malformed;

/// File name of a [`ProcessRecord`].
pub const PROCESS: &str = "process";
/// File name of an [`ExitRecord`].
pub const EXIT: &str = "exit";
/// The lock that lives as long as the shim.
pub const LOCK: &str = "lock";
/// The shim's control socket.
pub const SOCKET: &str = "sock";

/// The shim beside a run, so that nobody else is taken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRecord {
    /// Its process id as the host sees it.
    pub shim_pid: u32,
    /// Its start, in clock ticks since boot: `/proc/PID/stat`, field 22.
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id` at its start.
    pub boot_id: String,
    /// When the child was let go, in milliseconds since 1970 UTC.
    pub started_unix_ms: i64,
}

/// When the process of a `/proc/PID/stat` was started, as in [`ProcessRecord`].
pub fn start_ticks(stat: &str) -> Option<u64> {
    // The name in brackets may hold anything: count fields behind its end.
    stat.get(stat.rfind(')')?..)?.split(' ').nth(20)?.parse().ok()
}

/// This start of the machine, as in [`ProcessRecord`].
pub fn boot_id() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(u8),
    /// By a signal.
    Signal {
        /// Its number.
        signal: i32,
        /// Whether a core was dumped.
        core: bool,
    },
    /// Nobody could say: the shim was killed first.
    Abandoned {
        /// The machine was started anew meanwhile.
        reboot: bool,
    },
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitRecord {
    /// How the child ended.
    pub ended: Ended,
    /// Whether the grace period of a stop ran out.
    pub stop_timed_out: bool,
    /// When, in milliseconds since 1970 UTC.
    pub ended_unix_ms: i64,
}

impl ProcessRecord {
    /// The durable form.
    pub fn encode(&self) -> String {
        format!(
            "version 1\nshim_pid {}\nstart_ticks {}\nboot_id {}\nstarted_unix_ms {}\n",
            self.shim_pid, self.start_ticks, self.boot_id, self.started_unix_ms
        )
    }

    /// Reads the durable form.
    pub fn decode(text: &str) -> Result<Self, Malformed> {
        Ok(Self {
            shim_pid: parsed(text, "shim_pid")?,
            start_ticks: parsed(text, "start_ticks")?,
            boot_id: value(text, "boot_id").ok_or(Malformed::Missing("boot_id"))?.to_owned(),
            started_unix_ms: parsed(text, "started_unix_ms")?,
        })
    }
}

impl ExitRecord {
    /// The durable form.
    pub fn encode(&self) -> String {
        let mut text = "version 1\n".to_owned();
        let _ = match self.ended {
            Ended::Code(code) => writeln!(text, "code {code}"),
            Ended::Signal { signal, core } => writeln!(text, "signal {signal}\ncore {core}"),
            Ended::Abandoned { reboot } => writeln!(text, "abandoned {}", if reboot { "reboot" } else { "shim-lost" }),
        };
        let _ = writeln!(text, "stop_timed_out {}\nended_unix_ms {}", self.stop_timed_out, self.ended_unix_ms);
        text
    }

    /// Reads the durable form.
    pub fn decode(text: &str) -> Result<Self, Malformed> {
        let ended = if let Some(reason) = value(text, "abandoned") {
            Ended::Abandoned { reboot: reason == "reboot" }
        } else if value(text, "signal").is_some() {
            Ended::Signal { signal: parsed(text, "signal")?, core: value(text, "core") == Some("true") }
        } else {
            Ended::Code(parsed(text, "code")?)
        };
        Ok(Self { ended, stop_timed_out: value(text, "stop_timed_out") == Some("true"), ended_unix_ms: parsed(text, "ended_unix_ms")? })
    }
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
}

fn parsed<T: std::str::FromStr>(text: &str, key: &'static str) -> Result<T, Malformed> {
    value(text, key).and_then(|word| word.parse().ok()).ok_or(Malformed::Missing(key))
}
