//! A step that did not work, with the system's word for it.

use std::io::{self, Write as _};
use std::os::fd::BorrowedFd;

use rustix::net::SendFlags;
use shim::Report;

/// What was being done, and why it did not work.
#[derive(Debug)]
pub(crate) struct Failure {
    step: String,
    source: io::Error,
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(step: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { step: step.into(), source: source.into() }
    }

    pub(crate) fn invalid(step: impl Into<String>, detail: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(step, io::Error::new(io::ErrorKind::InvalidData, detail))
    }

    /// Tells control. If nobody listens any more there is nobody to tell.
    pub(crate) fn report(&self, reply: BorrowedFd<'_>) {
        let report = Report::Failed { step: self.step.clone(), detail: self.source.to_string() };
        let _ = rustix::net::send(reply, &report.encode(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    /// Tells whoever reads stderr.
    pub(crate) fn tell(&self) {
        let _ = writeln!(io::stderr(), "{}: {}", self.step, self.source);
    }
}

/// Names the step of a result.
pub(crate) trait Step<T> {
    fn step(self, name: &str) -> Outcome<T>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, name: &str) -> Outcome<T> {
        self.map_err(|error| Failure::new(name, error))
    }
}
