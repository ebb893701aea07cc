//! Emptying folders as their owners, then having launch remove them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use launch::Profile;
use launch::names::WipeSubject;
use launch::protocol::Frame;
use model::{AppNumber, ExitStatus};
use shim::Spec;

use super::folder::now_unix_ms;
use super::{Output, RunRequest, Runs, StartError};
use crate::limits::{WIPE_COMPLAINT_BYTES_MAX, WIPE_MAX};

/// What an app has once, in the order of removal.
const ONCE: [&str; 3] = ["cache", "repository", "data"];

pub(super) async fn wipe(runs: &Runs, app: AppNumber, subject: &str) -> Result<(), StartError> {
    let parsed =
        WipeSubject::parse(subject).map_err(|error| StartError::Failed { step: "wipe a folder".to_owned(), detail: error.to_string() })?;
    let Some((path, _)) = parsed.folder(app.0) else { return wipe_app(runs, app).await };
    match fs::symlink_metadata(runs.root.join(&path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    empty(runs, app, subject).await?;
    runs.launcher.ask(&Frame::Remove { app: app.0, subject: subject.to_owned() }, &[]).await.map(drop)
}

/// Everything of an app, one owner after the other, then the platform's own folders.
async fn wipe_app(runs: &Runs, app: AppNumber) -> Result<(), StartError> {
    for kind in ["layers", "builds", "releases"] {
        for name in names(&runs.root.join(kind).join(app.to_string()))? {
            // Marks beside the folders are the server's own.
            let path = runs.root.join(kind).join(app.to_string()).join(&name);
            if path.is_file() {
                fs::remove_file(&path).map_err(|error| StartError::failed("remove a mark", &error))?;
            } else {
                Box::pin(wipe(runs, app, &format!("{kind}/{name}"))).await?;
            }
        }
    }
    for subject in ONCE {
        Box::pin(wipe(runs, app, subject)).await?;
    }
    runs.launcher.ask(&Frame::Remove { app: app.0, subject: "app".to_owned() }, &[]).await?;
    for kind in ["logs", "runs"] {
        match fs::remove_dir_all(runs.root.join(kind).join(app.to_string())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StartError::failed(&format!("remove the {kind} of the app"), &error));
            }
            _ => {}
        }
    }
    Ok(())
}

async fn empty(runs: &Runs, app: AppNumber, subject: &str) -> Result<(), StartError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let folder = format!("wipe-{}-{}", now_unix_ms(), COUNT.fetch_add(1, Ordering::Relaxed));
    let failed = |error: io::Error| StartError::failed(&format!("wipe {subject}"), &error);
    let null = || File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    let (complaints, stderr) = io::pipe().map_err(failed)?;
    let request = RunRequest {
        profile: Profile::Wipe,
        app,
        folder: folder.clone(),
        subject: Some(subject.to_owned()),
        output: Output::Inherit { stdin: null().map_err(failed)?, stdout: null().map_err(failed)?, stderr: stderr.into(), terminal: false },
        descriptors: Vec::new(),
        spec: Spec {
            argv: ["/paas", "internal", "wipe"].map(|word| word.as_bytes().to_vec()).to_vec(),
            env: Vec::new(),
            working_directory: b"/".to_vec(),
            stop_signal: 15,
            open_files: 1_024,
            hostname: b"wipe".to_vec(),
            log_subject: Vec::new(),
        },
    };
    let run = runs.start(request).await?;
    let ended = tokio::time::timeout(WIPE_MAX, run.gone()).await;
    let end = if let Ok(end) = ended {
        end
    } else {
        run.kill().await.map_err(failed)?;
        run.gone().await
    };
    runs.forget(app, &folder).map_err(failed)?;
    if end.status == ExitStatus::Code(0) {
        return Ok(());
    }
    let mut said = Vec::new();
    complaints.take(WIPE_COMPLAINT_BYTES_MAX).read_to_end(&mut said).map_err(failed)?;
    let detail = format!("{}: {}", end.status, String::from_utf8_lossy(&said).trim());
    Err(StartError::Failed { step: format!("wipe {subject}"), detail })
}

fn names(folder: &PathBuf) -> Result<Vec<String>, StartError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| StartError::failed("list a folder", &error))?,
    };
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    entries.map(name).collect::<io::Result<_>>().map_err(|error| StartError::failed("list a folder", &error))
}
