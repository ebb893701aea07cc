//! Keeping a command inside a live run: adopts and reaps what it starts, kills all of it
//! when the command has ended or nobody listens any more, and says how it ended.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::{Pid, getpid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shim::control::Request;
use shim::limits::{FRAME_BYTES_MAX, JOINED_KILL_MS, JOINED_KILL_ROUND_MS};
use shim::{Ended, Report, wire_socket};

use crate::failure::{Outcome, Step};
use crate::processes::{Reaped, reap};
use crate::stage::Reply;

pub(crate) struct Joined {
    command: Pid,
    signals: SignalFd,
    /// `None`: nobody listens any more.
    socket: Option<OwnedFd>,
    ended: Option<Ended>,
    /// Until when everything is being killed.
    kill_until: Option<Instant>,
}

impl Joined {
    pub(crate) fn new(command: Pid, signals: SignalFd, socket: OwnedFd) -> Self {
        Self { command, signals, socket: Some(socket), ended: None, kill_until: None }
    }

    /// Lets the command go by `release`, and returns when nothing of it is left.
    pub(crate) fn keep(mut self, release: impl FnOnce(&OwnedFd) -> Outcome) -> Outcome {
        if let Some(socket) = &self.socket {
            release(socket)?;
        }
        loop {
            let any_left = self.reap();
            let now = Instant::now();
            let out_of_time = self.kill_until.is_some_and(|until| until <= now);
            if !any_left || out_of_time {
                self.tell(any_left);
                return Ok(());
            }
            if self.ended.is_some() || self.kill_until.is_some() || self.socket.is_none() {
                self.kill_until.get_or_insert(now + Duration::from_millis(JOINED_KILL_MS));
                kill_children();
            }
            self.wait()?;
        }
    }

    /// Takes every process that has ended; whether others are left.
    fn reap(&mut self) -> bool {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        loop {
            match reap() {
                Reaped::Process(pid, ended) if pid == self.command => self.ended = Some(ended),
                Reaped::Process(..) => {}
                Reaped::NotYet => return true,
                Reaped::NoneLeft => return false,
            }
        }
    }

    /// Sleeps until a child ends, an order comes, or the next round of killing is due.
    fn wait(&mut self) -> Outcome {
        let round = self.kill_until.map(|_| Duration::from_millis(JOINED_KILL_ROUND_MS));
        let timeout = round.and_then(|time| Timespec::try_from(time).ok());
        let mut watched = vec![PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN)];
        if let Some(socket) = &self.socket {
            watched.push(PollFd::new(socket, PollFlags::IN));
        }
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).step("wait for the command"),
        }
        if watched.get(1).is_some_and(|socket| !socket.revents().is_empty()) {
            self.obey();
        }
        Ok(())
    }

    fn obey(&mut self) {
        let Some(socket) = &self.socket else { return };
        let mut buffer = [0; FRAME_BYTES_MAX];
        match wire_socket::try_receive(socket.as_fd(), &mut buffer) {
            Ok(Some((count, _))) => match Request::decode(&buffer[..count]) {
                Ok(Request::Signal { signal }) if self.ended.is_none() => {
                    if let Ok(signal) = Signal::try_from(signal) {
                        let _ = kill(self.command, signal);
                    }
                }
                Ok(Request::Kill) => {
                    self.kill_until.get_or_insert(Instant::now() + Duration::from_millis(JOINED_KILL_MS));
                }
                // What is not known to this one does not change how it goes on.
                Ok(_) | Err(_) => {}
            },
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(None) | Err(_) => self.socket = None,
        }
    }

    fn tell(&self, left: bool) {
        let ended = self.ended.unwrap_or(Ended::Abandoned { reboot: false });
        if let Some(socket) = &self.socket {
            Reply::send_on(socket.as_fd(), &Report::Ended { ended, left });
        }
    }
}

/// Kills the children of this process, which nobody else can reap: their numbers mean
/// nobody else. Their children become this process's own then.
fn kill_children() {
    let own = getpid().as_raw();
    let Ok(entries) = std::fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let parent = std::fs::read_to_string(entry.path().join("stat")).ok().and_then(|stat| parent(&stat));
        if parent == Some(own) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// The parent in a `/proc/PID/stat`: the second field behind the name in brackets.
fn parent(stat: &str) -> Option<i32> {
    stat.get(stat.rfind(')')?..)?.split(' ').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_calls_itself_anything_has_its_own_parent() {
        assert_eq!(parent("17 (a) R 1 ) S 42 17 17 0"), Some(42));
        assert_eq!(parent("17 (sh"), None);
    }
}
