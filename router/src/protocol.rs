//! The conversation between server and router over the control socket.
//!
//! ```text
//! server                              router
//!   Hello{version, epoch}      ─────▶
//!                              ◀─────  Hello{version, pid, listens}
//!   Snapshot{seq, apps}        ─────▶
//!                              ◀─────  Applied{seq, busy} | Refused{seq, why}
//!   Put | Delete | Listen+fd … ─────▶
//!                              ◀─────  Applied … Idle{run} … Trouble{run, kind}
//!   HandBack                   ─────▶
//!                              ◀─────  Listener+fd …
//! ```
//!
//! A frame is a length of 4 bytes (little endian) and JSON. Both sides speak their own
//! version and the one before; unknown fields and frames are ignored. `Listen` and
//! `Listener` bring one descriptor on their first byte (SCM_RIGHTS).

use model::{AppName, AppNumber, AppRoutes, InstanceId, Invalid, Pool, ReleaseVersion, RoutedInstance, RunId};
use serde::{Deserialize, Serialize};

use crate::limits;

/// The version of this conversation.
pub const VERSION: u32 = 1;

/// Whether a peer of this version is understood: ours and its neighbours.
pub fn understands(version: u32) -> bool {
    version.abs_diff(VERSION) <= 1
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum FromServer {
    /// First of all.
    Hello {
        /// [`VERSION`] of the server.
        version: u32,
        /// Counts the server's lives; the newest one is listened to.
        epoch: u64,
    },
    /// The whole table; replaces the old one.
    Snapshot {
        /// Its sequence number.
        seq: u64,
        /// Every app.
        apps: Vec<WireRoutes>,
    },
    /// The routes of one app.
    Put {
        /// Its sequence number.
        seq: u64,
        /// The routes.
        routes: WireRoutes,
    },
    /// An app that is gone.
    Delete {
        /// Its sequence number.
        seq: u64,
        /// The app.
        app: String,
    },
    /// A listening socket comes along: the app's lasting port.
    Listen {
        /// The app.
        app: String,
    },
    /// Closes the app's lasting port here.
    Unlisten {
        /// The app.
        app: String,
    },
    /// Asks for copies of what the router listens on: a router that dies must not take
    /// along what a server that came later has never opened.
    HandBack,
    /// Asks how long ago the last byte of a run was seen.
    LastByte {
        /// Names the answer.
        query: u64,
        /// The run.
        run: WireRun,
    },
    /// Asks how the requests of an app have ended so far.
    Traffic {
        /// Names the answer.
        query: u64,
        /// The app.
        app: String,
    },
    /// A frame of a newer version.
    #[serde(other)]
    Unknown,
}

/// What the router says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum FromRouter {
    /// Answers the server's.
    Hello {
        /// [`VERSION`] of the router.
        version: u32,
        /// Its process id, as it sees itself.
        pid: u32,
        /// Apps whose lasting port it already has.
        listens: Vec<String>,
    },
    /// The table of this number serves.
    Applied {
        /// The number.
        seq: u64,
        /// Runs out of the table that still have requests in flight; an `Idle`
        /// follows for each.
        busy: Vec<WireRun>,
    },
    /// A run that is no longer in the table has no request in flight.
    Idle {
        /// The run.
        run: WireRun,
    },
    /// The table of this number was invalid; the old one serves on.
    Refused {
        /// The number.
        seq: u64,
        /// Why, for people.
        why: String,
    },
    /// Answers `LastByte`.
    LastByte {
        /// The query's name.
        query: u64,
        /// Milliseconds since the last byte; none if there was none or the run is unknown.
        age_ms: Option<u64>,
    },
    /// Answers `Traffic`.
    Traffic {
        /// The query's name.
        query: u64,
        /// The app's runs, in the table or still busy.
        runs: Vec<WireTraffic>,
    },
    /// A request had trouble with this run.
    Trouble {
        /// The run.
        run: WireRun,
        /// What happened.
        kind: TroubleKind,
    },
    /// Answers `HandBack`, once for each: a copy of a listening socket comes along.
    Listener {
        /// Whose lasting port it is; none where host names decide.
        app: Option<String>,
    },
    /// It takes no more connections: another router may follow; this one drains.
    Leaving,
    /// A frame of a newer version.
    #[serde(other)]
    Unknown,
}

/// What went wrong between the router and a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// No byte in time.
    Timeout,
    /// It refused the connection, or did not take it in time.
    Refused,
    /// It closed or reset the connection within an answer, or before one.
    Reset,
    /// The visitor left after a second or more without a byte.
    Left,
}

