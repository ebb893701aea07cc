//! Holds a build or a release phase at a known place until the test lets it go on.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::{PUSH_DEADLINE, wait_until};

/// A gate on a free port.
#[derive(Debug)]
pub(crate) struct Gate {
    listener: TcpListener,
}

/// Somebody who waits at the gate.
#[derive(Debug)]
pub(crate) struct Waiting {
    stream: TcpStream,
}

impl Gate {
    /// Sets one up.
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port of the gate");
        listener.set_nonblocking(true).expect("gate that can be looked at");
        Self { listener }
    }

    /// `GATE=127.0.0.1:port`, for `config:set`.
    pub(crate) fn config_var(&self) -> String {
        format!("GATE={}", self.listener.local_addr().expect("address of the gate"))
    }

    /// Waits until somebody stands there.
    #[track_caller]
    pub(crate) fn wait(&self) -> Waiting {
        let stream = wait_until("somebody stands at the gate", PUSH_DEADLINE, || Some(self.listener.accept().ok()?.0));
        stream.set_nonblocking(false).expect("blocking stream");
        Waiting { stream }
    }

    /// Whether nobody stands there.
    pub(crate) fn is_empty(&self) -> bool {
        self.listener.accept().is_err()
    }
}

impl Waiting {
    /// Lets it go on.
    pub(crate) fn let_go(mut self) {
        self.stream.write_all(b"go").expect("a word to whoever waits");
    }

    /// Waits until it is gone without having been let go: it was killed.
    #[track_caller]
    pub(crate) fn expect_killed(mut self, deadline: Duration) {
        self.stream.set_read_timeout(Some(deadline)).expect("deadline");
        match self.stream.read(&mut [0; 1]) {
            Ok(0) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            other => panic!("it still waits at the gate ({other:?})"),
        }
    }
}
