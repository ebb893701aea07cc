//! Keeping: PID 1 reaps, logs, answers and stops, until nothing of the run is left.
//!
//! ```text
//! running ── stop ──▶ stopping ── grace ──▶ KILL
//!    └── the child ends (and no stop is in progress) ──▶ KILL to what it left behind
//! nothing left ──▶ outputs read to their end, at most 1 s ──▶ exit record ──▶ end
//! ```

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shim::control::{Reply, Request};
use shim::limits::{ACCEPT_PAUSE_MS, CONVERSATIONS_MAX, DRAIN_MS, GRACE_MS_MAX, READ_BUFFER_BYTES, READ_BYTES};
use shim::{Ended, ExitRecord, record};

use crate::conversation::{self, Conversation, Heard};
use crate::failure::{Outcome, Step};
use crate::files;
use crate::log::Log;
use crate::notify_socket::Notify;
use crate::processes::{Reaped, give_memory_back, reap};
use crate::supervisor::{Kept, now_unix_ms};

/// Everything of the run but PID 1 itself.
const EVERYTHING: Pid = Pid::from_raw(-1);

pub(crate) struct Keeper {
    kept: Kept,
    log: Option<Log>,
    conversations: Vec<Conversation>,
    buffer: Vec<u8>,
    child_ended: Option<Ended>,
    /// When the grace period of a stop ends.
    stop_at: Option<Instant>,
    killed: bool,
    stop_timed_out: bool,
    /// Until when outputs are still read; set once nothing of the run is left.
    drain_until: Option<Instant>,
    accept_from: Option<Instant>,
}

/// What a poll woke for.
#[derive(Default)]
struct Woken {
    listener: bool,
    notify: bool,
    captures: Vec<usize>,
    conversations: Vec<usize>,
}

impl Keeper {
    pub(crate) fn new(mut kept: Kept) -> Outcome<Self> {
        let log = match kept.log.take() {
            Some(folder) => Some(Log::open(folder, std::mem::take(&mut kept.log_subject)).step("open the log")?),
            None => None,
        };
        // Of this size it gets pages of its own, which count only once they are written to.
        let buffer = if log.is_some() { vec![0; READ_BUFFER_BYTES] } else { Vec::new() };
        give_memory_back();
        Ok(Self {
            kept,
            log,
            conversations: Vec::new(),
            buffer,
            child_ended: None,
            stop_at: None,
            killed: false,
            stop_timed_out: false,
            drain_until: None,
            accept_from: None,
        })
    }

    pub(crate) fn keep(mut self) -> Outcome {
        loop {
            let now = Instant::now();
            self.reap(now);
            self.advance(now);
            if self.is_over(now) {
                return self.finish();
            }
            let woken = self.wait(now)?;
            let now = Instant::now();
            self.read_outputs(now, &woken);
            self.converse(now, &woken);
            self.pass_on(now, &woken);
        }
    }

    /// Takes every process that has ended.
    fn reap(&mut self, now: Instant) {
        while let Ok(Some(_)) = self.kept.signals.read_signal() {}
        loop {
            match reap() {
                Reaped::Process(pid, ended) if pid == self.kept.pid => self.child_ended = Some(ended),
                Reaped::Process(..) => {}
                Reaped::NotYet => return,
                Reaped::NoneLeft => {
                    self.drain_until.get_or_insert(now + Duration::from_millis(DRAIN_MS));
                    return;
                }
            }
        }
    }

    /// Kills what the child left behind, and everything when the grace period is over.
    fn advance(&mut self, now: Instant) {
        if self.killed || self.drain_until.is_some() {
            return;
        }
        match self.stop_at {
            Some(at) if at <= now => {
                self.stop_timed_out = true;
                self.kill_everything();
            }
            Some(_) => {}
            None if self.child_ended.is_some() => self.kill_everything(),
            None => {}
        }
    }

    fn kill_everything(&mut self) {
        self.killed = true;
        let _ = kill(EVERYTHING, Signal::SIGKILL);
    }

    fn is_over(&self, now: Instant) -> bool {
        self.drain_until.is_some_and(|until| until <= now || self.kept.captures.iter().all(|capture| capture.pipe().is_none()))
    }

    /// Sleeps until something happens or is due.
    fn wait(&mut self, now: Instant) -> Outcome<Woken> {
        if self.accept_from.is_some_and(|at| at <= now) {
            self.accept_from = None;
        }
        let timeout = self.due(now).map(|at| at.saturating_duration_since(now) + Duration::from_millis(1));
        let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());