/// A [`RunId`] on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireRun {
    /// The app.
    pub app: String,
    /// `web.1`.
    pub instance: String,
    /// The 7 of `v7`.
    pub version: u32,
    /// Its number.
    pub number: u64,
}

/// How the requests of a run have ended since the router knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireTraffic {
    /// The run.
    pub run: WireRun,
    /// Requests that have ended, however.
    pub requests: u64,
    /// Those of them that were answered with 5xx, by it or in its stead.
    pub errors: u64,
}

/// [`AppRoutes`] on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireRoutes {
    /// The app.
    pub app: String,
    /// Its number.
    pub number: u32,
    /// Host names that lead to it.
    pub hosts: Vec<String>,
    /// Its lasting port.
    pub port: u16,
    /// What to do with a request.
    pub pool: WirePool,
}

/// [`Pool`] on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum WirePool {
    /// Send it to one of these.
    Serve {
        /// Where.
        instances: Vec<WireInstance>,
    },
    /// Keep it for a moment.
    Hold {
        /// How long at most, in milliseconds.
        for_at_most_ms: u64,
    },
    /// Every instance crashes.
    Crashed,
    /// Nothing is meant to run.
    Stopped,
}

/// [`RoutedInstance`] on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireInstance {
    /// The run.
    pub run: WireRun,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl From<&RunId> for WireRun {
    fn from(run: &RunId) -> Self {
        Self { app: run.instance.app.to_string(), instance: run.instance.name(), version: run.version.0, number: run.number }
    }
}

impl TryFrom<&WireRun> for RunId {
    type Error = Invalid;

    fn try_from(wire: &WireRun) -> Result<Self, Invalid> {
        let app: AppName = wire.app.parse()?;
        let instance = InstanceId::parse(&app, &wire.instance)?;
        Ok(Self { instance, version: ReleaseVersion(wire.version), number: wire.number })
    }
}

impl From<&AppRoutes> for WireRoutes {
    fn from(routes: &AppRoutes) -> Self {
        let pool = match &routes.pool {
            Pool::Serve(instances) => {
                WirePool::Serve { instances: instances.iter().map(|i| WireInstance { run: (&i.run).into(), port: i.port }).collect() }
            }
            Pool::Hold { for_at_most_ms } => WirePool::Hold { for_at_most_ms: *for_at_most_ms },
            Pool::Crashed => WirePool::Crashed,
            Pool::Stopped => WirePool::Stopped,
        };
        Self {
            app: routes.app.to_string(),
            number: routes.number.0,
            hosts: routes.hosts.iter().map(ToString::to_string).collect(),
            port: routes.port,
            pool,
        }
    }
}

impl TryFrom<&WireRoutes> for AppRoutes {
    type Error = Invalid;

    fn try_from(wire: &WireRoutes) -> Result<Self, Invalid> {
        let pool = match &wire.pool {
            WirePool::Serve { instances } => Pool::Serve(
                instances.iter().map(|i| Ok(RoutedInstance { run: (&i.run).try_into()?, port: i.port })).collect::<Result<_, Invalid>>()?,
            ),
            WirePool::Hold { for_at_most_ms } => Pool::Hold { for_at_most_ms: *for_at_most_ms },
            WirePool::Crashed => Pool::Crashed,
            WirePool::Stopped => Pool::Stopped,
        };
        let hosts = wire.hosts.iter().map(|host| host.parse()).collect::<Result<_, Invalid>>()?;
        Ok(Self { app: wire.app.parse()?, number: AppNumber(wire.number), hosts, port: wire.port, pool })
    }
}

/// A frame that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It is larger than [`limits::FRAME_BYTES_MAX`].
    #[error("a frame of {0} bytes is over the limit")]
    TooLarge(usize),
    /// Its JSON is not what was expected.
    #[error("a frame is not understood")]
    Malformed(#[source] serde_json::Error),
}

/// A message as the bytes of a frame.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message).map_err(FrameError::Malformed)?;
    let body = frame.len() - 4;
    let length = u32::try_from(body).map_err(|_| FrameError::TooLarge(body))?;
    if body > limits::FRAME_BYTES_MAX {
        return Err(FrameError::TooLarge(body));
    }
    frame[..4].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// Takes one whole message off the front of `buffer`; `None` until it is all there.
