//! Sessions: a command beside the app that speaks with our own terminal or pipes.
//!
//! ```text
//! pipes:    our 0, 1, 2 go to the command as they are; signals are passed on
//! terminal: ours (raw) ⇄ pump ⇄ master | slave goes to the command
//! ```
//! With a terminal the command never gets ours: the pty in between keeps our settings
//! out of its reach, and they come back however the session ends.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use api::wire::FromClient;
use api::{Failure, Kind, Operation};
use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags};
use rustix::termios::{OptionalActions, Termios};
use serde_json::Value;

use super::client::{Answer, Client, Listener};
use super::context::Context;
use super::interrupts::Interrupts;
use super::pty::Pty;
use super::{End, Result, internal_commands, text};
use crate::{frames, limits};

/// Runs a session to its end and passes its exit code on. `input` stands in for our
/// standard input; `operation` is told whether there is a terminal, and its `TERM`.
pub fn run<O: Operation>(
    context: &Context,
    input: Option<File>,
    may_have_terminal: bool,
    operation: impl FnOnce(bool, Option<String>) -> O,
) -> Result {
    let code = if may_have_terminal && io::stdin().is_terminal() && io::stdout().is_terminal() {
        with_terminal(context, &operation(true, term()))?
    } else {
        with_pipes(context, input, &operation(false, None))?
    };
    internal_commands::exit(code)
}

/// The name of our terminal's kind, if it is a sane one.
fn term() -> Option<String> {
    let sane = |term: &String| term.len() <= 64 && term.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte));
    std::env::var("TERM").ok().filter(sane)
}

fn with_pipes<O: Operation>(context: &Context, input: Option<File>, operation: &O) -> Result<u8> {
    let interrupts = take(&[Signal::SIGINT, Signal::SIGTERM])?;
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let input_descriptor = input.as_ref().map_or(stdin.as_fd(), AsFd::as_fd);
    let mut client = context.connect(operation, &[input_descriptor, stdout.as_fd(), stderr.as_fd()])?;
    drop(input);
    let mut signals = 0;
    loop {
        let mut polled = [PollFd::new(&client.socket, PollFlags::IN), PollFd::new(&interrupts, PollFlags::IN)];
        frames::poll(&mut polled, None).map_err(waiting_failed)?;
        let answered = !polled[0].revents().is_empty();
        if let Some(signal) = interrupts.next() {
            signals += 1;
            pass_on(&client, signal, signals)?;
        }
        if answered && let Some(code) = ended(&mut client, "\n")? {
            return Ok(code);
        }
    }
}

/// Passes a signal on; whoever insists is let go.
fn pass_on(client: &Client, signal: i32, count: u32) -> Result {
    if count > limits::SESSION_SIGNALS_MAX {
        return Err(End::signal(signal));
    }
    // A server that is gone shows at the next read.
    let _ = client.socket.send(&FromClient::Signal(signal), &[]);
    Ok(())
}

