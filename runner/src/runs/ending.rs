//! The end of a run's writable layer: what has to last is saved first, by the process that
//! then empties it, as the app's own user.

use std::fs;
use std::path::Path;

use launch::protocol::Frame;
use model::{AppNumber, KeptPath, Leaving, Leavings, SlugId};
use serde::Deserialize;

use super::{Runs, StartError, wipe};

/// What is beside a layer when it is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Over {
    /// The slug below it.
    pub(crate) slug: SlugId,
    /// What of `/app` lasts now; it may not have when the run started.
    pub(crate) kept: Vec<KeptPath>,
}

/// What a folder of an app holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct Size {
    /// In bytes.
    pub bytes: u64,
    /// Files.
    pub files: u64,
}

/// What `DATA_DIR` holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct DataSize {
    /// All of it.
    pub total: Size,
    /// What of it was asked for, in order; `None` for what is not there.
    pub parts: Vec<Option<Size>>,
    /// There is so much that not all was counted.
    pub is_cut: bool,
}

/// Saves what has to last, then removes the layer. A layer in which nothing was ever
/// written costs nothing more than its removal.
pub(super) async fn end_layer(runs: &Runs, app: AppNumber, folder: &str, over: Option<Over>) -> Result<Leavings, StartError> {
    let layer = format!("layers/{folder}");
    let upper = runs.root.join("layers").join(app.to_string()).join(folder).join("upper");
    let is_whole = |slug: SlugId| runs.root.join("releases").join(app.to_string()).join(format!("{slug}.ready")).exists();
    let Some(over) = over.filter(|over| is_touched(&upper) && is_whole(over.slug)) else {
        return wipe::wipe(runs, app, &layer).await.map(|()| Leavings::default());
    };
    let words = ["look".to_owned()].into_iter().chain(over.kept.iter().map(ToString::to_string));
    let said = wipe::empty(runs, app, &format!("{layer}/{}", over.slug), words.collect()).await?;
    runs.launcher.ask(&Frame::Remove { app: app.0, subject: layer }, &[]).await?;
    Ok(leavings(&said, &over.kept))
}

/// What a helper found, in its words.
#[derive(Deserialize)]
struct Told {
    leavings: Vec<Found>,
    more: u64,
}

#[derive(Deserialize)]
struct Found {
    path: String,
    is_folder: bool,
    bytes: u64,
    files: u64,
}

/// One that cannot be read told nothing.
fn leavings(said: &str, kept: &[KeptPath]) -> Leavings {
    let Ok(Told { leavings, more }) = serde_json::from_str(said) else { return Leavings::default() };
    let left = |Found { path, is_folder, bytes, files }| Leaving { path, is_folder, bytes, files, is_kept: false };
    Leavings::of(leavings.into_iter().map(left).collect(), more, kept)
}

/// Whether anything was ever made at the top of a layer. Its folder is the app's and not
/// to be read here, but its times can be seen: the kernel changes them with the first entry.
fn is_touched(upper: &Path) -> bool {
    let Ok(found) = fs::symlink_metadata(upper) else { return false };
    match (found.created(), found.modified()) {
        (Ok(created), Ok(modified)) => created != modified,
        // A file system that does not tell.
        _ => true,
    }
}

/// How much `DATA_DIR` holds, and some paths of it.
pub(super) async fn measure(runs: &Runs, app: AppNumber, parts: &[KeptPath]) -> Result<DataSize, StartError> {
    let words = parts.iter().map(|path| format!("kept/{}", path.path()));
    let said = wipe::help(runs, app, "measure", "data", words.collect()).await?;
    serde_json::from_str(&said).map_err(|error| StartError::Failed { step: "measure DATA_DIR".to_owned(), detail: error.to_string() })
}
