//! Whether git refused a push before its hook could speak: a pack that fails fsck or is
//! over the limit ends `index-pack`, and receive-pack still exits with 0. Git's own trace
//! (`GIT_TRACE2_EVENT`, one JSON object a line on a descriptor) tells.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;

/// What is read of one push's trace; the rest is drained unread.
const TRACE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Programs that read a pack.
const PACK_READERS: [&str; 2] = ["index-pack", "unpack-objects"];

#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "event")]
    kind: String,
    #[serde(default)]
    sid: String,
    #[serde(default)]
    child_id: i64,
    #[serde(default)]
    argv: Vec<String>,
    #[serde(default)]
    code: i64,
}

/// Reads a trace to its end; true if a program that reads packs failed.
pub async fn pack_was_refused(trace: OwnedFd) -> io::Result<bool> {
    let receiver = pipe::Receiver::from_owned_fd(trace)?;
    let mut lines = BufReader::new(receiver.take(TRACE_BYTES_MAX)).lines();
    let mut watch = Watch::default();
    while let Ok(Some(line)) = lines.next_line().await {
        watch.line(&line);
    }
    // Git must not stand still because nobody reads.
    let mut rest = lines.into_inner().into_inner().into_inner();
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(watch.refused)
}

#[derive(Debug, Default)]
struct Watch {
    readers: HashSet<(String, i64)>,
    refused: bool,
}

impl Watch {
    fn line(&mut self, line: &str) {
        let Ok(event) = serde_json::from_str::<Event>(line) else { return };
        let child = (event.sid, event.child_id);
        match event.kind.as_str() {
            "child_start" if event.argv.iter().any(|word| PACK_READERS.contains(&word.as_str())) => {
                self.readers.insert(child);
            }
            "child_exit" if self.readers.remove(&child) => self.refused |= event.code != 0,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(lines: &[&str]) -> bool {
        let mut watch = Watch::default();
        for line in lines {
            watch.line(line);
        }
        watch.refused
    }

    #[test]
    fn only_a_failed_reader_of_packs_counts() {
        let start = r#"{"event":"child_start","sid":"a","child_id":0,"argv":["git","index-pack","--stdin"]}"#;
        let hook = r#"{"event":"child_start","sid":"a","child_id":1,"argv":["hooks/pre-receive"]}"#;
        let failed = r#"{"event":"child_exit","sid":"a","child_id":0,"code":128}"#;
        let well = r#"{"event":"child_exit","sid":"a","child_id":0,"code":0}"#;
        let declined = r#"{"event":"child_exit","sid":"a","child_id":1,"code":1}"#;
        assert!(refused(&[start, failed]));
        assert!(!refused(&[start, well, hook, declined, "not json", "{}"]));
        assert!(!refused(&[failed]));
    }
}
