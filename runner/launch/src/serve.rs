//! The loop: one frame at a time, until the server's end of the socket is gone.

use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;

use shim::{Report, wire_socket};

use crate::folders::RootFolder;
use crate::host::HostCapabilities;
use crate::limits::{APPS_MAX, FIRST_PID_MAX, FRAME_BYTES_MAX};
use crate::names::{WipeSubject, is_name, to_hostname};
use crate::protocol::{Frame, RunFrame};
use crate::sandbox::{Request, Subject, joining, operations};
use crate::spawn::{JoinDescriptors, RunDescriptors, join, signal, stage};
use crate::{Config, LaunchError, Profile, tasks};

struct Launch {
    root: RootFolder,
    host: HostCapabilities,
    shim: PathBuf,
}

/// Serves frames until the socket ends. Fails at once when the root folder cannot be used.
pub fn main(socket: &OwnedFd, config: &Config) -> ExitCode {
    let Ok(mut launch) = Launch::start(config) else { return ExitCode::FAILURE };
    let mut buffer = vec![0; FRAME_BYTES_MAX];
    loop {
        match wire_socket::receive(socket.as_fd(), &mut buffer) {
            Ok(Some((count, descriptors))) => launch.answer(&buffer[..count], descriptors),
            Ok(None) => return ExitCode::SUCCESS,
            // A packet that is too long: its descriptors are closed, its sender sees the end.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {}
            Err(_) => return ExitCode::FAILURE,
        }
    }
}

impl Launch {
    fn start(config: &Config) -> Result<Self, LaunchError> {
        let root = RootFolder::open(&config.root, config.users, config.is_root)?;
        root.make_layout()?;
        Ok(Self { root, host: HostCapabilities::discover(config), shim: config.shim_path() })
    }

    fn answer(&mut self, packet: &[u8], descriptors: Vec<OwnedFd>) {
        let mut descriptors = descriptors.into_iter();
        let Some(reply) = descriptors.next() else { return };
        let done = Frame::decode(packet).map_err(LaunchError::from).and_then(|frame| self.perform(frame, &reply, descriptors.collect()));
        let (report, descriptor) = match done {
            Ok(None) => return,
            Ok(Some(Done(descriptor))) => (Report::Done, descriptor),
            Err(error) => (error.to_report(), None),
        };
        // Whoever asked may be gone: then nobody misses the answer.
        let _ = wire_socket::try_send(reply.as_fd(), &report.encode(), descriptor.as_ref().map(AsFd::as_fd).as_slice());
    }

    /// `None`: stage 0 and the shim report themselves.
    fn perform(&mut self, frame: Frame, reply: &OwnedFd, descriptors: Vec<OwnedFd>) -> Result<Option<Done>, LaunchError> {
        match frame {
            Frame::Run(run) => {
                let (request, given) = check(&run, descriptors)?;
                self.make_folders(&request)?;
                self.host.refresh();
                let list = operations(&self.host, &request);
                stage(&self.shim, &list, reply, given)?;
                return Ok(None);
            }
            Frame::Join { app, terminal } => {
                let list = joining(&self.host, check_app_of_tenant(app)?);
                join(&self.shim, &list, reply, JoinDescriptors::sort(terminal, descriptors)?)?;
                return Ok(None);
            }
            Frame::Bind(address) => return Ok(Some(Done(Some(tasks::bind(address)?)))),
            Frame::PrepareApp(app) => self.root.prepare_app(check_app(app)?)?,
            Frame::Remove { app, subject } => {
                self.root.remove(check_app(app)?, &WipeSubject::parse(&subject)?)?;
            }
            Frame::Kill { signal: number } => {
                let user = self.host.is_root.then(|| self.host.users.shim());
                signal(&self.shim, user, only(descriptors)?, number)?;
            }
            Frame::WriteAuthorizedKeys => tasks::write_authorized_keys(&self.root, only(descriptors)?)?,
        }
        Ok(Some(Done(None)))
    }

    /// The folders that belong to one run alone.
    fn make_folders(&self, request: &Request) -> Result<(), LaunchError> {
        match (&request.subject, request.profile) {
            (Subject::Slug(_), Profile::App) => self.root.make_layer(request.app, &request.folder),
            (Subject::Slug(slug), _) => self.root.make_release(request.app, slug),
            (Subject::Build(build), _) => self.root.make_build(request.app, build),
            _ => Ok(()),
        }
    }
}

fn check(run: &RunFrame, descriptors: Vec<OwnedFd>) -> Result<(Request, RunDescriptors), LaunchError> {
    let app = check_app(run.app)?;
    let is_platform = matches!(run.profile, Profile::Postgres | Profile::Router);
    if is_platform != (app == 0) {
        return Err(LaunchError::refused(format!("app {app} has no {:?}", run.profile)));
    }
    if run.profile == Profile::Exec {
        return Err(LaunchError::refused("a command joins a run by a frame of its own"));
    }
    if !is_name(&run.folder) {
        return Err(LaunchError::refused(format!("{:?} is no name of a run", run.folder)));
    }
    let request = Request {
        profile: run.profile,
        app,
        folder: run.folder.clone(),
        subject: Subject::parse(run.profile, run.subject.as_deref())?,
        hostname: to_hostname(&run.hostname),
        last_pid: random() % FIRST_PID_MAX,
    };
    Ok((request, RunDescriptors::sort(run.output, descriptors)?))
}

/// Done, with what was asked for.
struct Done(Option<OwnedFd>);

fn check_app(app: u32) -> Result<u32, LaunchError> {
    if app <= APPS_MAX { Ok(app) } else { Err(LaunchError::refused(format!("there is no app {app}"))) }
}

/// The platform's own runs are joined by nobody.
fn check_app_of_tenant(app: u32) -> Result<u32, LaunchError> {
    if app == 0 { Err(LaunchError::refused("no command joins a run of the platform")) } else { check_app(app) }
}

fn only(descriptors: Vec<OwnedFd>) -> Result<OwnedFd, LaunchError> {
    descriptors.into_iter().next().ok_or_else(|| LaunchError::refused("a descriptor is missing"))
}

/// Spread, not secrecy: two runs should not have the same process ids.
fn random() -> u32 {
    let hash = RandomState::new().hash_one(std::time::Instant::now());
    u32::try_from(hash >> 32).unwrap_or(0)
}
