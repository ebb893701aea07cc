//! The pre-receive hook: holds a push until the server has decided.
//!
//! It runs as the app's git user beside receive-pack, tells the server what would
//! move, prints what the server says and streams the tree out of the quarantine,
//! which no other user could read. It decides nothing; without a verdict the answer is no.

use std::ffi::OsStr;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use api::{Failure, Kind};
use git2::{Oid, Repository};

use super::facts::{self, RefLine};
use super::protocol::{self, FromHook, Hello, SourceDone, ToHook};
use crate::cli::{failure, text};
use crate::frames::FrameSocket;
use crate::{descriptors, limits};

/// How a held push ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server said so.
    Verdict(bool),
    /// Nobody reads what the author should see: the client is gone, the push is off.
    AuthorGone,
    /// The server ended without a verdict.
    ServerGone,
}

/// Runs the hook as git started it; the exit code tells git whether the refs may move.
pub fn run() -> u8 {
    let mut author = io::stderr();
    match hold_push(&mut author) {
        Ok(Outcome::Verdict(true)) => 0,
        Ok(Outcome::Verdict(false) | Outcome::AuthorGone) => 1,
        Ok(Outcome::ServerGone) => {
            let failure = Failure::new(Kind::Unavailable, "server.gone", "the server restarted while it held this push")
                .why("nothing was deployed by it and the branch did not move; the old release keeps serving")
                .fix("push again");
            tell(&mut author, &failure)
        }
        Err(failure) => tell(&mut author, &failure),
    }
}

fn tell(author: &mut impl Write, failure: &Failure) -> u8 {
    // Whoever does not read it any more does not miss it.
    let _ = author.write_all(failure::render(failure, false).as_bytes());
    1
}

fn hold_push(author: &mut impl Write) -> Result<Outcome, Failure> {
    let socket = inherited_socket()?;
    let repository = Repository::open_from_env().map_err(|error| Failure::internal("the repository cannot be opened", &error))?;
    let lines = read_ref_lines(io::stdin().lock())?;
    let hello = Hello {
        version: protocol::VERSION,
        refs: facts::look_up(&repository, &lines),
        options: push_options(|name| std::env::var_os(name))?,
        shallow: std::env::var_os("GIT_SHALLOW_FILE").is_some_and(|file| !file.is_empty()),
        head: repository.find_reference("HEAD").ok().and_then(|head| head.symbolic_target().ok().flatten().map(str::to_owned)),
    };
    converse(&socket, hello, author, |commit, folder, pipe| super::export::export(&repository, commit, folder, std::fs::File::from(pipe)))
}

fn inherited_socket() -> Result<FrameSocket, Failure> {
    let number = std::env::var(protocol::HOOK_DESCRIPTOR_VARIABLE).ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
        Failure::new(Kind::Refused, "push.not_through_paas", "this repository takes pushes through paas alone")
            .why("the push did not come through its door, so nothing would be deployed")
            .fix("push to the remote that `paas apps:info` shows")
    })?;
    descriptors::take(number)
        .and_then(|descriptor| FrameSocket::new(UnixStream::from(descriptor)))
        .map_err(|error| Failure::internal("the hook did not get its socket", &error))
}

/// Reads what git hands to pre-receive.
pub fn read_ref_lines(input: impl BufRead) -> Result<Vec<RefLine>, Failure> {
    let mut lines = Vec::new();
    let mut input = input;
    loop {
        let mut line = Vec::new();
        let bound = limits::PUSH_REF_LINE_BYTES_MAX as u64 + 1;
        let count = input
            .by_ref()
            .take(bound)
            .read_until(b'\n', &mut line)
            .map_err(|error| Failure::internal("what git says about this push cannot be read", &error))?;
        if count == 0 {
            return Ok(lines);
        }
        if lines.len() == limits::PUSH_REFS_MAX {
            return Err(Failure::new(Kind::Refused, "push.too_many_refs", "this push would move too many refs at once")
                .why(format!("at most {} branches and tags are taken in one push", limits::PUSH_REFS_MAX))
                .fix("push a branch by its name: git push paas main"));
        }
        lines.push(parse_ref_line(&line)?);
    }
}