        let captures: Vec<_> = self.kept.captures.iter().enumerate().filter_map(|(index, c)| Some((index, c.pipe()?))).collect();
        let listens = self.accept_from.is_none() && self.conversations.len() < CONVERSATIONS_MAX;
        let notify = self.kept.notify.as_mut().and_then(|notify| notify.watched(now));
        let mut watched = vec![PollFd::from_borrowed_fd(self.kept.signals.as_fd(), PollFlags::IN)];
        watched.extend(captures.iter().map(|(_, pipe)| PollFd::from_borrowed_fd(*pipe, PollFlags::IN)));
        watched.extend(self.conversations.iter().map(|one| PollFd::new(&one.socket, PollFlags::IN)));
        let (hears, notify_at) = (notify.is_some(), watched.len());
        watched.extend(notify.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN)));
        if listens {
            watched.push(PollFd::new(&self.kept.listener, PollFlags::IN));
        }
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Woken::default()),
            Err(error) => return Err(error).step("wait for the run"),
        }
        let ready: Vec<bool> = watched.iter().map(|fd| !fd.revents().is_empty()).collect();
        let (of_captures, rest) = ready[1..].split_at(captures.len());
        Ok(Woken {
            listener: listens && ready.last() == Some(&true),
            notify: hears && ready[notify_at],
            captures: captures.iter().zip(of_captures).filter(|(_, ready)| **ready).map(|((index, _), _)| *index).collect(),
            conversations: (0..self.conversations.len()).filter(|index| rest[*index]).collect(),
        })
    }

    /// When there is something to do without anything happening.
    fn due(&self, now: Instant) -> Option<Instant> {
        let stop_at = self.stop_at.filter(|_| !self.killed);
        let due = self.kept.captures.iter().filter_map(crate::capture::Capture::due);
        let notify = self.kept.notify.as_ref();
        let waits = self.conversations.iter().filter_map(|one| notify?.due(now, one.waits_for_other_than?));
        let pause = notify.and_then(Notify::pause);
        due.chain(waits).chain(pause).chain(stop_at).chain(self.drain_until).chain(self.accept_from).min()
    }

    fn read_outputs(&mut self, now: Instant, woken: &Woken) {
        let Some(log) = &mut self.log else { return };
        for index in &woken.captures {
            self.kept.captures[*index].read(now, &mut self.buffer[..READ_BYTES], log);
        }
        for capture in &mut self.kept.captures {
            capture.flush_if_idle(now, log);
        }
        log.flush_if_dirty();
    }

    fn converse(&mut self, now: Instant, woken: &Woken) {
        // From the last on, so that removing one moves none that is still to be looked at.
        for index in woken.conversations.iter().rev() {
            match conversation::hear(self.conversations[*index].socket.as_fd()) {
                Heard::Nothing => {}
                Heard::End => drop(self.conversations.swap_remove(*index)),
                Heard::Request(Request::Namespaces) => conversation::hand_out_namespaces(self.conversations[*index].socket.as_fd()),
                Heard::Request(Request::Notified { seen }) if self.kept.notify.is_some() => {
                    self.conversations[*index].waits_for_other_than = Some(seen);
                }
                Heard::Request(request) => {
                    let reply = self.perform(now, request);
                    conversation::answer(self.conversations[*index].socket.as_fd(), &reply);
                }
            }
        }
        if woken.listener {
            match conversation::accept(&self.kept.listener) {
                Ok(socket) => self.conversations.push(Conversation { socket, waits_for_other_than: None }),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
                // Out of descriptors, say: not again and again.
                Err(_) => self.accept_from = Some(now + Duration::from_millis(ACCEPT_PAUSE_MS)),
            }
        }
    }

    /// Hears what the processes of the run say, and tells those who wait for it.
    fn pass_on(&mut self, now: Instant, woken: &Woken) {
        let Some(notify) = &mut self.kept.notify else { return };
        if woken.notify {
            notify.read(now);
        }
        let waiting = |one: &&mut Conversation| one.waits_for_other_than.and_then(|seen| notify.due(now, seen)).is_some_and(|at| at <= now);
        let waiting: Vec<_> = self.conversations.iter_mut().filter(waiting).collect();
        if waiting.is_empty() {
            return;
        }
        let told = notify.tell(now);
        for one in waiting {
            one.waits_for_other_than = None;
            conversation::answer(one.socket.as_fd(), &told);
        }
    }

    fn perform(&mut self, now: Instant, request: Request) -> Reply {
        match request {
            Request::Stop { grace_ms } => {
                self.stop(now + Duration::from_millis(grace_ms.min(GRACE_MS_MAX)));
                Reply::Taken
            }
            Request::Kill => {
                self.kill_everything();
                Reply::Taken
            }
            Request::Signal { signal } => match Signal::try_from(signal) {
                Ok(signal) if self.child_ended.is_none() && kill(self.kept.pid, signal).is_ok() => Reply::Taken,
                _ => Reply::Refused,
            },
            Request::Status => Reply::State { stopping: self.stop_at.is_some(), started_unix_ms: self.kept.started_unix_ms },
            Request::Hello { .. } | Request::Namespaces | Request::Notified { .. } => Reply::Refused,
        }
    }

    /// A second stop can shorten the grace period, not prolong it.
    fn stop(&mut self, at: Instant) {
        let first = self.stop_at.is_none();
        self.stop_at = Some(self.stop_at.map_or(at, |earlier| earlier.min(at)));
        if first {
            let _ = kill(EVERYTHING, self.kept.stop_signal);
            let _ = kill(EVERYTHING, Signal::SIGCONT);
        }
    }

    fn finish(mut self) -> Outcome {
        if let Some(log) = &mut self.log {
            for capture in &mut self.kept.captures {
                capture.finish(log);
            }
            log.flush_if_dirty();
        }
        let record = ExitRecord {
            ended: self.child_ended.unwrap_or(Ended::Abandoned { reboot: false }),
            stop_timed_out: self.stop_timed_out,
            ended_unix_ms: now_unix_ms(),
        };
        files::write_record(record::EXIT, &record.encode()).step("write the exit record")
    }
}
