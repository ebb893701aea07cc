//! Emptying folders as their owners, then having launch remove them.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use launch::Profile;
use launch::names::WipeSubject;
use launch::protocol::Frame;
use model::AppNumber;

use super::{Helper, HelperError, Runs, StartError};
use crate::limits::{MEASURE_MAX, WIPE_MAX};
use crate::machine::unix_ms;

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
    empty(runs, app, subject, Vec::new()).await?;
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

/// Empties a folder; with words it says something before.
pub(super) async fn empty(runs: &Runs, app: AppNumber, subject: &str, words: Vec<String>) -> Result<String, StartError> {
    help(runs, app, "wipe", subject, words).await
}

/// One of the helpers that work on a folder as its owner.
pub(super) async fn help(runs: &Runs, app: AppNumber, word: &'static str, subject: &str, words: Vec<String>) -> Result<String, StartError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let folder = format!("wipe-{}-{}", unix_ms(), COUNT.fetch_add(1, Ordering::Relaxed));
    let (answers, time) = if word == "wipe" { (!words.is_empty(), WIPE_MAX) } else { (true, MEASURE_MAX) };
    let subject = subject.to_owned();
    let failed = |detail: String| StartError::Failed { step: format!("{word} {subject}"), detail };
    let helper =
        Helper { profile: Profile::Wipe, word, words, answers, app, folder, subject: subject.clone(), descriptors: Vec::new(), time };
    helper.run(runs).await.map_err(|error| match error {
        HelperError::Start(error) => error,
        HelperError::Io(error) => failed(error.to_string()),
        HelperError::TimedOut => failed(format!("it took longer than {} s", time.as_secs())),
        HelperError::Refused(status, complaint) => failed(format!("{status}: {complaint}")),
    })
}

fn names(folder: &PathBuf) -> Result<Vec<String>, StartError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| StartError::failed("list a folder", &error))?,
    };
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    entries.map(name).collect::<io::Result<_>>().map_err(|error| StartError::failed("list a folder", &error))
}
