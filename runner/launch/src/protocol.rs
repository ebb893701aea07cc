//! Frames from the server: one packet each, with descriptors. The first descriptor is
//! always the socket on which whoever has something to say reports.
//!
//! | frame | descriptors behind the reply socket |
//! |---|---|
//! | Run, logged | run folder, lock, spec, log folder, the child's from 3 on |
//! | Run, inherited | run folder, lock, spec, stdin, stdout, stderr, the child's from 3 on |
//! | Join | spec, the five namespaces of the run, stdin, stdout, stderr |
//! | Kill | pidfd |
//! | WriteAuthorizedKeys | a memfd |
//! | the others | none |

use std::net::SocketAddr;

use shim::wire::{Encoder, Fields, Malformed};

use crate::Profile;

/// The oldest version of the frames that is understood.
pub const VERSION_MIN: u64 = 1;
/// The version that is spoken.
pub const VERSION_MAX: u64 = 1;

const VERSION: u16 = 1;
const KIND: u16 = 2;
const PROFILE: u16 = 3;
const APP: u16 = 4;
const FOLDER: u16 = 5;
const SUBJECT: u16 = 6;
const HOSTNAME: u16 = 7;
const OUTPUT: u16 = 8;
const ADDRESS: u16 = 9;
const SIGNAL: u16 = 10;
const TERMINAL: u16 = 11;

const RUN: u64 = 1;
const BIND: u64 = 2;
const PREPARE_APP: u64 = 3;
const REMOVE: u64 = 4;
const KILL: u64 = 5;
const WRITE_AUTHORIZED_KEYS: u64 = 6;
const JOIN: u64 = 7;

/// Which descriptors the outputs of a run are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// A log folder.
    Log,
    /// stdin, stdout, stderr.
    Inherit,
    /// The same, and stdin becomes the controlling terminal.
    Terminal,
}

/// A run that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFrame {
    /// Which sandbox.
    pub profile: Profile,
    /// Whose.
    pub app: u32,
    /// The name of its run folder.
    pub folder: String,
    /// What the profile works on.
    pub subject: Option<String>,
    /// The host name inside.
    pub hostname: String,
    /// Its outputs.
    pub output: OutputKind,
}

/// What launch is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Start a run.
    Run(RunFrame),
    /// Bind a TCP listener and send it back.
    Bind(SocketAddr),
    /// Make the folders of an app.
    PrepareApp(u32),
    /// Remove folders that were wiped.
    Remove {
        /// Whose.
        app: u32,
        /// Which: see [`crate::names::WipeSubject`].
        subject: String,
    },
    /// Send a signal to a shim.
    Kill {
        /// Its number.
        signal: i32,
    },
    /// Replace `ssh/authorized_keys`.
    WriteAuthorizedKeys,
    /// Start a command inside a live run (profile Exec). The reply socket is how it is
    /// spoken to; its end is the command's.
    Join {
        /// Whose run.
        app: u32,
        /// Whether stdin becomes the controlling terminal.
        terminal: bool,
    },
}

impl Frame {
    /// The bytes of the packet.
    pub fn encode(&self) -> Vec<u8> {
        let head = |kind| Encoder::default().number(VERSION, VERSION_MAX).number(KIND, kind);
        match self {
            Self::Run(run) => {
                let frame = head(RUN)
                    .number(PROFILE, profile_number(run.profile))
                    .number(APP, run.app.into())
                    .bytes(FOLDER, run.folder.as_bytes())
                    .bytes(HOSTNAME, run.hostname.as_bytes())
                    .number(OUTPUT, run.output as u64);
                match &run.subject {
                    Some(subject) => frame.bytes(SUBJECT, subject.as_bytes()),
                    None => frame,
                }
            }
            Self::Bind(address) => head(BIND).bytes(ADDRESS, address.to_string().as_bytes()),
            Self::PrepareApp(app) => head(PREPARE_APP).number(APP, (*app).into()),
            Self::Remove { app, subject } => head(REMOVE).number(APP, (*app).into()).bytes(SUBJECT, subject.as_bytes()),
            Self::Kill { signal } => head(KILL).signed(SIGNAL, (*signal).into()),
            Self::WriteAuthorizedKeys => head(WRITE_AUTHORIZED_KEYS),
            Self::Join { app, terminal } => head(JOIN).number(APP, (*app).into()).number(TERMINAL, (*terminal).into()),
        }
        .finish()
    }

