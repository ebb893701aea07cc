//! The gateway of `discord-style-bot`: one session at a time. It remembers whether a
//! second one ever came while the first was there.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

#[derive(Debug, Default)]
struct Seen {
    logins: Vec<String>,
    doubled: Vec<String>,
    live: Option<(String, TcpStream)>,
}

/// A gateway on a free port.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// `127.0.0.1:port`, for the config var GATEWAY.
    pub(crate) address: String,
    seen: Arc<Mutex<Seen>>,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Gateway {
    /// Opens it.
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port of the gateway");
        let address = listener.local_addr().expect("address of the gateway").to_string();
        let (seen, closing) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (all_seen, end) = (Arc::clone(&seen), Arc::clone(&closing));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if end.load(Ordering::Acquire) {
                    return;
                }
                let seen = Arc::clone(&all_seen);
                // Ends with its connection, so at the latest with the bot.
                std::thread::spawn(move || serve(&stream, &seen));
            }
        });
        Self { address, seen, closing, thread: Some(thread) }
    }

    /// The sessions that logged in, in their order.
    pub(crate) fn logins(&self) -> Vec<String> {
        self.seen.lock().expect("gateway").logins.clone()
    }

    /// Cuts the connection of the bot that is there, as real gateways do now and then.
    pub(crate) fn hang_up(&self) {
        if let Some((_, stream)) = self.seen.lock().expect("gateway").live.take() {
            drop(stream.shutdown(std::net::Shutdown::Both));
        }
    }

    /// Fails the test if two bots were ever there at once.
    #[track_caller]
    pub(crate) fn expect_never_twice(&self) {
        let doubled = self.seen.lock().expect("gateway").doubled.clone();
        assert!(doubled.is_empty(), "the bot ran twice: {doubled:?}");
    }
}

fn serve(stream: &TcpStream, seen: &Mutex<Seen>) {
    let mut answers = stream.try_clone().expect("second half of a connection");
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let answer = match line.strip_prefix("LOGIN ") {
            Some(session) => log_in(session, stream, seen),
            None => "OK",
        };
        if writeln!(answers, "{answer}").is_err() {
            return;
        }
    }
}

fn log_in(session: &str, stream: &TcpStream, seen: &Mutex<Seen>) -> &'static str {
    let mut seen = seen.lock().expect("gateway");
    if let Some((first, live)) = &seen.live
        && is_open(live)
    {
        let doubled = format!("{session} came while {first} was there");
        seen.doubled.push(doubled);
        return "REFUSED there is a session already";
    }
    seen.logins.push(session.to_owned());
    seen.live = Some((session.to_owned(), stream.try_clone().expect("third half of a connection")));
    "READY"
}

/// Whether the other end is still there: a bot that died has closed its socket before
/// anybody can start another.
fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("non-blocking look");
    let looked = stream.peek(&mut [0; 1]);
    stream.set_nonblocking(false).expect("blocking again");
    match looked {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        self.hang_up();
        // Wakes the accept that waits.
        drop(TcpStream::connect(&self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