fn parse_ref_line(line: &[u8]) -> Result<RefLine, Failure> {
    let unreadable = || {
        Failure::new(Kind::Refused, "push.ref_name", "the name of a branch or tag cannot be read")
            .why("it is too long, or not UTF-8")
            .fix("rename it: git branch -m NEW-NAME")
    };
    let text = std::str::from_utf8(line).map_err(|_| unreadable())?.strip_suffix('\n').ok_or_else(unreadable)?;
    let mut words = text.splitn(3, ' ');
    let (Some(old), Some(new), Some(name)) = (words.next(), words.next(), words.next()) else { return Err(unreadable()) };
    // A shorter text would be read as the beginning of an id.
    let id = |text: &str| Oid::from_str(text).ok().filter(|_| text.len() == 40).ok_or_else(unreadable);
    Ok(RefLine { name: name.to_owned(), old: id(old)?, new: id(new)? })
}

/// Reads `git push -o …` out of the environment.
pub fn push_options<V: AsRef<OsStr>>(variable: impl Fn(&str) -> Option<V>) -> Result<Vec<String>, Failure> {
    let count = variable("GIT_PUSH_OPTION_COUNT")
        .and_then(|count| count.as_ref().to_str().and_then(|count| count.parse::<usize>().ok()))
        .unwrap_or(0);
    let refused = |why: String| {
        Failure::new(Kind::Usage, "push.options", "the options of this push cannot be taken")
            .why(why)
            .fix("git push -o NAME, once per option")
    };
    if count > limits::PUSH_OPTIONS_MAX {
        return Err(refused(format!("at most {} options are taken", limits::PUSH_OPTIONS_MAX)));
    }
    (0..count)
        .map(|number| {
            variable(&format!("GIT_PUSH_OPTION_{number}"))
                .and_then(|option| option.as_ref().to_str().map(str::to_owned))
                .filter(|option| option.len() <= limits::PUSH_OPTION_BYTES_MAX)
                .ok_or_else(|| refused(format!("option {number} is too long, or not UTF-8")))
        })
        .collect()
}

/// The whole conversation. `export` streams a commit's tree into the pipe it is given
/// and closes it.
pub fn converse(
    socket: &FrameSocket,
    hello: Hello,
    author: &mut impl Write,
    export: impl Fn(&str, Option<&str>, OwnedFd) -> Result<SourceDone, Failure>,
) -> Result<Outcome, Failure> {
    if socket.send(&FromHook::Hello(hello), &[]).is_err() {
        return Ok(Outcome::ServerGone);
    }
    loop {
        let Ok(Some(mut received)) = socket.receive::<ToHook>() else { return Ok(Outcome::ServerGone) };
        match received.message {
            ToHook::Verdict { accept } => return Ok(Outcome::Verdict(accept)),
            ToHook::Line(line) => {
                if show(author, &line).is_err() {
                    return Ok(Outcome::AuthorGone);
                }
            }
            ToHook::SendSource { commit, folder } => {
                let sent = match received.descriptors.pop() {
                    Some(pipe) => export(&commit, folder.as_deref(), pipe),
                    None => Err(Failure::new(Kind::Internal, "hook.no_pipe", "the server asked for the source and gave no pipe")),
                };
                let answer = sent.map_or_else(FromHook::SourceFailed, FromHook::SourceDone);
                if socket.send(&answer, &[]).is_err() {
                    return Ok(Outcome::ServerGone);
                }
            }
        }
    }
}

/// Prints a line whole and at once: git passes on nothing before its end.
fn show(author: &mut impl Write, line: &str) -> io::Result<()> {
    let mut shown = String::new();
    for part in line.split('\n') {
        shown.push_str(text::cut(&text::plain(part), limits::PUSH_LINE_BYTES_MAX));
        shown.push('\n');
    }
    author.write_all(shown.as_bytes())?;
    author.flush()
}

#[cfg(test)]
#[path = "hook_tests.rs"]
mod tests;
