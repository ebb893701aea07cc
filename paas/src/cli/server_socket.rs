//! Where the server is found: the root folder and the sockets in it.

use std::io;
use std::path::{Path, PathBuf};

use api::{Failure, Kind};

use crate::frames::FrameSocket;
use crate::git::words;

/// The server's sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerSocket {
    /// For the operator alone; every operation.
    Operator,
    /// For the login user of SSH, with a key's fingerprint.
    Door,
}

impl ServerSocket {
    fn path(self, root: &Path) -> PathBuf {
        root.join("sockets").join(match self {
            Self::Operator => "operator.sock",
            Self::Door => "door.sock",
        })
    }
}

/// The root folder of a server that root runs.
const SYSTEM_ROOT: &str = "/var/lib/paas";

/// The root folder of a server that this user starts, unless another is named.
pub fn own_root() -> Result<PathBuf, Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from(SYSTEM_ROOT));
    }
    std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".paas")).ok_or_else(|| {
        Failure::new(Kind::Usage, "root.unknown", "where paas keeps its files is not known")
            .why("there is no home folder to look in")
            .fix("name the folder with --root DIR or PAAS_ROOT")
    })
}

/// The root folder of the server that is installed here: the user's own, else the box's,
/// which tells them whose it is.
pub fn installed_root() -> Result<PathBuf, Failure> {
    let system = PathBuf::from(SYSTEM_ROOT);
    match own_root() {
        Ok(own) if own.exists() || !system.exists() => Ok(own),
        Err(failure) if !system.exists() => Err(failure),
        _ => Ok(system),
    }
}

/// Connects to a socket of the server.
pub fn connect(root: &Path, which: ServerSocket) -> Result<FrameSocket, Failure> {
    FrameSocket::connect(&which.path(root)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => not_running(root),
        io::ErrorKind::PermissionDenied => not_allowed(root),
        _ => not_running(root).caused_by(&error),
    })
}

fn not_running(root: &Path) -> Failure {
    Failure::new(Kind::Unavailable, "server.not_running", format!("no paas server runs in {}", root.display())).fix(format!(
        "start it: paas server --root {}; or name another folder with --root DIR or PAAS_ROOT",
        words::quote_if_needed(&root.to_string_lossy())
    ))
}

fn not_allowed(root: &Path) -> Failure {
    Failure::new(Kind::Refused, "server.not_allowed", format!("the paas server in {} belongs to another user", root.display()))
        .why("only the operator may use the command line on the box itself")
        .fix("run it as the user who started the server: sudo paas …")
}

/// The server ended the conversation before its last word.
pub fn gone() -> Failure {
    Failure::new(Kind::Unavailable, "server.gone", "the server went away before it answered")
        .why("it is being restarted or upgraded; the apps go on meanwhile")
        .fix("try again in a moment; `paas events` shows whether the change was made")
}