/// The exit code, once the server has named it.
fn ended(client: &mut Client, line_end: &'static str) -> Result<Option<u8>> {
    struct Lines(&'static str);
    impl Listener for Lines {
        fn line(&mut self, line: &str) {
            let _ = io::stderr().write_all(format!("{}{}", text::plain(line), self.0).as_bytes());
        }
        fn item(&mut self, _item: Value) -> Result {
            Ok(())
        }
    }
    match client.next(&mut Lines(line_end))? {
        None => Ok(None),
        Some(Answer::Exit(code)) => Ok(Some(code)),
        Some(Answer::Reply(_)) => Err(Failure::new(Kind::Internal, "session.reply", "the server ended a session with a reply").into()),
    }
}

/// Our terminal in raw mode; it becomes what it was when this is dropped.
struct RawMode {
    before: Termios,
}

impl RawMode {
    fn enter(before: Termios) -> io::Result<Self> {
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn with_terminal<O: Operation>(context: &Context, operation: &O) -> Result<u8> {
    let failed =
        |error: io::Error| Failure::new(Kind::Host, "session.terminal", "a terminal for the session cannot be made").caused_by(&error);
    let interrupts = take(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGWINCH])?;
    let ours = rustix::termios::tcgetattr(io::stdin()).map_err(|error| failed(error.into()))?;
    let (mut pty, slave) = Pty::open(&ours).map_err(failed)?;
    let stderr = io::stderr();
    let error_descriptor = if stderr.is_terminal() { slave.as_fd() } else { stderr.as_fd() };
    let client = context.connect(operation, &[slave.as_fd(), slave.as_fd(), error_descriptor])?;
    // Else the master would never see that the command's side is closed.
    drop(slave);
    let _raw = RawMode::enter(ours).map_err(failed)?;
    pump(client, &mut pty, &interrupts)
}

fn pump(mut client: Client, pty: &mut Pty, interrupts: &Interrupts) -> Result<u8> {
    let mut stdin_is_open = true;
    let mut signals = 0;
    loop {
        let ready = wait(&client, pty, interrupts, stdin_is_open)?;
        if let Some(signal) = interrupts.next() {
            if signal == Signal::SIGWINCH as i32 {
                pty.follow_size();
            } else {
                signals += 1;
                pass_on(&client, signal, signals)?;
            }
        }
        if ready.master
            && let Some(output) = pty.read().map_err(broken)?
        {
            show(output)?;
        }
        if ready.stdin {
            stdin_is_open = take_input(pty)?;
        }
        pty.flush().map_err(broken)?;
        if ready.server
            && let Some(code) = ended(&mut client, "\r\n")?
        {
            drain(pty)?;
            return Ok(code);
        }
    }
}

/// What has something for us.
struct Ready {
    server: bool,
    stdin: bool,
    master: bool,
}

fn wait(client: &Client, pty: &Pty, interrupts: &Interrupts, stdin_is_open: bool) -> Result<Ready> {
    let stdin = io::stdin();
    let mut polled = vec![PollFd::new(&client.socket, PollFlags::IN), PollFd::new(interrupts, PollFlags::IN)];
    let reads_stdin = stdin_is_open && !pty.has_pending();
    if reads_stdin {
        polled.push(PollFd::new(&stdin, PollFlags::IN));
    }
    if pty.is_open() {
        polled.push(PollFd::new(pty, if pty.has_pending() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }));
    }
    frames::poll(&mut polled, None).map_err(waiting_failed)?;
    let is_ready = |at: usize| polled.get(at).is_some_and(|descriptor| !descriptor.revents().is_empty());
    let master_at = 2 + usize::from(reads_stdin);
    Ok(Ready { server: is_ready(0), stdin: reads_stdin && is_ready(2), master: pty.is_open() && is_ready(master_at) })
}

/// Reads what was typed; false at the end of our terminal.
fn take_input(pty: &mut Pty) -> Result<bool> {
    let mut typed = vec![0; limits::SESSION_CHUNK_BYTES];
    match io::stdin().lock().read(&mut typed) {
        Ok(0) => Ok(false),
        Ok(count) => {
            pty.queue(&typed[..count]);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
        Err(error) => Err(broken(error).into()),
    }
}

/// Shows what the ended command had written last.
fn drain(pty: &mut Pty) -> Result {
    let until = Instant::now() + Duration::from_millis(limits::SESSION_DRAIN_MS);
    while pty.is_open() {
        let left = until.saturating_duration_since(Instant::now());
        let mut polled = [PollFd::new(&*pty, PollFlags::IN)];
        frames::poll(&mut polled, i64::try_from(left.as_millis()).ok()).map_err(waiting_failed)?;
        if polled[0].revents().is_empty() {
            break;
        }
        if let Some(output) = pty.read().map_err(broken)? {
            show(output)?;
        }
    }
    Ok(())
}

fn show(output: &[u8]) -> Result {
    let mut stdout = io::stdout().lock();
    stdout.write_all(output).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => End::Exit(0),
        _ => broken(error).into(),
    })
}

fn take(signals: &[Signal]) -> Result<Interrupts, Failure> {
    Interrupts::take(signals).map_err(|error| Failure::internal("signals cannot be watched", &error))
}

#[expect(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
fn waiting_failed(error: io::Error) -> Failure {
    Failure::internal("waiting failed", &error)
}

#[expect(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
fn broken(error: io::Error) -> Failure {
    Failure::new(Kind::Host, "session.broken", "the terminal of the session broke").caused_by(&error)
}
