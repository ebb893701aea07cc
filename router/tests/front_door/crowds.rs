//! Many connections, few descriptors.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use model::Pool;
use router::Timeouts;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::support::{App, Front, alone, alone_with_files, get, resident, routes, within};

fn visit(front: &Front) -> TcpStream {
    let mut stream = TcpStream::connect(front.address).expect("connected");
    stream.write_all(get("hello").as_bytes()).expect("sent");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    stream
}

/// Reads one answer's first line.
fn status(stream: &mut TcpStream) -> String {
    let mut start = [0; 12];
    stream.read_exact(&mut start).expect("an answer");
    String::from_utf8_lossy(&start).into_owned()
}

#[test]
fn thousands_of_idle_connections_cost_little_memory() {
    alone_with_files("crowds::thousands_of_idle_connections_cost_little_memory", 11_000, async {
        const COUNT: usize = 5_000;
        let front = Front::start().await;
        let app = App::saying("hello").await;
        front.serve("hello", &[app.port]).await;
        let (front, clients, before) = within(
            "every answer",
            tokio::task::spawn_blocking(move || {
                status(&mut visit(&front));
                let before = resident();
                let clients: Vec<_> = (0..COUNT)
                    .map(|_| {
                        let mut client = visit(&front);
                        assert_eq!(status(&mut client), "HTTP/1.1 200");
                        client
                    })
                    .collect();
                (front, clients, before)
            }),
        )
        .await
        .expect("every client was answered");
        let each = resident().saturating_sub(before) / COUNT as u64;
        assert!(each < 3 * 1024, "{each} bytes for each idle connection");
        drop((clients, front));
    });
}

/// Processor time of this process in milliseconds.
fn processor_ms() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

#[test]
fn out_of_descriptors_the_router_does_not_spin_and_recovers() {
    alone("crowds::out_of_descriptors_the_router_does_not_spin_and_recovers", async {
        let front = Front::without_table(Timeouts::default()).await;
        // They wait in the queue: nothing is accepted before the first table.
        let mut clients: Vec<_> = (0..60).map(|_| visit(&front)).collect();
        let open = std::fs::read_dir("/proc/self/fd").expect("descriptors").count() as u64;
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(open + 20), maximum }).expect("lowered");
        front.client.replace(vec![routes("hello", Pool::Stopped)]);
        assert!(front.client.applied().await);
        assert_eq!(status(&mut clients[0]), "HTTP/1.1 503");
        let before = processor_ms();
        let mut last = [0; 1];
        clients[59].set_read_timeout(Some(Duration::from_secs(1))).expect("set");
        assert!(clients[59].read(&mut last).is_err(), "there were descriptors enough");
        let spent = processor_ms() - before;
        assert!(spent < 300, "{spent} ms of a second were spent on waiting");
        let mut waiting = clients.split_off(50);
        drop(clients);
        within(
            "the answers",
            tokio::task::spawn_blocking(move || {
                for client in &mut waiting {
                    client.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
                    assert_eq!(status(client), "HTTP/1.1 503");
                }
            }),
        )
        .await
        .expect("everyone is answered");
    });
}
