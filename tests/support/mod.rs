//! What the end-to-end tests stand on: a real server in a folder of its own, real
//! checkouts, real git. It knows the binary and nothing of the crates.
//!
//! ```text
//! let host = Host::start();
//! let hello = host.create("hello", host.checkout("node-web"));
//! hello.push().expect_accepted();
//! assert!(host.get("hello", "/").body.contains("one"));
//! ```

pub(crate) mod asking;
pub(crate) mod checkout;
pub(crate) mod filler;
pub(crate) mod gate;
pub(crate) mod gateway;
pub(crate) mod host;
pub(crate) mod http;
pub(crate) mod knocking;
pub(crate) mod output;
pub(crate) mod processes;
pub(crate) mod request_loop;
pub(crate) mod seats;
pub(crate) mod small;
pub(crate) mod sshd;
pub(crate) mod tools;
pub(crate) mod wait;

pub(crate) use checkout::App;
pub(crate) use filler::Filler;
pub(crate) use host::{Host, HostOptions};
pub(crate) use knocking::Knocking;
pub(crate) use output::Output;
pub(crate) use request_loop::RequestLoop;
pub(crate) use wait::{found_within, wait_until};

use std::time::Duration;

/// How long a push of an example may take on a busy machine, dependencies included.
pub(crate) const PUSH_DEADLINE: Duration = Duration::from_mins(5);
/// How long anything may take that only needs a few processes to start or stop.
pub(crate) const SOON: Duration = Duration::from_mins(1);