pub fn take<T: for<'a> Deserialize<'a>>(buffer: &mut Vec<u8>) -> Result<Option<T>, FrameError> {
    let Some(header) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*header) as usize;
    if length > limits::FRAME_BYTES_MAX {
        return Err(FrameError::TooLarge(length));
    }
    let Some(body) = buffer.get(4..4 + length) else { return Ok(None) };
    let message = serde_json::from_slice(body).map_err(FrameError::Malformed)?;
    buffer.drain(..4 + length);
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> AppRoutes {
        let app: AppName = "hello".parse().expect("name");
        let instance = InstanceId::parse(&app, "web.1").expect("instance");
        let run = RunId { instance, version: ReleaseVersion(7), number: 42 };
        AppRoutes {
            app,
            number: AppNumber(3),
            hosts: vec!["hello.box.example".parse().expect("host")],
            port: 8101,
            pool: Pool::Serve(vec![RoutedInstance { run, port: 20017 }]),
        }
    }

    #[test]
    fn the_bytes_of_version_1_stay_as_they_are() {
        let wire = WireRoutes::from(&routes());
        let run = match &wire.pool {
            WirePool::Serve { instances } => instances[0].run.clone(),
            other => panic!("{other:?}"),
        };
        let server = [
            FromServer::Hello { version: 1, epoch: 3 },
            FromServer::Snapshot { seq: 1, apps: vec![WireRoutes { pool: WirePool::Crashed, ..wire.clone() }] },
            FromServer::Put { seq: 2, routes: wire },
            FromServer::Delete { seq: 3, app: "hello".into() },
            FromServer::Listen { app: "hello".into() },
            FromServer::Unlisten { app: "hello".into() },
            FromServer::HandBack,
            FromServer::LastByte { query: 9, run: run.clone() },
            FromServer::Traffic { query: 10, app: "hello".into() },
        ];
        let router = [
            FromRouter::Hello { version: 1, pid: 77, listens: vec!["hello".into()] },
            FromRouter::Applied { seq: 2, busy: vec![run.clone()] },
            FromRouter::Idle { run: run.clone() },
            FromRouter::Refused { seq: 2, why: "no".into() },
            FromRouter::LastByte { query: 9, age_ms: Some(5) },
            FromRouter::Traffic { query: 10, runs: vec![WireTraffic { run: run.clone(), requests: 20, errors: 5 }] },
            FromRouter::Trouble { run, kind: TroubleKind::Left },
            FromRouter::Listener { app: None },
            FromRouter::Listener { app: Some("hello".into()) },
            FromRouter::Leaving,
        ];
        let text = |bytes: Vec<u8>| String::from_utf8(bytes[4..].to_vec()).expect("utf-8");
        let lines: Vec<String> =
            (server.iter().map(|f| text(encode(f).expect("fits")))).chain(router.iter().map(|f| text(encode(f).expect("fits")))).collect();
        assert_eq!(format!("{}\n", lines.join("\n")), include_str!("../tests/protocol-1.golden"));
        for (line, frame) in lines.iter().zip(&server) {
            assert_eq!(&serde_json::from_str::<FromServer>(line).expect("reads back"), frame);
        }
    }

    #[test]
    fn routes_read_back() {
        let there = WireRoutes::from(&routes());
        assert_eq!(AppRoutes::try_from(&there).expect("valid"), routes());
    }

    #[test]
    fn frames_and_fields_of_a_newer_version_are_ignored() {
        let newer = r#"{"frame":"certificates","names":["a"]}"#;
        assert_eq!(serde_json::from_str::<FromServer>(newer).expect("read"), FromServer::Unknown);
        let more = r#"{"frame":"hello","version":2,"epoch":1,"colour":"red"}"#;
        assert_eq!(serde_json::from_str::<FromServer>(more).expect("read"), FromServer::Hello { version: 2, epoch: 1 });
        assert!(understands(0) && understands(1) && understands(2) && !understands(3));
    }

    #[test]
    fn a_frame_comes_out_once_it_is_whole() {
        let frame = encode(&FromRouter::Leaving).expect("fits");
        let mut buffer = frame[..frame.len() - 1].to_vec();
        assert_eq!(take::<FromRouter>(&mut buffer).expect("partial"), None);
        buffer.push(frame[frame.len() - 1]);
        assert_eq!(take::<FromRouter>(&mut buffer).expect("whole"), Some(FromRouter::Leaving));
        assert!(buffer.is_empty());
        buffer.extend_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(take::<FromRouter>(&mut buffer), Err(FrameError::TooLarge(_))));
    }
}