    /// Reads a packet; another version is told, never guessed.
    pub fn decode(packet: &[u8]) -> Result<Self, Malformed> {
        let parts = Parts::read(packet)?;
        let version = parts.version.ok_or(Malformed::Missing("the version"))?;
        if !(VERSION_MIN..=VERSION_MAX).contains(&version) {
            return Err(Malformed::Unknown(VERSION));
        }
        Ok(match parts.kind.ok_or(Malformed::Missing("the kind"))? {
            RUN => Self::Run(RunFrame {
                profile: parts.profile.ok_or(Malformed::Missing("the profile"))?,
                app: parts.app()?,
                folder: parts.folder.ok_or(Malformed::Missing("the folder"))?,
                subject: parts.subject,
                hostname: parts.hostname.ok_or(Malformed::Missing("the host name"))?,
                output: parts.output.ok_or(Malformed::Missing("the output"))?,
            }),
            BIND => Self::Bind(parts.address.ok_or(Malformed::Missing("the address"))?),
            PREPARE_APP => Self::PrepareApp(parts.app()?),
            REMOVE => Self::Remove { app: parts.app()?, subject: parts.subject.ok_or(Malformed::Missing("the subject"))? },
            KILL => Self::Kill { signal: parts.signal.ok_or(Malformed::Missing("the signal"))? },
            WRITE_AUTHORIZED_KEYS => Self::WriteAuthorizedKeys,
            JOIN => Self::Join { app: parts.app()?, terminal: parts.terminal },
            _ => return Err(Malformed::Unknown(KIND)),
        })
    }
}

#[derive(Default)]
struct Parts {
    version: Option<u64>,
    kind: Option<u64>,
    profile: Option<Profile>,
    app: Option<u32>,
    folder: Option<String>,
    subject: Option<String>,
    hostname: Option<String>,
    output: Option<OutputKind>,
    address: Option<SocketAddr>,
    signal: Option<i32>,
    terminal: bool,
}

impl Parts {
    fn read(packet: &[u8]) -> Result<Self, Malformed> {
        let mut parts = Self::default();
        for field in Fields::new(packet) {
            let field = field?;
            match field.tag {
                VERSION => parts.version = Some(field.number()?),
                KIND => parts.kind = Some(field.number()?),
                PROFILE => parts.profile = Some(profile_of(field.number()?)?),
                APP => parts.app = Some(field.small()?),
                FOLDER => parts.folder = Some(field.text()?),
                SUBJECT => parts.subject = Some(field.text()?),
                HOSTNAME => parts.hostname = Some(field.text()?),
                OUTPUT => parts.output = Some(output_of(field.number()?)?),
                ADDRESS => {
                    parts.address = Some(field.text()?.parse().map_err(|_| Malformed::Field(ADDRESS))?);
                }
                SIGNAL => {
                    parts.signal = Some(i32::try_from(field.signed()?).map_err(|_| Malformed::Field(SIGNAL))?);
                }
                TERMINAL => parts.terminal = field.flag()?,
                _ => {}
            }
        }
        Ok(parts)
    }

    fn app(&self) -> Result<u32, Malformed> {
        self.app.ok_or(Malformed::Missing("the app"))
    }
}

const PROFILES: [Profile; 9] = [
    Profile::App,
    Profile::Build,
    Profile::Git,
    Profile::Export,
    Profile::Unpack,
    Profile::Wipe,
    Profile::Exec,
    Profile::Postgres,
    Profile::Router,
];

fn profile_number(profile: Profile) -> u64 {
    (1..).zip(PROFILES).find_map(|(number, found)| (found == profile).then_some(number)).unwrap_or(0)
}

fn profile_of(number: u64) -> Result<Profile, Malformed> {
    (1..).zip(PROFILES).find_map(|(known, profile)| (known == number).then_some(profile)).ok_or(Malformed::Field(PROFILE))
}

fn output_of(number: u64) -> Result<OutputKind, Malformed> {
    [OutputKind::Log, OutputKind::Inherit, OutputKind::Terminal]
        .into_iter()
        .find(|kind| *kind as u64 == number)
        .ok_or(Malformed::Field(OUTPUT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_back() {
        let run = RunFrame {
            profile: Profile::Router,
            app: 0,
            folder: "router".to_owned(),
            subject: None,
            hostname: "router".to_owned(),
            output: OutputKind::Terminal,
        };
        let frames = [
            Frame::Run(RunFrame { subject: Some("x".to_owned()), profile: Profile::App, ..run.clone() }),
            Frame::Run(run),
            Frame::Bind("[::1]:443".parse().expect("address")),
            Frame::PrepareApp(3),
            Frame::Remove { app: 3, subject: "cache".to_owned() },
            Frame::Kill { signal: 9 },
            Frame::WriteAuthorizedKeys,
            Frame::Join { app: 3, terminal: true },
        ];
        for frame in frames {
            assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
        }
    }

    #[test]
    fn another_version_is_refused() {
        let bytes = Encoder::default().number(VERSION, 2).number(KIND, PREPARE_APP).number(APP, 1).finish();
        assert_eq!(Frame::decode(&bytes), Err(Malformed::Unknown(VERSION)));
        assert!(Frame::decode(b"").is_err());
    }
}
