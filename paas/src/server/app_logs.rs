//! The logs of apps: paas's own lines written into a segment folder beside those of the
//! instances, and all of them with the router's read back merged by time.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{SystemTime, UNIX_EPOCH};

use super::follow;
use super::wanted_lines::Wanted;
use api::logs::{Line, Logs};
use api::{Failure, Kind};
use control::limits::SHOWN_LINES_MAX;
use control::seams::{AppLogs, BoxFuture};
use logs::Stream;
use logs::reader::{Follower, Query, tail};
use logs::record::Record;
use logs::segment::{Limits, Writer};
use model::AppNumber;
use tokio::sync::mpsc;

/// Lines of paas about apps that wait for the disk; more are dropped.
const WAITING_LINES_MAX: usize = 4_096;
/// Folders that are kept open for the next line.
const OPEN_FOLDERS_MAX: usize = 64;
/// The folder of paas's own lines about an app.
pub(super) const PLATFORM_FOLDER: &str = "paas";

struct Written {
    number: AppNumber,
    process: String,
    text: String,
    at_unix_us: i64,
}

/// Reads and writes below `ROOT/logs`.
#[derive(Debug)]
pub struct LogFolders {
    folder: PathBuf,
    writer: SyncSender<Written>,
}

impl LogFolders {
    /// Starts the thread that writes.
    pub fn start(root: &Path) -> io::Result<Self> {
        let (writer, lines) = sync_channel(WAITING_LINES_MAX);
        let folder = root.join("logs");
        let writes_below = folder.clone();
        std::thread::Builder::new().name("app-logs".to_owned()).spawn(move || write_all(&writes_below, &lines))?;
        Ok(Self { folder, writer })
    }
}

fn write_all(folder: &Path, lines: &Receiver<Written>) {
    let mut writers: HashMap<AppNumber, Writer> = HashMap::new();
    while let Ok(line) = lines.recv() {
        // Opening one anew is cheap, and a destroyed app's would stay for ever.
        if writers.len() >= OPEN_FOLDERS_MAX {
            writers.clear();
        }
        if let Err(error) = write_one(folder, &mut writers, &line) {
            writers.remove(&line.number);
            tracing::warn!(%error, app = line.number.0, "a log line is lost");
        }
    }
}

fn write_one(folder: &Path, writers: &mut HashMap<AppNumber, Writer>, line: &Written) -> io::Result<()> {
    let writer = match writers.entry(line.number) {
        std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
        std::collections::hash_map::Entry::Vacant(entry) => {
            let folder = folder.join(line.number.to_string()).join(PLATFORM_FOLDER);
            // Its parent is launch's to make: a late line does not bring a destroyed app's back.
            match std::fs::create_dir(&folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            entry.insert(Writer::open(std::fs::File::open(&folder)?.into(), Limits::default())?)
        }
    };
    writer.append_for(&line.process, Stream::Platform, line.at_unix_us, line.text.as_bytes(), false)?;
    writer.flush()
}

impl AppLogs for LogFolders {
    fn write(&self, number: AppNumber, process: &str, text: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = Written {
            number,
            process: process.to_owned(),
            text: text.to_owned(),
            at_unix_us: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
        };
        if self.writer.try_send(line).is_err() {
            tracing::warn!(app = number.0, "the disk is too slow for log lines, one is lost");
        }
    }

    fn reaches_past(&self, number: AppNumber, query: &Logs) -> BoxFuture<'_, Option<String>> {
        let since = query.since_unix_us;
        Box::pin(async move {
            let folders = self.folders(number).ok()?;
            let oldest = tokio::task::spawn_blocking(move || oldest_of(&folders)).await.ok()??;
            let at = jiff::Timestamp::from_microsecond(oldest).ok().filter(|_| since.is_some_and(|since| since < oldest))?;
            Some(format!("the oldest line that is kept is of {at:.0}: what was before that is gone, or was never"))
        })
    }

    fn read(&self, number: AppNumber, query: Logs, sink: mpsc::Sender<Line>) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let wanted = Arc::new(Wanted::new(number, &query)?);
            self.read_wanted(number, wanted, &query, &sink)
                .await
                .map_err(|error| Failure::new(Kind::Host, "logs.unreadable", "the logs cannot be read").caused_by(&error))
        })
    }
}

impl LogFolders {
    /// Where lines about an app are: its own folders, and the router's.
    fn folders(&self, number: AppNumber) -> io::Result<Vec<PathBuf>> {
        let mut folders = children(&self.folder.join(number.to_string()))?;
        folders.push(self.folder.join("0").join("router"));
        Ok(folders)
    }

    async fn read_wanted(&self, number: AppNumber, wanted: Arc<Wanted>, query: &Logs, sink: &mpsc::Sender<Line>) -> io::Result<()> {
        let own = self.folder.join(number.to_string());
        let folders = self.folders(number)?;
        // Much may have to be read and thrown away before enough is found.
        let (searched, asked, question) = (folders.clone(), wanted.clone(), query.clone());
        let found = tokio::task::spawn_blocking(move || newest(&searched, &asked, &question)).await;
        let (newest, marks) = found.map_err(io::Error::other)??;
        for line in newest {
            if sink.send(line).await.is_err() {
                return Ok(());
            }
        }
        if !query.tail {
            return Ok(());
        }
        let mut follower = Follower::new()?;
        for (folder, marks) in folders.iter().zip(marks) {
            follower.follow(folder, marks)?;
        }
        follower.follow_children(&own, |_| true)?;
        let mut follower = follow::watch(follower)?;
        loop {
            let batch = follower.get_mut().take()?;
            for line in &batch.lines {
                let name = follower.get_ref().folder(line.source).map(name_of).unwrap_or_default();
                if let Some(line) = wanted.line(&name, &line.record)
                    && sink.send(line).await.is_err()
                {
                    return Ok(());
                }
            }
            if batch.more {
                continue;
            }
            tokio::select! {
                ready = follower.readable() => ready?.clear_ready(),
                () = sink.closed() => return Ok(()),
            }
        }
    }
}

/// The oldest line of an app's own folders; the router's are every app's.
fn oldest_of(folders: &[PathBuf]) -> Option<i64> {
    let own = folders.iter().rev().skip(1);
    own.filter_map(|folder| logs::reader::oldest(folder).ok().flatten()).min()
}

fn newest(folders: &[PathBuf], wanted: &Wanted, query: &Logs) -> io::Result<(Vec<Line>, Vec<logs::reader::Marks>)> {
    let names: Vec<String> = folders.iter().map(name_of).collect();
    let paths: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    let keep = |source: usize, record: &Record| wanted.line(&names[source], record).is_some();
    let (since_unix_us, until_unix_us) = (query.since_unix_us, query.until_unix_us);
    let found = tail(&paths, &Query { records: query.lines.min(SHOWN_LINES_MAX), since_unix_us, until_unix_us, keep: Some(&keep) })?;
    let lines = found.lines.iter().filter_map(|line| wanted.line(&names[line.source], &line.record)).collect();
    Ok((lines, found.marks))
}

fn name_of(folder: impl AsRef<Path>) -> String {
    folder.as_ref().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|e| e.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
