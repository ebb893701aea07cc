//! The door: where git arrives, over SSH or from a checkout on this box.
//!
//! It hands its descriptors 0, 1 and 2 to the server and then only waits: for the
//! exit code, and for the client to vanish, which shows as an error on descriptor 1.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

use api::git::Git;
use api::wire::{FromClient, FromServer, Request};
use api::{Failure, Kind, Operation};
use rustix::event::{PollFd, PollFlags};

use crate::cli::server_socket::{self, ServerSocket};
use crate::cli::text;
use crate::frames::{self, FrameSocket};

/// Who stands at the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visitor {
    /// Someone on this box, through the operator's socket.
    Local,
    /// Someone over SSH, with the fingerprint of the key that logged in.
    Key(String),
}

/// Lets a git client through and returns the exit code of its session.
pub fn serve(root: &Path, visitor: Visitor, git: &Git) -> Result<u8, Failure> {
    let (which, key) = match visitor {
        Visitor::Local => (ServerSocket::Operator, None),
        Visitor::Key(fingerprint) => (ServerSocket::Door, Some(fingerprint)),
    };
    let socket = server_socket::connect(root, which)?;
    let body = serde_json::to_value(git).map_err(|error| Failure::internal("the request cannot be written", &error))?;
    let request = Request { version: api::wire::VERSION, operation: Git::NAME.to_owned(), body, key };
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    // A server that refuses at once may have closed its end: its answer is there all the same.
    let sent = socket.send(&request, &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]);
    wait_for_end(&socket).and_then(|end| match (end, sent) {
        (Some(code), _) => Ok(code),
        (None, Err(error)) => Err(gone().caused_by(&error)),
        (None, Ok(())) => Err(gone()),
    })
}

/// Reads answers until the last one. A client that is gone cancels the work, but its
/// exit code is still waited for: the error also ends every ordinary local push.
fn wait_for_end(socket: &FrameSocket) -> Result<Option<u8>, Failure> {
    let stdout = io::stdout();
    let mut client_is_there = true;
    loop {
        let mut polled = vec![PollFd::new(socket, PollFlags::IN)];
        if client_is_there {
            polled.push(PollFd::new(&stdout, PollFlags::empty()));
        }
        frames::poll(&mut polled, None).map_err(|error| Failure::internal("waiting failed", &error))?;
        let answered = !polled[0].revents().is_empty();
        if polled.get(1).is_some_and(|client| !client.revents().is_empty()) {
            client_is_there = false;
            // If the server is gone too, reading its socket says so.
            let _ = socket.send(&FromClient::Cancel, &[]);
        }
        if answered {
            match socket.receive().map_err(|error| gone().caused_by(&error))? {
                None => return Ok(None),
                Some(received) => match received.message {
                    FromServer::Line(line) => show(&line),
                    FromServer::Failure(failure) => return Err(failure),
                    FromServer::Exit(code) => return Ok(Some(code)),
                    // Neither belongs to a git session.
                    FromServer::Item(_) | FromServer::Reply(_) => return Ok(None),
                },
            }
        }
    }
}

/// A line beside git's own stream; a client that is gone does not matter here.
fn show(line: &str) {
    let _ = io::stderr().write_all(format!("{}\n", text::plain(line)).as_bytes());
}

fn gone() -> Failure {
    Failure::new(Kind::Unavailable, "server.gone", "the server went away before git was done")
        .why("it is being restarted or upgraded; what was deployed keeps serving")
        .fix("push again in a moment; `paas releases` shows whether this push became a release")
}
