//! The machine, as control asks about it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use control::seams::{BoxFuture, Host};
use tokio::sync::Notify;

use super::keeper::Keeper;
use super::memory_peak;

/// The last answer of a server that was told to stop gets out within this.
const LAST_ANSWER: std::time::Duration = std::time::Duration::from_millis(200);

/// This machine.
pub struct LocalHost {
    router: Arc<Keeper>,
    stop: Arc<Notify>,
    memory_reserve_bytes: u64,
}

impl LocalHost {
    /// This machine with its router, and memory that switches leave free.
    pub fn new(router: Arc<Keeper>, memory_reserve_bytes: u64) -> Self {
        Self { router, stop: Arc::default(), memory_reserve_bytes }
    }

    /// Resolves when `stop --all` is done.
    pub async fn told_to_stop(&self) {
        self.stop.notified().await;
    }

    /// Memory of the machine in bytes.
    pub fn total_memory_bytes(&self) -> u64 {
        self.memory_bytes().1
    }
}

impl Host for LocalHost {
    fn memory_bytes(&self) -> (u64, u64) {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
        };
        (value("MemAvailable:").unwrap_or(0), value("MemTotal:").unwrap_or(0))
    }

    fn memory_for_switches(&self) -> Option<u64> {
        match self.memory_bytes() {
            (_, 0) => None,
            (available, _) => Some(available.saturating_sub(self.memory_reserve_bytes)),
        }
    }

    fn memory_peak(&self, shim_pid: u32) -> Option<u64> {
        memory_peak::below(shim_pid)
    }

    fn ports_in_use(&self) -> BTreeSet<u16> {
        runner::listener::ports_in_use()
    }

    fn router_shim_pid(&self) -> Option<u32> {
        self.router.live().map(|run| run.shim_pid())
    }

    fn stop_router(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.router.stop())
    }

    fn stop_server(&self) {
        let stop = self.stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LAST_ANSWER).await;
            stop.notify_one();
        });
    }
}

/// The address that people on other machines reach, for a listening address: the first
/// one of this machine that is not loopback, where the router listens on all of them.
pub fn shown_address(listening: IpAddr) -> String {
    if !listening.is_unspecified() {
        return listening.to_string();
    }
    // Connecting a datagram socket sends nothing; it only picks the local address.
    let picked = std::net::UdpSocket::bind(("0.0.0.0", 0)).and_then(|socket| {
        socket.connect(("192.0.2.1", 9))?;
        socket.local_addr()
    });
    picked.map_or_else(|_| "127.0.0.1".to_owned(), |address| address.ip().to_string())
}
