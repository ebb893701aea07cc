//! Where requests go: pure data that control computes and the router serves.

use std::net::{Ipv4Addr, SocketAddr};

use crate::{AppName, AppNumber, Hostname, RunId};

/// One place that can answer: a run that passed its check, on a port of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutedInstance {
    /// The run.
    pub run: RunId,
    /// Its leased port on 127.0.0.1.
    pub port: u16,
}

impl RoutedInstance {
    /// Where to connect. IPv4 loopback only: with an app on 0.0.0.0 another user can
    /// take `[::1]` on the same port.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

/// What the router does with a request of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pool {
    /// Send it to one of these (never empty).
    Serve(Vec<RoutedInstance>),
    /// Keep it for a moment: the only instance is being restarted or switched.
    Hold {
        /// How long at most, in milliseconds.
        for_at_most_ms: u64,
    },
    /// The app is up but every instance crashes: H10.
    Crashed,
    /// No release yet, or web is scaled to 0 or stopped: H14.
    Stopped,
}

/// Everything the router knows about one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRoutes {
    /// The app.
    pub app: AppName,
    /// Its number: what lasts is written under it, since a name may pass to another app.
    pub number: AppNumber,
    /// Host names that lead here.
    pub hosts: Vec<Hostname>,
    /// The app's lasting port, which needs no name.
    pub port: u16,
    /// What to do with a request.
    pub pool: Pool,
}

/// How requests have ended, as the router counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Requests that have ended, however.
    pub requests: u64,
    /// Those of them that were answered with 5xx, by an instance or in its stead.
    pub errors: u64,
}
