//! Connections without end in the background: who knocks at a door must never be refused,
//! whoever has just died behind it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pause between two knocks: short beside any gap, and few enough that a queue of 1,024
/// holds those of seconds without a router.
const PAUSE: Duration = Duration::from_millis(4);
/// How long a knock may go unheard.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);

/// What was heard at one door.
#[derive(Debug, Default)]
struct Heard {
    taken: usize,
    /// What went wrong, with the seconds since the start.
    refused: Vec<String>,
}

/// Somebody who knocks at doors until stopped.
#[derive(Debug)]
pub(crate) struct Knocking {
    doors: Vec<(u16, Sender<()>, JoinHandle<Heard>)>,
}

impl Knocking {
    /// Begins to knock at these ports of this machine.
    pub(crate) fn start(ports: &[u16]) -> Self {
        let knock = |port: &u16| {
            let (stop, stopped) = mpsc::channel();
            let address = SocketAddr::from(([127, 0, 0, 1], *port));
            let thread = std::thread::spawn(move || {
                let (started, mut heard) = (Instant::now(), Heard::default());
                while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                    match TcpStream::connect_timeout(&address, CONNECT_DEADLINE) {
                        Ok(_) => heard.taken += 1,
                        // It was in the queue; what becomes of it there is not asked here.
                        Err(error) if error.kind() == ErrorKind::ConnectionReset => heard.taken += 1,
                        Err(error) => heard.refused.push(format!("{:.3} s: {error}", started.elapsed().as_secs_f32())),
                    }
                }
                heard
            });
            (*port, stop, thread)
        };
        Self { doors: ports.iter().map(knock).collect() }
    }

    /// Stops; fails the test if a single knock was refused.
    #[track_caller]
    pub(crate) fn expect_none_refused(self) {
        for (port, stop, thread) in self.doors {
            drop(stop);
            let heard = thread.join().expect("somebody who knocks");
            let (count, first, last) = (heard.refused.len(), heard.refused.first(), heard.refused.last());
            assert!(count == 0, "port {port} refused {count} of {} connections: {first:?} … {last:?}", count + heard.taken);
            assert!(heard.taken > 0, "nobody knocked at port {port}");
        }
    }
}
