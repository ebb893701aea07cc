//! How a run ended.

use std::fmt;

use crate::author::CheckKind;

/// The end of a process: code and signal are never mixed up; 128 + n is display only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// It exited by itself.
    Code(u8),
    /// A signal ended it.
    Signal {
        /// Signal number.
        signal: i32,
        /// Whether a core was dumped.
        core: bool,
    },
    /// Nobody could say: its shim was killed, or the machine went down.
    Unknown,
}

impl ExitStatus {
    /// The exit code that a shell would show.
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal { signal, .. } => u8::try_from(128 + signal).unwrap_or(255),
            Self::Unknown => 255,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited {code}"),
            Self::Signal { signal, core: false } => write!(f, "killed by {}", signal_name(*signal)),
            Self::Signal { signal, core: true } => write!(f, "killed by {} (core dumped)", signal_name(*signal)),
            Self::Unknown => f.write_str("ended, how is unknown"),
        }
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

/// Why paas stopped or lost a run, with Heroku's code where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// It ended by itself.
    Exited,
    /// It did not bind `PORT` or answer within the boot timeout.
    BootTimeout {
        /// The timeout that it missed, in seconds.
        seconds: u64,
    },
    /// The silence clock ran out: no byte for this long while probes failed.
    Silent {
        /// Seconds without a byte since the first failed probe.
        seconds: u64,
        /// The last probe and what came of it, for people.
        probe: String,
    },
    /// A check of its author failed as often in a row as counts.
    CheckFailed {
        /// What its failure leads to.
        kind: CheckKind,
        /// The check for people: `GET /healthz`.
        check: String,
        /// Failures in a row.
        times: u32,
        /// What came of the last try, for people: `503`.
        answer: String,
    },
    /// It did not say `WATCHDOG=1` in time.
    Watchdog {
        /// Seconds since the last time that it did.
        seconds: u64,
    },
    /// A person, a deploy or a scale asked for it.
    Asked,
    /// Its shim was killed and took it along.
    ShimLost,
    /// It could not be started.
    SpawnFailed {
        /// The step and the system's word for what went wrong.
        detail: String,
    },
    /// It ignored SIGTERM and was killed at the end of the grace period.
    StopTimeout {
        /// The grace period in seconds.
        seconds: u64,
    },
    /// The machine was started anew.
    Reboot,
}

impl StopReason {
    /// Heroku's R-code for logs.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::BootTimeout { .. } | Self::CheckFailed { kind: CheckKind::Startup, .. } => Some("R10"),
            Self::StopTimeout { .. } => Some("R12"),
            _ => None,
        }
    }
}

impl StopReason {
    /// Whether it was alive and is restarted since it was not well.
    pub fn is_bad_health(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::CheckFailed { kind: CheckKind::Liveness, .. } | Self::Watchdog { .. })
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited => f.write_str("the process ended by itself"),
            Self::BootTimeout { seconds } => write!(f, "did not answer on $PORT within {seconds} s of its start"),
            Self::Silent { seconds, probe } => write!(f, "silent for {seconds} s ({probe})"),
            Self::CheckFailed { kind, check, times, answer } => {
                let plural = if *times == 1 { "" } else { "s" };
                write!(f, "{} check {check} failed {times} time{plural} ({answer})", kind.word())
            }
            Self::Watchdog { seconds } => write!(f, "silent on NOTIFY_SOCKET for {seconds} s: WATCHDOG=1 is overdue"),
            Self::Asked => f.write_str("stopped on request"),
            Self::ShimLost => f.write_str("its supervisor process was killed and took it along"),
            Self::SpawnFailed { detail } => write!(f, "could not be started: {detail}"),
            Self::StopTimeout { seconds } => write!(f, "did not stop within {seconds} s of SIGTERM and was killed"),
            Self::Reboot => f.write_str("the machine was restarted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_is_told_with_its_request_its_count_and_its_answer() {
        let failed = |kind, times| StopReason::CheckFailed { kind, check: "GET /healthz".to_owned(), times, answer: "503".to_owned() };
        assert_eq!(failed(CheckKind::Liveness, 3).to_string(), "liveness check GET /healthz failed 3 times (503)");
        assert_eq!(failed(CheckKind::Startup, 1).to_string(), "startup check GET /healthz failed 1 time (503)");
        assert_eq!((failed(CheckKind::Startup, 1).code(), failed(CheckKind::Liveness, 3).code()), (Some("R10"), None));
    }
}
