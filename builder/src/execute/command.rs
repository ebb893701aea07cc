//! One command: started in a process group of its own, its output read by a thread,
//! its end seen by another; the caller's thread keeps the clocks.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::lines::Lines;
use super::{Emit, ExecuteError, TimeLimits};
use crate::environment::Mask;
use crate::limits;
use crate::plan::{BuildCommand, Hint};
use crate::protocol::BuildEvent;

/// What the two threads tell.
enum Seen {
    Line(Vec<u8>),
    /// Bytes that are no whole line yet.
    Bytes,
    OutputEnded,
    Exited,
}

pub(super) struct Started {
    child: Child,
    group: Pid,
    seen: Receiver<Seen>,
}

pub(super) struct Watch<'a> {
    pub(super) doing: &'a str,
    pub(super) deadline: Instant,
    pub(super) times: TimeLimits,
    pub(super) mask: &'a Mask,
}

impl Started {
    pub(super) fn start(command: &BuildCommand, environment: &BTreeMap<String, String>, app: &Path) -> Result<Self, ExecuteError> {
        let program = command.argv.first().cloned().unwrap_or_default();
        let failed = |source| ExecuteError::Start { program: program.clone(), source };
        let (reader, writer) = io::pipe().map_err(failed)?;
        let path = if program.contains('/') { app.join(&program) } else { program.clone().into() };
        let mut process = Command::new(path);
        process.args(command.argv.iter().skip(1)).env_clear().envs(environment).current_dir(app).process_group(0);
        process.stdin(Stdio::null()).stdout(writer.try_clone().map_err(failed)?).stderr(writer);
        let child = process.spawn().map_err(failed)?;
        // The command itself holds the writing ends; ours would keep the output open.
        drop(process);
        let group = Pid::from_child(&child);
        let (sender, seen) = sync_channel(limits::OUTPUT_QUEUE_LINES_MAX);
        let exit_sender = sender.clone();
        std::thread::spawn(move || read_output(reader, &sender));
        std::thread::spawn(move || {
            // NOWAIT: the process stays a zombie, so its group's number cannot be reused yet.
            let _ = rustix::process::waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            let _ = exit_sender.send(Seen::Exited);
        });
        Ok(Self { child, group, seen })
    }

    /// Shows the output until the command has ended.
    pub(super) fn watch(
        mut self,
        watch: &Watch<'_>,
        command: &BuildCommand,
        lines_left: &mut u64,
        emit: Emit<'_>,
    ) -> Result<(), ExecuteError> {
        let mut output = Output { mask: watch.mask, hints: &command.hints, lines_left, hint: None, last_line: None };
        let result = self.follow(watch, &mut output, emit);
        // Whatever it left behind ends with it, also when it was ended.
        let _ = rustix::process::kill_process_group(self.group, Signal::KILL);
        let status = self.child.wait();
        result?;
        let how = match status {
            Ok(status) if status.success() || command.may_fail => return Ok(()),
            Ok(status) => ended(status),
            Err(error) => error.to_string(),
        };
        let Output { hint, last_line, .. } = output;
        Err(ExecuteError::Failed { doing: watch.doing.to_owned(), command: typed(&command.argv), how, hint: hint.map(Box::new), last_line })
    }

    fn follow(&self, watch: &Watch<'_>, output: &mut Output<'_>, emit: Emit<'_>) -> Result<(), ExecuteError> {
        let started = Instant::now();
        let (mut heard, mut shown) = (started, started);
        let mut drain_until = None;
        let mut output_ended = false;
        while !(output_ended && drain_until.is_some()) {
            let now = Instant::now();
            let alarms = [heard + watch.times.silence, shown + watch.times.heartbeat, watch.deadline];
            let next = alarms.into_iter().chain(drain_until).min().unwrap_or(now);
            match self.seen.recv_timeout(next.saturating_duration_since(now)) {
                Ok(Seen::Line(line)) => {
                    heard = Instant::now();
                    shown = heard;
                    output.line(&line, emit);
                }
                Ok(Seen::Bytes) => heard = Instant::now(),
                Ok(Seen::OutputEnded) => output_ended = true,
                Ok(Seen::Exited) => {
                    let _ = rustix::process::kill_process_group(self.group, Signal::KILL);
                    drain_until = Some(Instant::now() + limits::DRAIN_MAX);
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if drain_until.is_some_and(|until| now >= until) {
                return Ok(());
            }
            let doing = || watch.doing.to_owned();
            if now >= watch.deadline {
                return Err(ExecuteError::TooLong { doing: doing(), limit_ms: milliseconds(watch.times.total) });
            }
            if now >= heard + watch.times.silence {
                return Err(ExecuteError::Silent { doing: doing(), silent_ms: milliseconds(watch.times.silence) });
            }
            if now >= shown + watch.times.heartbeat {
                shown = now;
                let passed = model::text::milliseconds(milliseconds(now - started));
                emit(BuildEvent::Progress(format!("still {} ({passed})", watch.doing)));
            }
        }
        Ok(())
    }
}

struct Output<'a> {
    mask: &'a Mask,
    hints: &'a [Hint],
    lines_left: &'a mut u64,
    hint: Option<Hint>,
    last_line: Option<String>,
}

impl Output<'_> {
    fn line(&mut self, line: &[u8], emit: Emit<'_>) {
        let line = self.mask.apply(model::text::clean_bytes(line, limits::EVENT_TEXT_CHARS_MAX));
        if self.hint.is_none() {
            self.hint = self.hints.iter().find(|hint| line.contains(&hint.contains)).cloned();
        }
        if !line.trim().is_empty() {
            self.last_line = Some(line.trim().to_owned());
        }
        match *self.lines_left {
            0 => return,
            1 => emit(BuildEvent::Problem(format!("more than {} lines of output: the rest is not shown", limits::OUTPUT_LINES_MAX))),
            _ => emit(BuildEvent::Output(line)),
        }
        *self.lines_left -= 1;
    }
}

fn read_output(mut reader: PipeReader, sender: &SyncSender<Seen>) {
    let mut lines = Lines::default();
    let mut buffer = [0; 8_192];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let mut complete = Vec::new();
        lines.push(&buffer[..count], |line| complete.push(line.to_vec()));
        let seen = if complete.is_empty() { vec![Seen::Bytes] } else { complete.into_iter().map(Seen::Line).collect() };
        if seen.into_iter().any(|seen| sender.send(seen).is_err()) {
            return;
        }
    }
    if let Some(rest) = lines.rest() {
        let _ = sender.send(Seen::Line(rest));
    }
    let _ = sender.send(Seen::OutputEnded);
}

fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    let status = match (status.code(), status.signal()) {
        (Some(code), _) => model::ExitStatus::Code(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, Some(signal)) => model::ExitStatus::Signal { signal, core: status.core_dumped() },
        (None, None) => model::ExitStatus::Unknown,
    };
    status.to_string()
}

/// The command as one would type it, programs without their folders.
fn typed(argv: &[String]) -> String {
    let name = |word: &String| word.rsplit('/').next().unwrap_or(word).to_owned();
    let words = argv.iter().take(2).map(name).chain(argv.iter().skip(2).cloned());
    model::text::clean(&words.collect::<Vec<_>>().join(" "), 120)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
